"""Searches whose trials do what a script says, in a storage that waits for no disk."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from smart_tuner.analysis.results import Result
from smart_tuner.errors import Interrupted, OutOfMemoryError
from smart_tuner.space.parameter import Parameter
from smart_tuner.space.space import Constraint, Pruner, Sampler, Space
from smart_tuner.study.train import TrainStudy
from smart_tuner.study.tune import TuneStudy
from smart_tuner.trial import Trial
from tests.support import small
from tests.support.scripted import Executor, Item, Script, run, stop, training, validation

RATE = Parameter(name="hparams.learning_rate", type="float", low=1e-3, high=1e-1, log=True, line=1)
R = Parameter(name="hparams.reduction_factor", type="int", low=1, high=3, line=2)
GUIDED = Parameter(name="hparams.use_guided_attn", type="categorical", choices=(True, False), line=3)
SPACE = Space(
    file=Path("s.yaml"), parameters=(RATE, R), sampler=Sampler(name="random"), pruner=Pruner(name="none"), confirm=0
)
ASHA = dataclasses.replace(SPACE, pruner=Pruner(name="asha", warmup="100utt"))
"""Rungs at 100, 300 and 900 of 1000 utterances."""
OWN = {"hparams.learning_rate": 1e-2, "hparams.reduction_factor": 1}
SICK = stop("non_finite", "The loss is not finite.")
FULL = OutOfMemoryError("The GPU has no memory left.")
INTERRUPTED = Interrupted("Interrupted.", step=3)


def loss_of(trial: Trial) -> float:
    """Best at a learning rate of 3e-2; the settings' own is worse than any other. The seed adds a little."""
    hparams = trial.settings.hparams
    distance = 3.0 if hparams.learning_rate == 1e-2 else abs(math.log10(hparams.learning_rate / 3e-2))
    return distance + (hparams.seed % 7) / 1000


def healthy(trial: Trial) -> Script:
    """Validations at utterances 100, 300, 900 and 1000."""
    return [training(25), *fixed(*(loss_of(trial) + above for above in (0.3, 0.2, 0.1, 0.0)))(trial)]


def fixed(*losses: float) -> Callable[[Trial], Script]:
    """A trial with these losses at 100, 300, 900 and 1000 utterances, whatever its values."""
    told = [validation(step, loss) for step, loss in zip((25, 75, 225, 250), losses, strict=False)]
    return lambda _: [dataclasses.replace(one, fraction=one.step / 250) for one in told]


def act(special: dict[int, Callable[[Trial], Script]] | None = None) -> Callable[[Trial], Script]:
    """Healthy trials, but for those whose number says otherwise."""
    return lambda trial: (special or {}).get(trial.number, healthy)(trial)


def ending(*items: Item) -> Callable[[Trial], Script]:
    return lambda _: list(items)


Open = Callable[..., TuneStudy]
SPEAKS = (Constraint(metric="validation.alignment_score", operator=">=", limit=0.5),)


def search_in(
    storage: Any, trials: int = 6, space: Space = SPACE, name: str = "s", corpus: str = "c0rpus", **given: Any
) -> TuneStudy:
    """The search of this name, new or found again: trials of 1000 utterances of a corpus of 100."""
    settings = small.settings(**{"budget": "1000utt", **given.pop("settings", {})})
    return TuneStudy(name, storage, space, settings, corpus, 100, trials, **given)


Study = TuneStudy | TrainStudy


def trials(study: Study) -> list[FrozenTrial]:
    return study.study.get_trials(deepcopy=False)


def states(study: Study) -> list[str]:
    return [trial.state.name for trial in trials(study)]


def searched(study: TuneStudy) -> list[Result]:
    return [result for result in study.results() if not result.confirms]


def finish(study: Study, executor: Executor | None = None) -> Executor:
    executor = executor or Executor(act=healthy)
    list(run(study, executor))
    return executor


class Cut(Exception):
    """The machine dies at a call of the storage."""


def write_calls(cut_at: int) -> Iterator[None]:
    """Every writing call of Optuna's storage passes by here; the one with this number never happens."""
    for number in itertools.count(1):
        if number == cut_at:
            raise Cut
        yield


WRITES = (
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
)


def cut_down(study: TuneStudy, cut_at: int) -> None:
    """Make the storage die at a writing call."""
    passed = write_calls(cut_at)
    for name in WRITES:
        real = getattr(study.study._storage, name)

        def call(*given: Any, _real: Callable[..., Any] = real, **named: Any) -> Any:
            next(passed)
            return _real(*given, **named)

        setattr(study.study._storage, name, call)
