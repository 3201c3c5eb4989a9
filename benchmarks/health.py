"""How soon the health rules stop planted faults, and whether they leave healthy trainings alone, on the demo preset.

`python -m benchmarks.health planted|healthy|replay [--names NAME ...] [--jobs 2] [--output FOLDER] [--whole]`

A training is left where the watch says, or with --whole told to its end; all that it tells is kept in the folder as
NAME.jsonl. replay runs the rules of today over those files, which is how their thresholds were chosen. A healthy
training takes about 4 minutes on a core; each has a process and a thread of its own.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.demo_corpus import prepare_demo
from model.scoring import LocationScoring
from smart_tuner.errors import TrialStopped, Verdict
from smart_tuner.health.watch import Watch
from smart_tuner.paths import TrialFolder
from smart_tuner.progress import Progress
from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.speech.batches import Example
from smart_tuner.training.run import make_trainer
from smart_tuner.training.trainer import Trainer
from smart_tuner.trial import Trial

DIVERGED = ("exploding_gradients", "loss_jump", "non_finite")


# the plants: what is done to a trainer, before it starts or after an iteration, and to the corpus


def freeze_gate(trainer: Trainer, bias: float) -> None:
    gate = trainer.model.decoder.gate_layer.linear_layer
    with torch.no_grad():
        gate.weight.zero_()
        gate.bias.fill_(bias)
    gate.weight.requires_grad_(False)
    gate.bias.requires_grad_(False)


def never_stop(trainer: Trainer) -> None:
    freeze_gate(trainer, -8.0)


def always_stop(trainer: Trainer) -> None:
    freeze_gate(trainer, 8.0)


def stick(trainer: Trainer) -> None:
    """The attention prefers the first token by more than training can outweigh. It lasts as long as the process."""
    reachable = LocationScoring._reachable

    def stuck(scoring: LocationScoring, t: int, scores_BN: Tensor) -> Tensor:
        scores_BN[:, 0] += 1e4
        return reachable(scoring, t, scores_BN)

    LocationScoring._reachable = stuck  # type: ignore[method-assign]


def lose_a_weight(trainer: Trainer, step: int) -> None:
    if step == 60:
        with torch.no_grad():
            next(trainer.model.parameters()).fill_(float("nan"))


def raise_rate(trainer: Trainer, step: int) -> None:
    """After the attention has formed."""
    if step == 75:
        trainer.hparams = dataclasses.replace(trainer.hparams, learning_rate=0.2)


def leave(*_: Any) -> None:
    """Plants nothing."""


def as_it_is(examples: list[Example]) -> list[Example]:
    return examples


def few(examples: list[Example]) -> list[Example]:
    return examples[:32]


def shuffled(examples: list[Example]) -> list[Example]:
    """Each text belongs to another recording."""
    order = np.random.default_rng(0).permutation(len(examples))
    return [
        dataclasses.replace(example, tokens=examples[other].tokens)
        for example, other in zip(examples, order, strict=True)
    ]


@dataclass(frozen=True)
class Case:
    """A training, what is wrong with it, and the rules that may stop it."""

    sets: str = ""
    """Settings in which it differs from the demo preset, without `hparams.`."""
    right: tuple[str, ...] = ()
    before: Callable[[Trainer], None] = leave
    after: Callable[[Trainer, int], None] = leave
    train: Callable[[list[Example]], list[Example]] = as_it_is
    validation: Callable[[list[Example]], list[Example]] = as_it_is

    def settings(self) -> Settings:
        sets = ["attention_kind=location", *self.sets.split()]  # the published one, which can stick and collapse
        return load_settings("demo", None, ["tracking.freerun_evaluations=0", *(f"hparams.{one}" for one in sets)])


NO_DROPOUT = "encoder_dropout=0 prenet_dropout=0.1 postnet_dropout=0 attention_dropout=0 decoder_dropout=0"
PLANTED = {
    "rate_100": Case("learning_rate=0.4", DIVERGED),
    "nan": Case("", ("non_finite",), after=lose_a_weight),
    "no_guide": Case("use_guided_attn=false forward_sum_weight=0 learning_rate=2e-5", ("attention_late",)),
    "gate_never": Case("", ("gate_never",), before=never_stop),
    "gate_always": Case("", ("gate_always",), before=always_stop),
    "stuck": Case("", ("attention_stuck",), before=stick),
    "turns_up": Case("schedule=constant", (*DIVERGED, "attention_collapsed"), after=raise_rate),
    "shuffled": Case("", ("attention_off_diagonal",), train=shuffled, validation=shuffled),
    "overfits": Case(f"schedule=constant weight_decay=0 {NO_DROPOUT}", ("validation_rising",), train=few),
}
"""The faults of the issue, and beside the loss that jumps up one that creeps up, by overfitting 32 utterances."""

HEALTHY = {
    "h00": Case(),
    "h01": Case("seed=2"),
    "h02": Case("learning_rate=2e-3"),
    "h03": Case("batch_size=8"),
    "h04": Case("batch_size=32"),
    "h05": Case("learning_rate=1e-3 seed=5"),
    "h06": Case("reduction_factor=2"),
    "h07": Case("forward_sum_weight=0 learning_rate=2e-3"),
    "h08": Case("guide_weight=5"),
    "h09": Case("guide_weight=0.3"),
    "h10": Case("gate_positive_weight=1"),
    "h11": Case("gate_positive_weight=15"),
    "h12": Case("schedule=constant learning_rate=2e-3"),
    "h13": Case("use_guided_attn=false"),
    "h14": Case("prenet_dropout=0.3"),
    "h15": Case("attention_dropout=0.3 decoder_dropout=0.3"),
    "h16": Case("grad_clip_thresh=5"),
    "h17": Case("learning_rate=6e-3"),
    "h18": Case("warmup_iterations=0 seed=7"),
    "h19": Case("budget=2400utt"),
}
CASES = PLANTED | HEALTHY


def told(name: str, output: Path) -> Iterator[Progress]:
    """Train a case; all that it tells goes into its file too."""
    case = CASES[name]
    settings = case.settings()
    examples = prepare_demo(settings, output)
    changed = dataclasses.replace(
        examples, train=case.train(examples.train), validation=case.validation(examples.validation)
    )
    trial = Trial(number=0, origin="baseline", settings=settings)
    trainer = make_trainer(trial, changed, torch.device("cpu"), TrialFolder(output / name))
    case.before(trainer)
    with (output / f"{name}.jsonl").open("w", encoding="utf-8") as journal:
        try:
            for progress in trainer.steps():
                journal.write(json.dumps(dataclasses.asdict(progress)) + "\n")
                yield progress
                if progress.kind == "training":
                    case.after(trainer, progress.step)
        except TrialStopped as stop:  # it was not finite: the trainer's own rule
            journal.write(json.dumps(dataclasses.asdict(stop.verdict)) + "\n")
            raise


def kept(file: Path) -> Iterator[Progress]:
    """What an earlier training told."""
    for line in file.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if "kind" not in entry:
            raise TrialStopped(Verdict(**entry))
        yield Progress(**entry)


@dataclass(frozen=True)
class Outcome:
    """What the watch said of a case."""

    name: str
    findings: list[Verdict]
    """Warnings, and the first stop."""
    rule: str = ""
    """The one that stopped it; empty when none did."""
    step: int = 0
    share: float = 1.0
    """Of the budget, used."""
    sentence: str = ""


def judged(name: str, progresses: Iterator[Progress], whole: bool) -> Outcome:
    """Follow a training until the first stop, or to its end."""
    case = CASES[name].settings()
    watch, said, first, share = Watch(case.health, case.hparams), [], None, 0.0
    try:
        for progress in progresses:
            share = progress.fraction
            for finding in watch.judge(progress):
                said.append(finding)
                if finding.level == "stop" and first is None:
                    first = Outcome(name, said, finding.rule, finding.step, share, finding.sentence)
            if first and not whole:
                break
    except TrialStopped as stop:
        return first or Outcome(name, said, stop.verdict.rule, stop.verdict.step, share, str(stop))
    return first or Outcome(name, said)


def run(name: str, output: Path, whole: bool) -> Outcome:
    """Train and judge a case, in a process of its own."""
    torch.set_num_threads(1)
    return judged(name, told(name, output), whole)


def all_outcomes(names: list[str], jobs: int, output: Path, whole: bool) -> Iterator[Outcome]:
    """Outcomes as they come, in the order of the names."""
    prepare_demo(CASES[names[0]].settings(), output)  # once, before several processes want it
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        yield from pool.map(run, names, [output] * len(names), [whole] * len(names))


def report(outcomes: list[Outcome]) -> None:
    """Two tables: the planted faults, the healthy trainings."""
    planted = [one for one in outcomes if one.name in PLANTED]
    healthy = [one for one in outcomes if one.name in HEALTHY]
    if planted:
        print("\n| fault | stopped by | right | iteration | budget used | sentence |\n|---|---|---|---|---|---|")
    for one in planted:
        right = "yes" if one.rule in PLANTED[one.name].right else "NO"
        print(f"| {one.name} | {one.rule or 'nothing'} | {right} | {one.step} | {one.share:.1%} | {one.sentence} |")
    if planted:
        right_ones = sum(one.rule in PLANTED[one.name].right for one in planted)
        share = statistics.median(one.share for one in planted)
        print(f"\n{right_ones} of {len(planted)} by the right rule; budget used: median {share:.1%} (wanted < 25 %)")
    if healthy:
        print("\n| training | differs in | stopped by | warned of |\n|---|---|---|---|")
    for one in healthy:
        warned = ", ".join(f"{said.rule} ({said.step})" for said in one.findings if said.level == "warn")
        print(
            f"| {one.name} | {HEALTHY[one.name].sets} | {f'{one.rule} ({one.step})' if one.rule else ''} | {warned} |"
        )
    if healthy:
        print(f"\n{sum(bool(one.rule) for one in healthy)} of {len(healthy)} healthy trainings stopped (wanted 0)")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.health", description=__doc__)
    parser.add_argument("what", choices=["planted", "healthy", "replay"])
    parser.add_argument("--names", nargs="+", choices=CASES, metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("smart_tuner_files/health"))
    parser.add_argument(
        "--whole", action="store_true", help="train to the end, so that other thresholds can be replayed"
    )
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    names = given.names or list({"planted": PLANTED, "healthy": HEALTHY, "replay": CASES}[given.what])
    if given.what == "replay":
        files = {name: given.output / f"{name}.jsonl" for name in names}
        report([judged(name, kept(file), whole=True) for name, file in files.items() if file.exists()])
        return
    outcomes = []
    for outcome in all_outcomes(names, given.jobs, given.output, given.whole):
        print(f"{outcome.name}: {outcome.sentence or 'went to its end'}", flush=True)
        outcomes.append(outcome)
    report(outcomes)


if __name__ == "__main__":
    main()
