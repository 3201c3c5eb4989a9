"""The training loop: what it reports, that it repeats and resumes exactly, and when it stops."""

import dataclasses
import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.losses import training_losses
from smart_tuner import checkpoint
from smart_tuner.errors import OutOfMemoryError, TrialStopped
from smart_tuner.paths import TrialFolder
from smart_tuner.progress import TRAINING_METRICS, VALIDATION_METRICS, Progress
from smart_tuner.settings.health import Health
from smart_tuner.speech.batches import load_batches, plan_epoch
from smart_tuner.speech.mel_file import write_mel
from smart_tuner.training.optimisation import learning_rate, loss_weights
from smart_tuner.training.state import OVERFLOW_SHARE, OVERFLOW_WINDOW, TrainState
from smart_tuner.training.trainer import Trainer
from tests.support import small
from tests.support.progress import bits, of_kind, series, train_until, weights

Whole = tuple[Trainer, list[Progress]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A training from its start to its end, and all that it told."""
    trainer = small.trainer(tmp_path_factory.mktemp("whole"))
    return trainer, list(trainer.steps())


# what is reported


@pytest.mark.parametrize("r", [1, 2, 3])
def test_every_iteration_and_validation_has_every_metric_of_the_contract(tmp_path: Path, r: int) -> None:
    progress = list(small.trainer(tmp_path, reduction_factor=r).steps())
    training, validation = of_kind("training", progress), of_kind("validation", progress)
    assert len(training) == 6
    assert len(validation) == 2
    assert {tuple(one.fixed()) for one in training} == {TRAINING_METRICS}
    assert {tuple(one.fixed()) for one in validation} == {VALIDATION_METRICS}
    assert {frozenset(one.metrics) - set(TRAINING_METRICS) for one in training} == {
        frozenset({"training.frames_per_second"})
    }
    assert {frozenset(one.metrics) - set(VALIDATION_METRICS) for one in validation} == {
        frozenset({"validation.attention_coverage", "validation.attention_spread"})
    }
    assert all(math.isfinite(value) for one in progress for value in one.metrics.values())


def test_counters_count(whole: Whole) -> None:
    _, progress = whole
    training, validation = of_kind("training", progress), of_kind("validation", progress)
    assert series("iteration", training) == [one.step for one in training] == [1, 2, 3, 4, 5, 6]
    assert series("epoch", training) == [1, 1, 1, 2, 2, 2]
    assert [one.utterances for one in training] == [4, 8, 12, 16, 20, 24]
    assert [one.fraction for one in training] == [step / 6 for step in range(1, 7)]
    assert series("validation.step", validation) == [1, 2]
    assert [(one.step, one.utterances) for one in validation] == [(3, 12), (6, 24)]


def test_losses_of_features_that_are_off_are_zero_and_the_others_are_not(tmp_path: Path) -> None:
    guided, unguided = (next(small.trainer(tmp_path, use_guided_attn=used).steps()).metrics for used in (True, False))
    assert guided["training.mi_loss"] == guided["training.emb_loss"] == unguided["training.guide_loss"] == 0.0
    assert min(guided[f"training.{name}_loss"] for name in ("taco", "atten", "guide", "gate")) > 0.0
    assert guided["training.loss"] == pytest.approx(unguided["training.loss"] + guided["training.guide_loss"])


def test_frames_per_second_are_real_frames_over_the_duration(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, budget="1it")
    first = plan_epoch(trainer.frames, 4, trainer.hparams.seed, 0)[0]
    metrics = next(trainer.steps()).metrics
    assert metrics["training.frames_per_second"] == pytest.approx(
        sum(trainer.frames[index] for index in first) / metrics["duration"]
    )


# the learning rate


def test_the_rate_reported_is_the_rate_used(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path)
    used: list[float] = []
    trainer.optimizer.register_step_pre_hook(lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"]))
    reported = series("learning.rate", list(trainer.steps()))
    assert reported == used == [learning_rate(trainer.hparams, step + 1, step / 6) for step in range(6)]
    assert len(set(reported)) > 3


# repeating


@pytest.mark.slow
def test_the_same_seed_repeats_exactly_and_another_does_not(whole: Whole, tmp_path: Path) -> None:
    again, other = (small.lines(islice(small.trainer(tmp_path, seed=seed).steps(), 4)) for seed in (1234, 6))
    assert again == small.lines(whole[1][:4]) != other


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["location", "dynamic", "forward"])
def test_the_plain_loop_tells_the_same_to_float_tolerance_over_50_iterations(tmp_path: Path, kind: str) -> None:
    losses = []
    for loop in ("fast", "plain"):
        wanted = {"attention_kind": kind, "decoder_loop": loop, "budget": "50it", "validation_freq": 25}
        progress = list(small.trainer(tmp_path / loop, **wanted).steps())
        losses.append(torch.tensor([one.metrics[f"{one.kind}.loss"] for one in progress]))
    assert len(losses[0]) == 52
    torch.testing.assert_close(*losses, rtol=1e-3, atol=0)
    assert not torch.equal(*losses)  # the other loop did run


# fewer frames a decoder step


def test_the_reduction_factor_falls_by_utterances_seen(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, reduction_factor=3, reduction_schedule="2@8,1@16", validation_freq=2)
    used = [(one.kind, one.step, trainer.model.reduction_factor) for one in trainer.steps()]
    assert [r for kind, _, r in used if kind == "training"] == [3, 3, 2, 2, 1, 1]
    assert [r for kind, _, r in used if kind == "validation"] == [3, 2, 1]
    assert [(note.rule, note.step) for note in trainer.notes] == [("reduction_factor", 2), ("reduction_factor", 4)]
    assert checkpoint.read_checkpoint(trainer.folder.last)["reduction_factor"] == 1
    exhibit = trainer.validation.exhibit
    assert exhibit is not None
    assert exhibit.attention_TN.shape[0] == exhibit.target_MF.shape[1]


# what validations change


def judged_by(trainer: Trainer, scores: list[float]) -> Trainer:
    """The trainer with a validation that finds these alignment scores, one after the other."""
    left = iter(scores)
    trainer.validation.run = lambda *_: {  # type: ignore[method-assign]
        "validation.loss": 1.0,
        "validation.alignment_score": next(left),
    }
    return trainer


def guide_weights(progress: list[Progress]) -> list[float]:
    """What the guide's loss counts in the whole, by iteration."""
    training = of_kind("training", progress)
    names = ("loss", "taco_loss", "gate_loss", "guide_loss")
    return [
        (a - b - c) / d for a, b, c, d in zip(*(series(f"training.{name}", training) for name in names), strict=True)
    ]


def test_the_guide_is_annealed_while_the_attention_is_formed(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, guide_anneal=1, validation_freq=1, guide_weight=2.0)
    progress = list(judged_by(trainer, [0.6, 0.6, 0.6, 0.4, 0.6, 0.6]).steps())
    assert guide_weights(progress) == pytest.approx([2, 2, 1, 0.5, 2, 2], rel=1e-3)
    assert [(note.rule, note.step) for note in trainer.notes] == [("guide_annealed", 2), ("guide_annealed", 6)]


def test_whether_the_attention_is_formed_is_said_by_the_health_settings(tmp_path: Path) -> None:
    chosen = small.settings(guide_anneal=1, validation_freq=1, budget="3it")
    stricter = dataclasses.replace(chosen, health=Health(formed_score=0.7))
    for settings, formed in ((chosen, 3), (stricter, 0)):
        trainer = judged_by(small.trainer(tmp_path, settings), [0.6] * 3)
        list(trainer.steps())
        assert trainer.state.formed == formed


def test_validations_at_rungs_do_not_change_the_training(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, guide_anneal=1, validation_freq=1000, schedule="plateau", warmup_iterations=0)
    trainer.rungs = tuple(range(4, 24, 4))
    progress = list(judged_by(trainer, [0.6] * 6).steps())
    assert len(of_kind("validation", progress)) == 6
    assert guide_weights(progress) == pytest.approx([1.0] * 6, rel=1e-3)
    assert (trainer.state.formed, trainer.state.plateau_waited) == (0, 0)


def test_a_plateau_lowers_the_rate(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, schedule="plateau", validation_freq=1, budget="8it", warmup_iterations=0)
    assert series("learning.rate", list(judged_by(trainer, [0.6] * 8).steps())) == [1e-2] * 6 + [5e-3] * 2


class Speaking:
    """Speaks freely, and notes with which weights."""

    def __init__(self) -> None:
        self.weights: list[list[int]] = []
        self.rows: list[dict[str, Any]] = []
        self.last: list[bool] = []

    def run(self, model: nn.Module, _: torch.device, *, last: bool) -> dict[str, float]:
        self.last.append(last)
        self.weights.append(bits(model.get_parameter("embedding.weight")))
        return {"validation.freerun.failure_rate": len(self.weights) / 8}


def test_free_running_evaluations_are_part_of_their_validations(tmp_path: Path) -> None:
    trainer = judged_by(small.trainer(tmp_path, validation_freq=1, ema_decay=0.5), [0.3, 0.3, 0.6, 0.6, 0.6, 0.6])
    trainer.freerun = Speaking()  # type: ignore[assignment]
    validation = of_kind("validation", list(trainer.steps()))
    rates = {one.step: series("validation.freerun.failure_rate", [one]) for one in validation}
    assert rates == {1: [], 2: [], 3: [0.125], 4: [], 5: [0.25], 6: [0.375]}
    assert trainer.freerun.last == [False, False, True]  # type: ignore[attr-defined]
    assert trainer.freerun.weights[-1] == bits(trainer.ema.mean["embedding.weight"])  # type: ignore[attr-defined]


# the running mean of the weights


@pytest.mark.slow
def test_the_mean_of_the_weights_is_validated_and_exported_and_the_training_is_the_same(
    whole: Whole, tmp_path: Path
) -> None:
    trainer = small.trainer(tmp_path, validation_freq=6, ema_decay=0.9)
    averaged = list(trainer.steps())
    assert small.lines(of_kind("training", averaged)) == small.lines(of_kind("training", whole[1]))
    assert series("validation.loss", averaged)[-1] != series("validation.loss", whole[1])[-1]
    last = checkpoint.read_checkpoint(trainer.folder.last)
    best = checkpoint.read_checkpoint(trainer.folder.best)
    assert best["train_state"]["best_step"] == 6  # the only validation's: the mean of then is the mean of the end
    assert {name: bits(best["state_dict"][name]) for name in last["ema"]} == {
        name: bits(value) for name, value in last["ema"].items()
    }
    assert bits(last["state_dict"]["embedding.weight"]) == weights(trainer)["embedding.weight"]
    assert best["ema"] == {}


def test_what_is_spoken_is_the_mean_of_the_weights(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, ema_decay=0.9)
    train_until(trainer, 3)
    tokens = trainer.validation.examples[0].tokens
    spoken = trainer.speak(tokens, most_frames=10)
    again = small.trainer(tmp_path)
    again.model.load_state_dict({**trainer.model.state_dict(), **trainer.ema.mean})
    np.testing.assert_array_equal(spoken, again.speak(tokens, most_frames=10))


# mutual information and stress


def test_the_factor_is_logged_and_scales_what_mi_loss_adds(tmp_path: Path) -> None:
    metrics = next(small.trainer(tmp_path, use_mmi=True, max_gaf=0.2).steps()).metrics
    assert 0 < metrics["training.gaf"] <= 0.2 + 1e-6
    parts = [metrics[f"training.{name}_loss"] for name in ("taco", "gate", "guide")]
    assert metrics["training.loss"] == pytest.approx(sum(parts) + metrics["training.gaf"] * metrics["training.mi_loss"])


@pytest.mark.slow
def test_stress_marks_are_masked_in_training_and_not_in_validation(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, stress_masking=1.0)
    trainer.data = dataclasses.replace(trainer.data, symbols=(*small.SYMBOLS[:-1], "+"))
    seen: dict[bool, int] = {True: 0, False: 0}

    def count(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[model.training] += int((inputs[0] == len(small.SYMBOLS) - 1).sum())

    trainer.model.register_forward_pre_hook(count)
    list(trainer.steps())
    assert seen[True] == 0 < seen[False]


# validation


def test_validation_leaves_no_trace_in_the_training(whole: Whole, tmp_path: Path) -> None:
    often = list(small.trainer(tmp_path, validation_freq=1).steps())
    assert (len(of_kind("validation", often)), len(of_kind("validation", whole[1]))) == (6, 2)
    assert small.lines(of_kind("training", often)) == small.lines(of_kind("training", whole[1]))


def test_the_model_is_in_training_mode_outside_a_validation(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path)
    modes: list[tuple[bool, bool]] = []
    trainer.model.register_forward_pre_hook(lambda model, _: modes.append((model.training, torch.is_grad_enabled())))
    outside = [(trainer.model.training, torch.is_grad_enabled()) for _ in trainer.steps()]
    assert outside == [(True, True)] * 8
    assert modes == [*[(True, True)] * 3, (False, False)] * 2


def with_rungs(folder: Path, rungs: tuple[int, ...], **wanted: Any) -> Trainer:
    trainer = small.trainer(folder, **{"validation_freq": 1000, **wanted})
    trainer.rungs = rungs
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rungs", "steps"), [((), [6]), ((8,), [2, 6]), ((9, 10, 12), [3, 6]), ((1, 23), [1, 6]), ((0, 400), [6])]
)
def test_a_rung_is_validated_when_it_is_reached(tmp_path: Path, rungs: tuple[int, ...], steps: list[int]) -> None:
    validation = of_kind("validation", list(with_rungs(tmp_path, rungs).steps()))
    assert [one.step for one in validation] == steps


def test_rungs_come_beside_the_regular_validations(tmp_path: Path) -> None:
    validation = of_kind("validation", list(with_rungs(tmp_path, (12, 16), validation_freq=3).steps()))
    assert [one.step for one in validation] == [3, 4, 6]
    assert series("validation.step", validation) == [1, 2, 3]


# starting from another training's weights


def test_a_training_starts_from_the_weights_of_a_checkpoint_and_nothing_else(whole: Whole, tmp_path: Path) -> None:
    first, _ = whole
    second = small.trainer(tmp_path, seed=9)
    second.start_from(first.folder.last)
    assert weights(second) == weights(first)
    assert second.state == TrainState()
    assert not second.optimizer.state_dict()["state"]
    assert next(second.steps()).step == 1


def test_a_warm_start_is_told(tmp_path: Path) -> None:
    first = small.trainer(tmp_path)
    first.save()
    second = small.trainer(tmp_path, use_mmi=True)
    second.start_from(first.folder.last)
    assert [note.rule for note in second.notes] == ["warm_start"]
    assert "text_head.linear (2)" in second.notes[0].sentence


# gradients


def gradient_norms(trainer: Trainer) -> list[float]:
    """Filled with the norm of the gradients that each optimizer step sees."""
    norms: list[float] = []

    def note(optimizer: torch.optim.Optimizer, *_: object) -> None:
        gradients = [parameter.grad for parameter in optimizer.param_groups[0]["params"]]
        norms.append(math.sqrt(sum(float((gradient.double() ** 2).sum()) for gradient in gradients)))

    trainer.optimizer.register_step_pre_hook(note)
    return norms


def test_grad_norm_is_the_norm_before_clipping_and_clipping_acts(tmp_path: Path) -> None:
    clipped, free = (small.trainer(tmp_path, budget="1it", grad_clip_thresh=limit) for limit in (0.1, 1e6))
    clipped_norms, free_norms = gradient_norms(clipped), gradient_norms(free)
    torch.manual_seed(0)
    reported = series("grad.norm", list(clipped.steps()))
    torch.manual_seed(0)
    assert series("grad.norm", list(free.steps())) == reported
    assert free_norms == pytest.approx(reported, rel=1e-5)
    assert clipped_norms == pytest.approx([0.1], rel=1e-3)
    assert reported[0] > 1.0


def test_the_first_gradient_is_that_of_the_first_batchs_loss(tmp_path: Path) -> None:
    reported = next(small.trainer(tmp_path).steps()).metrics
    twin = small.trainer(tmp_path)  # the same seed: the same weights, and the same dropout from here on
    batch = next(load_batches(twin.data.train, plan_epoch(twin.frames, 4, twin.hparams.seed, 0), small.CPU))
    predicted = twin.model(batch.tokens_BN, batch.tokens_B, batch.mels_BMF, batch.frames_B)
    counted = loss_weights(twin.hparams, 0)
    losses = training_losses(predicted, batch.tokens_B, batch.mels_BMF, batch.frames_B, r=1, weights=counted)
    gradients = torch.autograd.grad(losses["loss"], list(twin.model.parameters()))
    assert reported["training.loss"] == losses["loss"].item()
    assert reported["grad.norm"] == pytest.approx(math.sqrt(sum(float((g**2).sum()) for g in gradients)), rel=1e-5)


def poison_weight(trainer: Trainer) -> None:
    with torch.no_grad():
        trainer.model.decoder.gate_layer.linear_layer.weight[0, 0] = math.nan


def poison_mels(trainer: Trainer) -> None:
    for example in trainer.data.train:
        mel = np.load(example.mel)
        mel[0, 0] = math.inf
        write_mel(example.mel, mel)


def poison_gradient(trainer: Trainer) -> None:
    trainer.model.embedding.weight.register_hook(lambda gradient: gradient * math.inf)


@pytest.mark.parametrize("poison", [poison_weight, poison_mels, poison_gradient])
def test_a_loss_or_gradient_that_is_not_finite_stops_before_the_optimizer_step(
    tmp_path: Path, poison: Callable[[Trainer], None]
) -> None:
    trainer = small.trainer(tmp_path)
    training = trainer.steps()
    assert [next(training).step, next(training).step] == [1, 2]
    poison(trainer)
    before, state = weights(trainer), repr(trainer.optimizer.state_dict()["state"])
    with pytest.raises(TrialStopped, match=r"iteration 3: .* no optimizer step") as stopped:
        next(training)
    assert weights(trainer) == before
    assert repr(trainer.optimizer.state_dict()["state"]) == state
    assert (stopped.value.verdict.rule, stopped.value.verdict.step) == ("non_finite", 3)
    assert not all(math.isfinite(value) for value in stopped.value.verdict.observed.values())


def test_a_validation_loss_that_is_not_finite_stops_the_trial(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path)
    mel = np.load(trainer.validation.examples[0].mel)
    write_mel(trainer.validation.examples[0].mel, mel * math.nan)
    with pytest.raises(TrialStopped, match=r"validation\.loss is not finite") as stopped:
        list(trainer.steps())
    assert (stopped.value.verdict.rule, stopped.value.verdict.step) == ("non_finite", 3)


# mixed precision


def with_loss_scale(trainer: Trainer, scale: float = 1024.0) -> Trainer:
    """The trainer as on a GPU that needs fp16: its loss is scaled."""
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return trainer


def test_the_loss_scale_goes_on_where_it_was_and_a_checkpoint_without_one_has_none_to_restore(tmp_path: Path) -> None:
    first = with_loss_scale(small.trainer(tmp_path))
    first.save()
    second = with_loss_scale(small.trainer(tmp_path), 8.0)
    second.restore()
    assert second.scaler.get_scale() == first.scaler.get_scale() == 1024.0
    small.trainer(tmp_path).save()
    third = with_loss_scale(small.trainer(tmp_path), 8.0)
    third.restore()
    assert third.scaler.get_scale() == 8.0


def test_the_loss_scale_is_removed_before_the_norm_is_taken(whole: Whole, tmp_path: Path) -> None:
    scaled = series("grad.norm", list(with_loss_scale(small.trainer(tmp_path)).steps()))
    assert scaled == pytest.approx(series("grad.norm", whole[1]), rel=1e-3)


def test_an_fp16_overflow_skips_its_step_is_counted_and_not_reported(tmp_path: Path) -> None:
    trainer = with_loss_scale(small.trainer(tmp_path))
    training = trainer.steps()
    next(training)
    before = weights(trainer)
    overflow = trainer.model.embedding.weight.register_hook(lambda gradient: gradient * math.inf)
    assert "grad.norm" not in next(training).metrics
    assert weights(trainer) == before
    overflow.remove()
    assert "grad.norm" in next(training).metrics
    assert weights(trainer) != before
    assert (trainer.state.skipped, trainer.state.skipped_at) == (1, [2])


@pytest.mark.slow
def test_fp16_that_overflows_too_often_is_given_up_and_the_training_goes_on(tmp_path: Path) -> None:
    trainer = with_loss_scale(small.trainer(tmp_path, budget="100it", validation_freq=1000))
    trainer.precision = torch.float16
    overflow = trainer.model.embedding.weight.register_hook(lambda gradient: gradient * math.inf)
    training, allowed = trainer.steps(), int(OVERFLOW_SHARE * OVERFLOW_WINDOW)
    assert all("grad.norm" not in next(training).metrics for _ in range(allowed))
    assert trainer.scaler.is_enabled()
    next(training)
    assert (trainer.precision, trainer.scaler.is_enabled()) == (torch.float32, False)
    assert [(note.level, note.rule, note.step) for note in trainer.notes] == [("note", "fp16_overflow", allowed + 1)]
    overflow.remove()
    assert "grad.norm" in next(training).metrics
    trainer.save()
    again = with_loss_scale(small.trainer(tmp_path, budget="100it", validation_freq=1000))
    again.restore()
    assert (again.precision, again.scaler.is_enabled()) == (torch.float32, False)


@pytest.mark.slow
def test_what_is_not_finite_in_fp32_too_stops_the_trial_after_fp16_is_given_up(tmp_path: Path) -> None:
    trainer = with_loss_scale(small.trainer(tmp_path, budget="100it", validation_freq=1000))
    trainer.model.embedding.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrialStopped) as stopped:
        list(trainer.steps())
    assert stopped.value.verdict.step == OVERFLOW_SHARE * OVERFLOW_WINDOW + 2


# budgets and checkpoints


@pytest.mark.parametrize(("budget", "iterations"), [("2ep", 6), ("1.5ep", 5), ("7it", 7), ("9utt", 3), ("0.001s", 1)])
def test_a_budget_ends_the_training_after_a_validation(tmp_path: Path, budget: str, iterations: int) -> None:
    progress = list(small.trainer(tmp_path, budget=budget, validation_freq=1000).steps())
    assert [one.step for one in of_kind("training", progress)] == list(range(1, iterations + 1))
    assert (progress[-1].kind, progress[-1].step, progress[-1].fraction) == ("validation", iterations, 1.0)
    assert len(of_kind("validation", progress)) == 1


def test_planned_epochs_follow_the_budget(tmp_path: Path) -> None:
    assert small.trainer(tmp_path, budget="7it").planned_epochs() == pytest.approx(7 / 3)
    assert small.trainer(tmp_path, budget="7m").planned_epochs() is None


@pytest.mark.slow
def test_best_is_the_checkpoint_of_the_lowest_validation_loss(tmp_path: Path) -> None:
    trainer, losses = small.trainer(tmp_path, validation_freq=2), []
    for progress in trainer.steps():
        losses += series("validation.loss", [progress])
        level = {1: 9.0, 3: -3.0, 5: 9.0}.get(progress.step)
        if level is not None:
            nn.init.constant_(trainer.model.decoder.linear_projection.linear_layer.bias, level)
    best = checkpoint.read_checkpoint(trainer.folder.best)
    assert losses.index(min(losses)) == 1  # neither the first nor the last, or this would show nothing
    assert best["train_state"]["best_step"] == best["train_state"]["iteration"] == 4
    again = small.trainer(tmp_path)
    again.model.load_state_dict(best["state_dict"])
    assert again._validate().metrics["validation.loss"] == min(losses) == best["train_state"]["best_loss"]


def test_the_last_checkpoint_is_complete(whole: Whole) -> None:
    trainer, _ = whole
    last = checkpoint.read_checkpoint(trainer.folder.last)
    assert {name: bits(tensor) for name, tensor in last["state_dict"].items()} == {
        name: bits(tensor) for name, tensor in trainer.model.state_dict().items()
    }
    assert last["symbols"] == list(small.SYMBOLS)
    assert last["train_state"]["iteration"] == 6
    assert last["settings"]["hparams"]["learning_rate"] == trainer.hparams.learning_rate
    assert (last["front_end"], last["corpus"], last["reduction_factor"]) == ({}, "", 1)


def test_a_checkpoint_tells_front_end_and_corpus(tmp_path: Path) -> None:
    data = small.data(tmp_path, front_end={"language": "en"}, corpus_digest="d1ge57")
    trainer = Trainer(small.settings(), data, small.CPU, TrialFolder(tmp_path))
    trainer.save()
    last = checkpoint.read_checkpoint(trainer.folder.last)
    assert (last["front_end"], last["corpus"]) == ({"language": "en"}, "d1ge57")


@pytest.mark.parametrize(("seconds", "written"), [(0.0, [False, False, False, False, True]), (1e9, [False] * 5)])
def test_checkpoints_are_written_at_validations_when_due(tmp_path: Path, seconds: float, written: list[bool]) -> None:
    given = small.settings()
    object.__setattr__(given.tracking, "checkpoint_seconds", seconds)
    trainer = small.trainer(tmp_path, given)
    training = trainer.steps()
    seen = [(trainer.folder.last).exists() for _, _ in zip(range(5), training, strict=False)]
    assert seen == written
    assert (trainer.folder.best).exists() == written[-1]


# learning and speaking


@pytest.mark.parametrize("r", [1, 2])
def test_training_starts_at_the_corpus_mean_mel(tmp_path: Path, r: int) -> None:
    trainer = small.trainer(tmp_path, reduction_factor=r)
    bias = trainer.model.decoder.linear_projection.linear_layer.bias.detach().numpy()
    np.testing.assert_array_equal(bias, np.tile(small.mean_mel(trainer.data.train), r))


@pytest.mark.slow
def test_a_small_task_is_learnt_by_heart(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, budget="30it", validation_freq=1000, learning_rate=3e-2, **small.STILL)
    trainer.data = dataclasses.replace(trainer.data, train=trainer.data.train[:4])
    trainer.frames = trainer.frames[:4]
    losses = series("training.taco_loss", list(trainer.steps()))
    assert losses[-1] < 0.4 * losses[0]


@pytest.mark.parametrize(("r", "longest"), [(1, 10), (3, 9)])
def test_speaking_gives_frames_and_leaves_the_training_as_it_was(tmp_path: Path, r: int, longest: int) -> None:
    trainer = small.trainer(tmp_path, reduction_factor=r)
    nn.init.constant_(trainer.model.decoder.gate_layer.linear_layer.bias, -20.0)  # never stops by itself
    stream = torch.get_rng_state()
    mel = trainer.speak(trainer.validation.examples[0].tokens, most_frames=10)
    assert mel.shape == (small.MELS, longest)
    assert np.isfinite(mel).all()
    assert trainer.model.training
    assert torch.equal(torch.get_rng_state(), stream)
    np.testing.assert_array_equal(mel, trainer.speak(trainer.validation.examples[0].tokens, most_frames=10))


def test_speech_ends_where_the_gate_opens(tmp_path: Path) -> None:
    trainer = small.trainer(tmp_path, reduction_factor=2)
    nn.init.constant_(trainer.model.decoder.gate_layer.linear_layer.bias, 20.0)
    assert trainer.speak(trainer.validation.examples[0].tokens, most_frames=10).shape == (small.MELS, 2)


# the device


def test_a_device_that_is_too_full_to_validate_is_a_fault_that_names_the_batch_size(tmp_path: Path) -> None:
    def full(model: nn.Module, *_: object) -> None:
        if not model.training:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    trainer = small.trainer(tmp_path)
    trainer.model.register_forward_pre_hook(full)
    with pytest.raises(OutOfMemoryError, match=r"hparams\.batch_size 4"):
        list(trainer.steps())
