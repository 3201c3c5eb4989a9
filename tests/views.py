"""Reports for tests, filled by hand: a search that went well, one whose names break pages, one with nothing in it."""

import base64
import dataclasses
import struct
import zlib
from typing import Any

from smart_tuner.report.catalogue import Said, said, strings
from smart_tuner.report.view import (
    Advice,
    Chart,
    Clip,
    Command,
    Level,
    Line,
    Picture,
    Row,
    Sentence,
    Stop,
    Verdict,
    View,
)

NASTY = "<script>alert('x')</script> | \"quoted\" & `code` *bold* [link](http://evil.example) \n second line"
LONG = "a-run-that-somebody-logged-by-hand-and-gave-a-name-of-very-many-characters-" * 3
COLUMNS = (
    "validation.loss",
    "validation.alignment_score",
    "validation.attention_focus",
    "validation.gate_mean",
    "validation.freerun.cer",
)
MLFLOW = "http://127.0.0.1:5000/#/experiments/1/runs/"
START = "python3 smart_tuner_main.py --mode {} --data ~/corpora/ivr-ru --preset small --study ivr_ru_first"


def words(text: str) -> Said:
    """A sentence whose text is in no file of the catalogue."""
    strings().setdefault("words", {"en": "{text}", "ru": "{text}"})
    return said("words", text=text)


def svg(height: int = 250, label: str = "A curve that falls") -> str:
    """A drawing in the page's colours."""
    lines = "".join(
        f'<polyline fill="none" stroke="var(--{name})" stroke-width="{width}" stroke-dasharray="{dash}" '
        f'points="50,{30 + 9 * place} 140,{height // 2 + 8 * place} 360,{height - 60 + 6 * place}"/>'
        for place, (name, width, dash) in enumerate(
            [
                ("best", 3, "none"),
                ("baseline", 2, "7 4"),
                ("median", 2, "1 3"),
                ("other", 1, "none"),
                ("sick", 1, "9 3"),
            ]
        )
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 374 {height}" role="img" aria-label="{label}">'
        f'<path d="M44 10V{height - 30}H370" fill="none" stroke="var(--muted)"/>'
        f'<path d="M44 60H370M44 120H370" stroke="var(--grid)"/>{lines}'
        f'<text x="150" y="{height - 6}" style="font-size:10px;fill:var(--ink)">utterances seen</text></svg>'
    )


def png(width: int = 240, height: int = 120) -> str:
    """A picture of a diagonal."""
    rows = b"".join(
        b"\0" + bytes(255 if abs(column - row * width // height) < 6 else 40 for column in range(width))
        for row in range(height)
    )

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


def wav(seconds: float = 0.05) -> str:
    """A silent recording."""
    samples = bytes(2 * int(8000 * seconds))
    form = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", len(samples))
    file = b"RIFF" + struct.pack("<I", 4 + len(form) + len(samples)) + b"WAVE" + form + samples
    return f"data:audio/wav;base64,{base64.b64encode(file).decode()}"


def verdict(metric: str, value: float, level: Level, rule: str) -> Verdict:
    """A verdict of the guide."""
    return Verdict(metric=metric, value=value, level=level, rule=words(rule))


def verdicts(quality: float) -> tuple[Verdict, ...]:
    """Those of a run whose quality lies between 0, sick, and 1, good."""
    level: Level = "good" if quality > 0.6 else "watch" if quality > 0.3 else "sick"
    return (
        verdict("validation.alignment_score", 0.2 + 0.7 * quality, level, "> 0.5 good, < 0.3 sick"),
        verdict("validation.attention_focus", 0.3 + 0.6 * quality, level, "> 0.8 good"),
        verdict("validation.gate_mean", 0.5 * quality, level, "0.1 to 0.9"),
        verdict("grad.norm", 2 + 12 * (1 - quality), level, "below 5" if quality > 0.5 else "below 5, early"),
        verdict("training.guide_loss", 0.03 + 0.5 * (1 - quality), "good", f"falls from {1 - quality / 2:.4f}"),
    )


def row(number: int, **changed: Any) -> Row:
    """A trial that ended healthy; the higher its number, the worse."""
    quality = max(0.0, 1 - number / 12)
    measured = (0.41 + 0.023 * number, 0.2 + 0.7 * quality, 0.3 + 0.6 * quality, 0.5 * quality, None)
    plain: dict[str, Any] = {
        "name": f"trial-{number:04d}",
        "link": f"{MLFLOW}{number:032x}",
        "origin": words("sampled"),
        "state": words("complete"),
        "marks": (),
        "metrics": dict(zip(COLUMNS, measured, strict=True)),
        "minutes": 14.2 + number,
        "changed": f"hparams.learning_rate={0.0004 + number / 1e4:.4g}, hparams.batch_size={16 + number}",
        "why": "",
        "verdicts": verdicts(quality),
    }
    return Row(**(plain | changed))


def rows(count: int = 12) -> tuple[Row, ...]:
    """A leaderboard: the best, others, the baseline, stopped ones."""
    found = [row(number) for number in range(count)]
    found[0] = row(0, marks=(words("best"), words("winner")))
    if count > 10:
        found[9] = row(9, marks=(words("baseline"),), origin=words("baseline"), changed="")
        found[10] = row(10, state=words("stopped"), why=words("health: attention_late at 21 % of the budget"))
        found[11] = row(11, state=words("unknown"), link="", verdicts=(), metrics={}, minutes=None)
    return tuple(found)


def chart(title: str, height: int = 250) -> Chart:
    """A chart with a table of numbers."""
    return Chart(
        title=words(title),
        svg=svg(height, title),
        summary=words(
            "It ends at 0.4100 (trial-0000) and 0.6170 (trial-0009); the best quarter lies from 3e-4 to 7e-4."
        ),
        head=(words("run"), "first", "last"),
        rows=(("trial-0000", "1.9213", "0.4100"), ("trial-0009", "1.9305", "0.6170")),
        note=words("Each line is the median of 9 points around."),
    )


def stop(rule: str, kind: str, names: tuple[str, ...], picture: bool) -> Stop:
    """Trials that a rule stopped."""
    drawn = Picture(title=words(f"{names[0]}: {rule}"), uri=png(), alt=words("Attention never left the first token."))
    return Stop(
        rule=rule,
        kind=kind,
        names=names,
        meaning=words("The decoder had not found the text by the time at which healthy ones have."),
        example=Line(
            label=words(f"For example {names[0]}"),
            text="alignment_score never reached 0.35 (highest 0.212) within 100,000 utterances.",
            link=f"{MLFLOW}{10:032x}",
        ),
        picture=drawn if picture else None,
    )


def sentence(title: str) -> Sentence:
    """A sentence by three voices and the speaker."""
    voices = {"A": "trial-0009", "B": "trial-0000", "C": "trial-0001"}
    clips = [Clip(letter=letter, uri=wav(), who=who, link=MLFLOW + who) for letter, who in voices.items()]
    return Sentence(title=title, clips=tuple(clips), target=Clip(letter="", uri=wav(), who="", link=""))


def answer() -> tuple[Line, ...]:
    """Five lines."""
    link = f"{MLFLOW}{0:032x}"
    gain = (
        "0.2070 better than the baseline, 95 % interval of the gain 0.1312 to 0.2828 (3 reruns of the best, 4 runs of "
        "the baseline). A full training takes trial-0000 over."
    )
    health = "trial-0000 is healthy by the guide: of 9 metrics 8 are good; watch grad.norm 6.21 (below 5 good)."
    cost = "3.4 h of training in 12 trials, 1.1 h in 6 reruns; 1.24 kWh; stopping 3 trials early saved 0.6 h, 15 %."
    return (
        Line(
            label=words("Best"), text=words("trial-0000 with validation.loss 0.4100, alignment_score 0.90."), link=link
        ),
        Line(label=words("Gain"), text=words(gain)),
        Line(label=words("Health"), text=words(health)),
        Line(label=words("Cost"), text=words(cost)),
        Line(label=words("Next"), text=words("Train trial-0000 at full length and listen to it.")),
    )


def view(**changed: Any) -> View:
    """The report of a search that went well."""
    plain: dict[str, Any] = {
        "title": "ivr_ru_first",
        "kind": words("Search over 7 hyperparameters"),
        "status": words("finished: 12 trials and 6 reruns"),
        "notices": (words("MLflow has no run of trial-0011 any more; its numbers come from the study's storage."),),
        "answer": answer(),
        "commands": (
            Command(label=words("Train it fully"), command=START.format("train") + " --from-study ivr_ru_first"),
            Command(
                label=words("Continue the search"), command=START.format("tune") + " --trials 24 --space mine.yaml"
            ),
        ),
        "columns": COLUMNS,
        "rows": rows(),
        "stops": (
            stop("attention_late", "health", ("trial-0010",), picture=True),
            stop("asha", "pruner", tuple(f"trial-{number:04d}" for number in range(3, 18)), picture=False),
        ),
        "audit": (
            Line(
                label=words("Audit"), text=words("2 doomed trials ran on; 0 would have beaten the best (limit 78 %).")
            ),
        ),
        "importance": (
            Line(label=words("hparams.learning_rate"), text=words("61 % (44 to 74 %)")),
            Line(label=words("hparams.batch_size"), text=words("17 % (6 to 31 %)")),
        ),
        "matters": (chart("What mattered (PED-ANOVA)", 180), chart("validation.loss by hparams.learning_rate")),
        "curves": (chart("validation.loss over the training"), chart("grad.norm over the training")),
        "pictures": tuple(
            Picture(title=words(f"{kind}, {who}"), uri=png(), alt=words(f"{kind} of {who}: a diagonal"))
            for who in ("best: trial-0000", "worst: trial-0010")
            for kind in ("alignment", "mel", "gate")
        ),
        "listening": (sentence("Здравствуйте, вы позвонили в службу поддержки."), sentence("Press one to repeat.")),
        "advice": (
            Advice(
                what=words("Widen hparams.learning_rate upwards, to 4e-3."),
                because=words("The best, trial-0000, has 1.9e-3, within 5 % of the upper end 2e-3."),
                command=START.format("tune") + " --space wider.yaml",
            ),
            Advice(what=words("Take the fastest batch size."), because=words("Its share is 17 % (6 to 31 %).")),
        ),
        "reproduction": (
            Line(label=words("Corpus"), text="sha256 5b0f0c8e2a"),
            Line(label=words("Budget"), text="300000utt"),
        ),
        "settings": "hparams:\n  learning_rate: 0.0004\n  batch_size: 16\n",
        "space": "parameters:\n  hparams.learning_rate: {type: float, low: 1.0e-4, high: 2.0e-3, log: true}\n",
    }
    return View(**(plain | changed))


def nasty() -> View:
    """Names and sentences that break a page which does not escape them."""
    bad = words(NASTY)
    line = Line(label=bad, text=bad, link="javascript:alert(1)")
    runs = (row(0, name=NASTY, changed=NASTY, why=NASTY), row(1, name=LONG, link="javascript:alert(1)"))
    clip = Clip(letter="A", uri="http://evil.example/a.wav", who=NASTY, link="javascript:alert(1)")
    return view(
        title=NASTY,
        kind=bad,
        status=bad,
        notices=(bad,),
        answer=(line,) * 5,
        commands=(Command(label=bad, command=NASTY + " " + "x" * 300),),
        rows=(*runs, *runs),
        stops=(
            dataclasses.replace(stop("asha", "pruner", (NASTY,), picture=True), rule=NASTY, meaning=bad, example=line),
        ),
        audit=(line,),
        importance=(line,),
        matters=(dataclasses.replace(chart("x"), title=bad, summary=bad, head=(bad, NASTY), rows=((NASTY, LONG),)),),
        pictures=(Picture(title=bad, uri="http://evil.example/a.png", alt=bad), Picture(title=bad, uri=png(), alt=bad)),
        listening=(Sentence(title=NASTY, clips=(clip,), target=clip),),
        advice=(Advice(what=bad, because=bad, command=NASTY + "\n```\n"),),
        reproduction=(line,),
        settings=NASTY + "\n````\n</code></pre>\n",
        space="</style>\n```\n",
    )


def empty() -> View:
    """A study in which nothing has ended."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("notices", "commands", "columns", "rows", "stops", "audit", "importance", "matters", "curves", "pictures"), ()
    )
    return view(**nothing, listening=(), advice=(), reproduction=(), settings="", space="")
