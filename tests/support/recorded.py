"""Stands in for a CUDA graph on a CPU: the operators of some work, done again on the very tensors that they had.

As with a graph, what Python has bound to a name since then has no part in it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes, _get_current_dispatch_mode
from torch.utils._pytree import tree_leaves, tree_map_only


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        # a view of each, for the tensor itself may be squeezed in place later on
        before = tree_map_only(Tensor, Tensor.detach, (args, kwargs or {}))
        made = func(*args, **(kwargs or {}))
        if not func.is_view and torch.Tag.inplace_view not in func.tags:  # views look at what the others write
            self.calls.append((func, *before, tree_map_only(Tensor, Tensor.detach, made)))
        return made


def record(work: Callable[[], None]) -> Callable[[], None]:
    """Do the work three times, as a capture does, and return what does the third's operators again."""
    work()
    work()
    recorder = _Recorder()
    with recorder:
        work()

    def replay() -> None:
        for func, args, kwargs, made in recorder.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tensors(made), tensors(again), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    with torch.no_grad():
        replay()
    return replay


class Launches:
    """A Triton kernel whose launches are recorded too, with the very tensors that they had."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        def launch(*args: Any, **kwargs: Any) -> None:
            with _disable_current_modes():  # what the interpreter does within is not the kernel's
                self.kernel[grid](*args, **kwargs)

        def recorded(*args: Any, **kwargs: Any) -> None:
            launch(*args, **kwargs)
            recorder = _get_current_dispatch_mode()
            if isinstance(recorder, _Recorder):
                recorder.calls.append((launch, tree_map_only(Tensor, Tensor.detach, args), kwargs, None))

        return recorded


def tensors(made: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
