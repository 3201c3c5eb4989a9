"""What in a training iteration would make the host wait for a GPU, found on a CPU by the operators that are called."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support import small

WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "lift_fresh", "_ctc_loss"}
"""Operators that read on the host what a device has computed, or copy from memory that is not pinned."""


class Waits(TorchDispatchMode):
    """Lists the operators for which a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").split(".")[0]
        by_mask = name in ("index", "index_put", "index_put_") and any(
            isinstance(index, Tensor) and index.dtype is torch.bool for index in args[1]
        )
        if name in WAITING or by_mask:
            self.found.add(name)
        return func(*args, **(kwargs or {}))


def test_an_iteration_waits_for_its_forward_sum_loss_alone_before_its_one_transfer(tmp_path: Path) -> None:
    """F.ctc_loss reads the lengths on the host. The transfer itself is no operator that is listed."""
    trainer = small.trainer(tmp_path, guide_weight=1.0, drop_frame_rate=0.1, ema_decay=0.9, attention_zoneout=0.1)
    batch = next(trainer._batches())
    trainer._batches = lambda: iter([batch, batch])  # type: ignore[method-assign]
    steps = trainer.steps()
    next(steps)
    with Waits() as waits:
        next(steps)
    assert waits.found == {"_ctc_loss"}
