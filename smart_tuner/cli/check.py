"""--mode check: the preflight of a corpus."""

from smart_tuner.cli.console import Console
from smart_tuner.cli.corpus import (
    TOLD_AT_ONCE,
    describe_plan,
    judge_search,
    leaving_no_empty_cache,
    mel_cache,
    open_corpus,
)
from smart_tuner.cli.inputs import find_space
from smart_tuner.cli.options import Options
from smart_tuner.speech import preflight

STYLES = {"good": "green", "watch": "yellow", "bad": "bold red"}


def run_check(options: Options, console: Console) -> int:
    """Report on the corpus; 1 when training on it makes no sense. Raises UserError."""
    settings = options.resolve_settings()
    if options.dry_run:
        describe_plan(options, settings, console)
        console.say("Dry run", "nothing was written")
        return 0
    opened = open_corpus(options, settings, console)
    cache = mel_cache(options, settings)
    with leaving_no_empty_cache(cache), console.counting("reading audio") as report:
        sound = preflight.read_sound(opened, settings, cache, report)
    notes = preflight.judge_corpus(opened, settings, sound)
    console.say(f"Corpus {opened.name}")
    if options.space is not None:
        notes += judge_search(find_space(options, settings), settings, preflight.train_lengths(opened, sound))
    for note in notes:
        console.say(f"  {note.level:<6}{note.about:<13}", note.text, STYLES[note.level])
        for detail in note.details:
            console.say(f"    {detail}")
    bad = sum(note.level == "bad" for note in notes)
    if bad:
        verdict = f"training on this corpus makes no sense yet: {bad} finding(s) to put right"
        console.say("Verdict", verdict, STYLES["bad"])
        return 1
    first = list(dict.fromkeys(note.about for note in notes if note.level == "watch" and note.about in TOLD_AT_ONCE))
    look = f", after a look at {', '.join(first)}" if first else ""
    console.say("Verdict", f"fit for training{look}", STYLES["watch" if first else "good"])
    console.say("Next", options.again(mode="train"))
    return 0
