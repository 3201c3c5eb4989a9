"""Watches a Triton kernel in the interpreter, which runs its programs one after the other and trusts every address.

It reads and writes nothing but the tensors that it was given: on a GPU a kernel that strays ends every further use of
the device in its process. And no program touches what another one writes: on a GPU all of them run at once.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor
from triton.runtime import interpreter

Addresses = NDArray[np.uint64]


class Watched:
    """A kernel whose accesses are held against its tensors and against each other."""

    def __init__(self, kernel: Any, patch: pytest.MonkeyPatch) -> None:
        self.kernel, self.patch = kernel, patch
        self.accesses = 0

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        def launch(*args: Any, **kwargs: Any) -> None:
            ranges = [extent(value) for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            builder = interpreter.interpreter_builder
            read: dict[Any, list[Addresses]] = {}
            written: dict[Any, list[Addresses]] = {}
            load, store = type(builder).create_masked_load, type(builder).create_masked_store

            def checked_load(pointers: Any, mask: Any, *rest: Any) -> Any:
                read.setdefault(builder.grid_idx, []).append(self._used(pointers, mask, ranges))
                return load(builder, pointers, mask, *rest)

            def checked_store(pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
                written.setdefault(builder.grid_idx, []).append(self._used(pointers, mask, ranges))
                return store(builder, pointers, value, mask, *rest)

            with self.patch.context() as patch:
                patch.setattr(builder, "create_masked_load", checked_load)
                patch.setattr(builder, "create_masked_store", checked_store)
                self.kernel[grid](*args, **kwargs)
            writers = {program: np.unique(np.concatenate(parts)) for program, parts in written.items()}
            everything = np.concatenate(list(writers.values()))
            assert len(np.unique(everything)) == len(everything), f"{self.kernel}: two programs write the same"
            for program, parts in read.items():
                others = [own for other, own in writers.items() if other != program]
                if others:
                    shared = np.intersect1d(np.concatenate(parts), np.concatenate(others))
                    assert not shared.size, f"{self.kernel}: a program reads what another writes"

        return launch

    def _used(self, pointers: Any, mask: Any, ranges: list[tuple[int, int]]) -> Addresses:
        addresses = np.broadcast_to(pointers.data, np.broadcast_shapes(pointers.data.shape, mask.data.shape))
        used = addresses[np.broadcast_to(mask.data, addresses.shape).astype(bool)]
        self.accesses += used.size
        if used.size:
            low, high = int(used.min()), int(used.max())
            # the pointers of one access belong to one tensor
            assert any(first <= low and high <= last for first, last in ranges), self.kernel
        return used


def extent(tensor: Tensor) -> tuple[int, int]:
    """Addresses of the first and the last element."""
    last = sum((length - 1) * stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + last * tensor.element_size()
