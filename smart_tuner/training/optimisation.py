"""What surrounds an optimizer step: loss weights, learning rate, precision, the average of the weights, rewinding.

Each is a small rule of its own; the loop that puts them in order is in trainer.py.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from model.losses import LossWeights
from smart_tuner.settings.hparams import Hparams

STEP_FACTOR, STEPS = 0.3, (0.5, 0.75)
"""The step schedule: by how much the learning rate falls, and at which shares of the budget."""
PLATEAU_FACTOR = 0.5
"""By how much the plateau schedule lowers the rate after each plateau."""


def loss_weights(hparams: Hparams, formed: int) -> LossWeights:
    """What each loss counts after so many validations in a row with a formed attention.

    With guide_anneal the guide's weight halves with each validation beyond that many; an attention that falls apart
    ends the row, and has its guide back.
    """
    halvings = max(0, formed - hparams.guide_anneal) if hparams.guide_anneal else 0
    weights = {spec.name: getattr(hparams, spec.name) for spec in fields(LossWeights)}
    guide_weight = hparams.guide_weight * 0.5**halvings if hparams.use_guided_attn else 0.0
    return LossWeights(**weights | {"guide_weight": guide_weight})


def learning_rate(hparams: Hparams, iteration: int, used: float, plateaus: int = 0) -> float:
    """The rate of an iteration (from 1), with this share of the budget used and so many plateaus before it."""
    peak, final = hparams.learning_rate, hparams.final_learning_rate
    if iteration <= hparams.warmup_iterations:
        return peak * iteration / hparams.warmup_iterations
    if hparams.schedule == "cosine":
        return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * used))
    if hparams.schedule == "exponential":
        return peak * math.pow(final / peak, max(0.0, 2 * used - 1))
    if hparams.schedule == "step":
        return max(final, peak * STEP_FACTOR ** sum(used >= step for step in STEPS))
    if hparams.schedule == "plateau":
        return max(final, peak * PLATEAU_FACTOR**plateaus)
    return peak


def as_optimised(losses: dict[str, float]) -> dict[str, float]:
    """Losses as they are told: of mi_loss, `loss` has the share gaf whose gradient reaches the network."""
    unfelt = (1 - losses["gaf"]) * losses["mi_loss"] if "gaf" in losses else 0.0
    if not math.isfinite(unfelt):  # no text could be read, or fp16 overflowed: mi_loss is told of neither
        return losses
    return {**losses, "loss": losses["loss"] - unfelt}


def make_optimizer(parameters: Iterable[nn.Parameter], hparams: Hparams, device: torch.device) -> torch.optim.Adam:
    """Adam, or AdamW (Loshchilov and Hutter, 1711.05101), at the peak rate."""
    kind = torch.optim.AdamW if hparams.optimizer == "adamw" else torch.optim.Adam
    return kind(
        parameters,
        lr=hparams.learning_rate,
        weight_decay=hparams.weight_decay,
        eps=hparams.adam_eps,
        fused=device.type in ("cuda", "cpu"),
    )


def restore_optimizer(optimizer: torch.optim.Optimizer, kept: Mapping[str, Any]) -> None:
    """Go on from an optimizer's state_dict. Raises KeyError, TypeError or ValueError for one that does not fit.

    torch takes over whatever it is given, and fails in the first step.
    """
    for group, other in zip(optimizer.param_groups, kept["param_groups"], strict=True):
        for name, own in group.items():
            value = other[name]
            # a checkpoint keeps tuples as lists
            if name != "params" and not isinstance(value, list if isinstance(own, tuple) else type(own)):
                raise TypeError(f"the optimizer's {name} is {value!r}")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in kept["param_groups"] for number in group["params"]]
    for parameter, number in zip(parameters, numbers, strict=True):
        moments = kept["state"].get(number, {})
        for name, value in moments.items():
            if not isinstance(value, Tensor) or value.shape not in (parameter.shape, torch.Size()):
                raise ValueError(f"the optimizer's {name} of a weight {tuple(parameter.shape)} has another shape")
        if moments and moments.keys() != {"step", "exp_avg", "exp_avg_sq"}:
            raise ValueError(f"the optimizer knows {', '.join(map(str, moments))} of a weight")
    optimizer.load_state_dict(dict(kept))


def choose_precision(device: torch.device, asked: bool, *, overflowed: bool = False) -> torch.dtype:
    """Mixed precision where it was asked for and the device has it: bf16, else fp16 unless that has overflowed."""
    if not asked or device.type != "cuda":
        return torch.float32
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32 if overflowed else torch.float16


def choose_products(device: torch.device, asked: bool) -> None:
    """TF32 in a GPU's products of fp32 numbers where it was asked for, in this process."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if asked else "highest")


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    """What the network's forward pass runs in."""
    return nullcontext() if precision is torch.float32 else torch.autocast(device.type, precision)


class WeightAverage:
    """Exponential running mean of a network's weights (Polyak and Juditsky, 1992): what is validated and exported.

    The decay of iteration i is at most (1 + i) / (10 + i), so that the first weights are soon forgotten. The statistics
    of batch normalisation are averaged with the weights, or they would belong to another network. With decay 0 there
    is no mean, and the weights themselves are used.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        kept = model.state_dict(keep_vars=True) if decay else {}
        self._weights: dict[str, Tensor] = {name: weight for name, weight in kept.items() if weight.is_floating_point()}
        self.decay = decay
        self.mean: dict[str, Tensor] = {}
        self.begin(self._weights)

    def begin(self, weights: dict[str, Tensor]) -> None:
        """Start from a mean, by parameter and statistic. Raises ValueError for one of another network."""
        other = [name for name, own in self._weights.items() if weights[name].shape != own.shape]
        if other:
            raise ValueError(f"the running mean of {other[0]} has another shape")
        self.mean = {name: weights[name].detach().to(own.device, copy=True) for name, own in self._weights.items()}

    def start_over(self) -> None:
        """Start from the weights as they are."""
        self.begin(self._weights)

    @torch.no_grad()
    def follow(self, iteration: int) -> None:
        """Take the weights after an iteration (from 1)."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        for name, weight in self._weights.items():
            self.mean[name].lerp_(weight, 1 - decay)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The network has the mean for its weights; afterwards its own again, bit for bit."""
        own = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._set(self.mean)
        try:
            yield
        finally:
            self._set(own)

    @torch.no_grad()
    def _set(self, weights: dict[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(weights[name])  # in place: cuDNN wants an LSTM's weights where they are


class BatchNorms:
    """The batch normalisations of a network. Their running statistics move once a batch, however many parts it has."""

    def __init__(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
        self._norms = [(norm, norm.momentum) for norm in norms if norm.momentum is not None]

    def expect(self, part: int, *, after: int, whole: int) -> None:
        """Before a part: its utterances, those that come after it, those of the batch.

        After the last one, what was there before the batch weighs 1 - momentum, and each part by its utterances.
        """
        for norm, momentum in self._norms:
            norm.momentum = momentum * part / whole / (1 - momentum * after / whole)


class Rewind:
    """All that an iteration's passes change beside gradients, random states and batch statistics: to go back to."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.device, self.random = device, random_state(device)
        self.buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]

    def restore(self) -> None:
        """Go back, and free what the passes have left in the GPU's cache."""
        set_random_state(self.random, self.device)
        for buffer, before in self.buffers:
            buffer.copy_(before)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def random_state(device: torch.device) -> dict[str, Any]:
    """States of the CPU's generator and, for a GPU, of its own."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Go on from random_state's answer; on a GPU only from one that was taken on a GPU."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)


def is_out_of_memory(problem: RuntimeError) -> bool:
    """Whether a device is full, which has many names: torch's own for a GPU and for a CPU, CUDA's, its libraries'."""
    return any(name in str(problem) for name in ("out of memory", "ALLOC_FAILED", "can't allocate memory"))
