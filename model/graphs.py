"""Chunks of the decoder's steps that a GPU captures once and replays, so that Python launches no step by itself.

A pass of any length is a row of chunks through the same buffers: what a chunk needs is copied in, its graph is
replayed, what it made is copied out. The last one is filled up with steps on zeros whose gradients are zero. Texts are
padded to a multiple of TOKENS, which no weight sees, so that few shapes exist; each is captured when it comes a second
time.

T steps, B utterances, N tokens, H attention LSTM width, I = H + encoder width.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

CHUNK = 32
"""Steps in a chunk."""
TOKENS = 16
"""Texts are padded to a multiple of this."""
MOST = 16
"""Shapes whose chunks are kept; the one that was not used for longest goes first."""
WARM_UPS = 3
"""Runs before a capture, in which libraries make what they make at their first call."""

Masks = tuple[Tensor | None, Tensor | None, Tensor | None]
"""A pass's noise (T, B, H), as in model/loop.py."""
Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes some work on fixed buffers, and returns what does all of it again."""


class Given(NamedTuple):
    """What a pass is made from beside the gates: padding, feedback, memory, and the scoring's tensors."""

    tensors: tuple[Tensor, ...]
    has_tokens: Sequence[bool]
    """Of each, whether its second dimension is the tokens."""


class Walk(Protocol):
    """What a chunk needs of model/loop.py's Steps."""

    states: list[Tensor]
    records: list[Tensor]
    to_gates_TB4H: Tensor

    def begin(self) -> None:
        """Before a pass's first step."""

    def ahead(self, base_TB4H: Tensor) -> None:
        """Forward through the buffers."""

    def make_gradients(self) -> None:
        """The buffers of a backward pass."""

    def begin_back(self) -> None:
        """Before a backward pass: every sum is 0."""

    def back(self, to_outputs_TBI: Tensor, to_weights_TBN: Tensor) -> None:
        """Back through the buffers."""

    def gradients(self) -> list[Tensor]:
        """The gradients of what was given, without the padding's."""


class Make(Protocol):
    """Makes the buffers of so many steps on the tensors given."""

    def __call__(self, *given: Tensor, steps: int, masks: Masks) -> Walk:
        """The steps."""


@dataclass
class Passed:
    """What a pass leaves for its way back. All buffers have whole chunks of steps."""

    given: Given
    masks: Masks
    states: list[Tensor]
    records: list[Tensor]
    steps: int

    @property
    def outputs(self) -> tuple[Tensor, Tensor]:
        """Hidden states and contexts (T, B, I) and attention weights (T, B, N)."""
        tokens = self.given.tensors[0].shape[1]
        return self.states[0][1 : self.steps + 1].detach(), self.records[0][: self.steps, :, :tokens].detach()


class Chunk:
    """The buffers of one shape, and the two captured walks through them."""

    def __init__(self, make: Make, given: Given, base_TB4H: Tensor, masks: Masks, capture: Capture) -> None:
        self.given = [
            tensor.new_zeros(padded_shape(tensor, tokens))
            for tensor, tokens in zip(given.tensors, given.has_tokens, strict=True)
        ]
        self.base = base_TB4H.new_zeros(CHUNK, *base_TB4H.shape[1:])
        self.masks = [None if mask is None else mask.new_zeros(CHUNK, *mask.shape[1:]) for mask in masks]
        keep, hold_hidden, hold_cell = self.masks
        self.steps = make(*self.given, steps=CHUNK, masks=(keep, hold_hidden, hold_cell))
        # the steps' outputs are the first of their states and records
        self.to_outputs = torch.zeros_like(self.steps.states[0][1:])
        self.to_weights = torch.zeros_like(self.steps.records[0])
        self._load(given)
        self.steps.begin()
        self.replay = capture(lambda: self.steps.ahead(self.base))
        self.steps.make_gradients()
        self.steps.begin_back()
        self.replay_back = capture(lambda: self.steps.back(self.to_outputs, self.to_weights))

    def ahead(self, given: Given, base_TB4H: Tensor, masks: Masks) -> Passed:
        """A pass of any number of steps."""
        steps = self.steps
        self._load(given)
        steps.begin()
        count = len(base_TB4H)
        whole = -(-count // CHUNK) * CHUNK
        states = [buffer.new_empty(whole + 1, *buffer.shape[1:]) for buffer in steps.states]
        records = [buffer.new_empty(whole, *buffer.shape[1:]) for buffer in steps.records]
        for kept, buffer in zip(states, steps.states, strict=True):
            kept[0].copy_(buffer[0])
        for start in range(0, count, CHUNK):
            fill(self.base, base_TB4H[start : start + CHUNK])
            self._load_masks(masks, start)
            self.replay()
            for kept, buffer in zip(records, steps.records, strict=True):
                kept[start : start + CHUNK].copy_(buffer)
            for kept, buffer in zip(states, steps.states, strict=True):
                kept[start + 1 : start + CHUNK + 1].copy_(buffer[1:])
                buffer[0].copy_(buffer[CHUNK])
        return Passed(given, masks, states, records, count)

    def back(self, passed: Passed, to_outputs_TBI: Tensor, to_weights_TBN: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The gradients of the gates' share (T, B, 4H), and of what was given, without the padding's."""
        steps = self.steps
        self._load(passed.given)  # other passes may have been in between
        steps.begin_back()
        to_base = steps.to_gates_TB4H.new_empty(passed.steps, *steps.to_gates_TB4H.shape[1:])
        for start in reversed(range(0, passed.steps, CHUNK)):
            for kept, buffer in zip(passed.records, steps.records, strict=True):
                buffer.copy_(kept[start : start + CHUNK])
            for kept, buffer in zip(passed.states, steps.states, strict=True):
                buffer.copy_(kept[start : start + CHUNK + 1])
            self._load_masks(passed.masks, start)
            fill(self.to_outputs, to_outputs_TBI[start : start + CHUNK])
            fill(self.to_weights, to_weights_TBN[start : start + CHUNK])
            self.replay_back()
            part = to_base[start : start + CHUNK]
            part.copy_(steps.to_gates_TB4H[: len(part)])
        sums = zip(steps.gradients(), passed.given.tensors[1:], passed.given.has_tokens[1:], strict=True)
        # copies: the sums are the next pass's too
        return to_base, [(sum_[:, : of.shape[1]] if tokens else sum_).clone() for sum_, of, tokens in sums]

    def _load(self, given: Given) -> None:
        padding_BN, *others = self.given
        padding_BN.fill_(True)
        padding_BN[:, : given.tensors[0].shape[1]].copy_(given.tensors[0])
        for buffer, tensor in zip(others, given.tensors[1:], strict=True):
            fill(buffer, tensor)

    def _load_masks(self, masks: Masks, start: int) -> None:
        for buffer, mask in zip(self.masks, masks, strict=True):
            if buffer is not None and mask is not None:
                fill(buffer, mask[start : start + CHUNK])


class Graphs:
    """The chunks of the shapes that came last."""

    def __init__(self, capture: Capture | None = None) -> None:
        self._capture: Capture = CudaCapture() if capture is None else capture
        self._chunks: OrderedDict[object, Chunk | None] = OrderedDict()

    def chunk(self, kind: object, make: Make, given: Given, base_TB4H: Tensor, masks: Masks) -> Chunk | None:
        """The chunk for such a pass; None for a shape that is new, which may never come again.

        Raises whatever the capture raises, after all chunks are dropped: most likely the device's memory was full.
        """
        key = (
            kind,
            base_TB4H.device,
            base_TB4H.dtype,
            base_TB4H.shape[1:],
            tuple(
                (tensor.dtype, padded_shape(tensor, tokens))
                for tensor, tokens in zip(given.tensors, given.has_tokens, strict=True)
            ),
            tuple(None if mask is None else mask.dtype for mask in masks),
            torch.get_float32_matmul_precision(),  # a graph multiplies as it was captured
        )
        came_before = key in self._chunks
        chunk = self._chunks.pop(key, None)
        if chunk is None and came_before:
            try:
                chunk = Chunk(make, given, base_TB4H, masks, self._capture)
            except RuntimeError:
                self._chunks.clear()
                raise
        self._chunks[key] = chunk
        if len(self._chunks) > MOST:
            self._chunks.popitem(last=False)
        return chunk

    def clear(self) -> None:
        """Drop all chunks, and the memory that they hold."""
        self._chunks.clear()


class CudaCapture:
    """Captures work as a CUDA graph. All graphs share a pool of memory: nothing in it outlives a replay."""

    def __init__(self) -> None:
        self._pools: dict[int, Any] = {}

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """What replays it."""
        device = torch.cuda.current_device()
        if device not in self._pools:
            self._pools[device] = torch.cuda.graph_pool_handle()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # other threads (those that pin a loader's batches) may go on calling CUDA meanwhile
        with torch.cuda.graph(graph, pool=self._pools[device], stream=stream, capture_error_mode="thread_local"):
            work()
        replay: Callable[[], None] = graph.replay
        return replay


def padded_shape(tensor: Tensor, has_tokens: bool) -> tuple[int, ...]:
    """The shape of its buffer in a chunk."""
    if not has_tokens:
        return tuple(tensor.shape)
    return (len(tensor), -(-tensor.shape[1] // TOKENS) * TOKENS, *tensor.shape[2:])


def fill(buffer: Tensor, values: Tensor) -> None:
    """The values from the buffer's beginning on, and zeros in the rest of it."""
    if buffer.shape != values.shape:
        buffer.zero_()
    buffer[tuple(slice(length) for length in values.shape)].copy_(values)
