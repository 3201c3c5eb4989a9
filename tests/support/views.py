"""Reports for tests, filled by hand: a search that went well, one whose names break pages, one with nothing in it."""

import base64
import dataclasses
import io
import struct
from typing import Any

from PIL import Image

from smart_tuner.report.message import Message
from smart_tuner.report.view import (
    Advice,
    Chart,
    Clip,
    Command,
    Grade,
    GuideVerdict,
    Line,
    Picture,
    Sentence,
    Stop,
    TrialRow,
    View,
)

NASTY = "<script>alert('x')</script> | \"quoted\" & `code` *bold* [link](http://evil.example) \n second line"
LONG = "a-run-that-somebody-logged-by-hand-and-gave-a-name-of-very-many-characters-" * 3
COLUMNS = ("validation.loss", "validation.alignment_score", "validation.gate_mean", "validation.freerun.cer")
MLFLOW = "http://127.0.0.1:5000/#/experiments/1/runs/"
START = "python3 smart_tuner_main.py --mode {} --study ivr_ru_first"


def words(text: str) -> Message:
    """A sentence that is the same in every language."""
    return Message("{text}", text=text)


def line(label: str, text: str) -> Line:
    return Line(label=words(label), text=words(text))


def svg(label: str) -> str:
    """A drawing in the page's colours."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 374 250" role="img" aria-label="{label}">'
        '<polyline fill="none" stroke="var(--best)" points="50,30 140,125 360,190"/></svg>'
    )


def png() -> str:
    file = io.BytesIO()
    Image.new("L", (24, 12), 40).save(file, "png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def wav() -> str:
    """A silent recording."""
    samples = bytes(800)
    form = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", len(samples))
    file = b"RIFF" + struct.pack("<I", 4 + len(form) + len(samples)) + b"WAVE" + form + samples
    return f"data:audio/wav;base64,{base64.b64encode(file).decode()}"


def verdict(metric: str, value: float, grade: Grade, rule: str) -> GuideVerdict:
    return GuideVerdict(metric=metric, value=value, grade=grade, rule=words(rule))


def verdicts(quality: float) -> tuple[GuideVerdict, ...]:
    """Those of a run whose quality lies between 0, sick, and 1, good."""
    grade: Grade = "good" if quality > 0.6 else "watch" if quality > 0.3 else "sick"
    return (
        verdict("validation.alignment_score", 0.2 + 0.7 * quality, grade, "> 0.5 good, < 0.3 sick"),
        verdict("grad.norm", 2 + 12 * (1 - quality), grade, "below 5" if quality > 0.5 else "below 5, early"),
        verdict("training.guide_loss", 0.03 + 0.5 * (1 - quality), "good", f"falls from {1 - quality / 2:.4f}"),
    )


def row(number: int, **changed: Any) -> TrialRow:
    """A trial that ended healthy; the higher its number, the worse."""
    quality = max(0.0, 1 - number / 12)
    plain: dict[str, Any] = {
        "name": f"trial-{number:04d}",
        "link": f"{MLFLOW}{number:032x}",
        "origin": words("sampled"),
        "state": words("complete"),
        "marks": (),
        "metrics": dict(zip(COLUMNS, (0.41 + 0.023 * number, 0.2 + 0.7 * quality, 0.5 * quality, None), strict=True)),
        "minutes": 14.2 + number,
        "changed": f"hparams.learning_rate={0.0004 + number / 1e4:.4g}, hparams.batch_size={16 + number}",
        "why": "",
        "verdicts": verdicts(quality),
    }
    return TrialRow(**(plain | changed))


def rows(count: int = 12) -> tuple[TrialRow, ...]:
    """A leaderboard: the best, others, the baseline, stopped ones."""
    found = [row(number) for number in range(count)]
    found[0] = row(0, marks=(words("best"), words("winner")), is_best=True)
    if count > 10:
        found[9] = row(9, marks=(words("baseline"),), is_baseline=True, origin=words("baseline"), changed="")
        found[10] = row(10, state=words("stopped"), why=words("health: attention_late at 21 % of the budget"))
        found[11] = row(11, state=words("unknown"), link="", verdicts=(), metrics={}, minutes=None)
    return tuple(found)


def chart(title: str) -> Chart:
    """A chart with a table of numbers."""
    return Chart(
        title=words(title),
        svg=svg(title),
        summary=words("It ends at 0.4100 (trial-0000); the best quarter lies from 3e-4 to 7e-4."),
        head=(words("run"), "first", "last"),
        rows=(("trial-0000", "1.9213", "0.4100"),),
        note=words("Each line is the median of 9 points around."),
    )


def stop(rule: str, kind: str, *names: str) -> Stop:
    """Trials that a rule stopped; a health rule has a picture."""
    return Stop(
        rule=rule,
        kind=kind,
        names=names,
        meaning=words("The decoder had not found the text by the time at which healthy ones have."),
        example=Line(label=words(f"For example {names[0]}"), text="It never reached 0.35.", link=f"{MLFLOW}{10:032x}"),
        picture=Picture(title=words(rule), uri=png(), alt=words("Attention")) if kind == "health" else None,
    )


def sentence(title: str) -> Sentence:
    """A sentence by three voices and the speaker."""
    voices = {"A": "trial-0009", "B": "trial-0000", "C": "trial-0001"}
    clips = [Clip(letter=letter, uri=wav(), who=who, link=MLFLOW + who) for letter, who in voices.items()]
    return Sentence(title=title, clips=tuple(clips), target=Clip(letter="", uri=wav(), who="", link=""))


def view(**changed: Any) -> View:
    """The report of a search that went well."""
    plain: dict[str, Any] = {
        "title": "ivr_ru_first",
        "kind": words("Search over 7 hyperparameters"),
        "status": words("finished: 12 trials and 6 reruns"),
        "notices": (words("MLflow has no run of trial-0011 any more."),),
        "answer": (
            dataclasses.replace(line("Best", "trial-0000 with validation.loss 0.4100."), link=f"{MLFLOW}{0:032x}"),
            line("Gain", "0.2070 better than the baseline, 95 % interval of the gain 0.1312 to 0.2828."),
            line("Health", "trial-0000 is healthy by the guide."),
            line("Cost", "3.4 h of training in 12 trials."),
            line("Next", "Train trial-0000 at full length and listen to it."),
        ),
        "commands": (Command(label=words("Train it fully"), command=START.format("train") + " --from-study x"),),
        "columns": COLUMNS,
        "rows": rows(),
        "stops": (
            stop("attention_late", "health", "trial-0010"),
            stop("asha", "pruner", *(f"trial-{number:04d}" for number in range(3, 18))),
        ),
        "audit": (line("Audit", "2 doomed trials ran on; 0 would have beaten the best (limit 78 %)."),),
        "trials": chart("All trials: validation.loss"),
        "matters": (chart("What mattered"), chart("validation.loss by hparams.learning_rate")),
        "curves": (chart("validation.loss over the training"), chart("grad.norm over the training")),
        "pictures": tuple(
            Picture(title=words(f"{kind}, {who}"), uri=png(), alt=words(f"{kind} of {who}: a diagonal"))
            for who in ("best: trial-0000", "worst: trial-0010")
            for kind in ("alignment", "mel", "gate")
        ),
        "listening": (sentence("Здравствуйте, вы позвонили в службу поддержки."), sentence("Press one to repeat.")),
        "advice": (
            Advice(words("Widen the range upwards."), words("The best is at its end."), START.format("tune")),
            Advice(words("Take the fastest batch size."), words("Its share is 17 % (6 to 31 %).")),
        ),
        "reproduction": (line("Corpus", "sha256 5b0f0c8e2a"), line("Budget", "300000utt")),
        "settings": "hparams:\n  learning_rate: 0.0004\n  batch_size: 16\n",
        "space": "parameters:\n  hparams.learning_rate: {type: float, low: 1.0e-4, high: 2.0e-3, log: true}\n",
    }
    return View(**(plain | changed))


def nasty() -> View:
    """Names and sentences that break a page which does not escape them."""
    bad = words(NASTY)
    wrong = Line(label=bad, text=bad, link="javascript:alert(1)")
    runs = (row(0, name=NASTY, changed=NASTY, why=NASTY), row(1, name=LONG, link="javascript:alert(1)"))
    clip = Clip(letter="A", uri="http://evil.example/a.wav", who=NASTY, link="javascript:alert(1)")
    return view(
        title=NASTY,
        kind=bad,
        status=bad,
        notices=(bad,),
        answer=(wrong,) * 5,
        commands=(Command(label=bad, command=NASTY + " " + "x" * 300),),
        rows=(*runs, *runs),
        stops=(dataclasses.replace(stop("asha", "health", NASTY), rule=NASTY, meaning=bad, example=wrong),),
        audit=(wrong,),
        no_importance=bad,
        matters=(dataclasses.replace(chart("x"), title=bad, summary=bad, head=(bad, NASTY), rows=((NASTY, LONG),)),),
        pictures=(Picture(title=bad, uri="http://evil.example/a.png", alt=bad), Picture(title=bad, uri=png(), alt=bad)),
        listening=(Sentence(title=NASTY, clips=(clip,), target=clip),),
        advice=(Advice(bad, bad, NASTY + "\n```\n"),),
        reproduction=(wrong,),
        settings=NASTY + "\n````\n</code></pre>\n",
        space="</style>\n```\n",
    )


def empty() -> View:
    """A study in which nothing has ended."""
    parts = ("notices", "commands", "columns", "rows", "stops", "audit", "matters", "curves", "pictures", "listening")
    nothing: dict[str, Any] = dict.fromkeys((*parts, "advice", "reproduction"), ())
    return view(**nothing, trials=None, no_importance=words("Nothing was searched over."), settings="", space="")
