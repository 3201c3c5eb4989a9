"""What is faster than plain steps is used only where it agrees with them; here ways that do and ways that do not."""

import re
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from model.decoder import Decoder
from model.graphs import Graphs
from model.loop import Steps, ways
from smart_tuner.training.proving import Candidate, fused_kernels, plain_loop, prove_ways
from tests.support.networks import KINDS, small_model
from tests.support.recorded import record

CPU = torch.device("cpu")
OWN = Candidate("the own backward pass", plain_loop)


@pytest.fixture(autouse=True)
def _plain_again() -> Iterator[None]:
    yield
    ways.steps, ways.graphs = Steps, None


class GoodSteps(Steps):
    """As right as the plain ones."""


class WrongOutputs(Steps):
    def ahead(self, base_TB4H: Tensor) -> None:
        super().ahead(base_TB4H * 1.01)


class WrongGradients(Steps):
    def gradients(self) -> list[Tensor]:
        first, *others = super().gradients()
        return [first * 1.01, *others]


class NoNumbers(Steps):
    def gradients(self) -> list[Tensor]:
        return [gradient * float("nan") for gradient in super().gradients()]


class Broken(Steps):
    def back(self, to_outputs_TBI: Tensor, to_weights_TBN: Tensor) -> None:
        raise RuntimeError("OutOfResources: shared memory\nmore of it")


def by(steps: type[Steps]) -> Candidate:
    return Candidate("these steps", lambda: (steps, ways.graphs))


def graphs(capture: Callable[[Callable[[], None]], Callable[[], None]]) -> Candidate:
    return Candidate("these graphs", lambda: (ways.steps, Graphs(capture)))


def small_decoder(kind: str = "forward") -> Decoder:
    return small_model(attention_kind=kind, attention_dropout=0.1, attention_zoneout=0.1).decoder.float()


@pytest.mark.parametrize("kind", KINDS)
def test_ways_that_agree_are_used(kind: str) -> None:
    decoder = small_decoder(kind)
    assert prove_ways(decoder, CPU, [torch.float32], [OWN, by(GoodSteps), graphs(record)]) == []
    assert decoder.fast
    assert ways.steps is GoodSteps
    assert ways.graphs is not None


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        (WrongOutputs, r"the state is 0\.0\d+ of its size off in float32, plain steps \d"),
        (WrongGradients, "the gradient of weight_ih is 0.01 of its size off in float32"),
        (NoNumbers, "is nan of its size off"),
        (Broken, r"RuntimeError: OutOfResources: shared memory\)"),
    ],
)
def test_a_way_that_disagrees_or_fails_is_left_out_and_said(steps: type[Steps], why: str) -> None:
    decoder = small_decoder()
    (refused,) = prove_ways(decoder, CPU, [torch.float32], [OWN, by(steps), graphs(record)])
    assert refused.startswith("these steps cannot be used here (")
    assert re.search(why, refused), refused
    assert ways.steps is Steps  # and the graphs are of plain ones
    assert ways.graphs is not None
    assert decoder.fast


def test_a_graph_that_holds_old_numbers_is_found_out() -> None:
    def once(work: Callable[[], None]) -> Callable[[], None]:
        work()
        return lambda: None

    refused = prove_ways(small_decoder(), CPU, [torch.float32], [OWN, graphs(once)])
    assert len(refused) == 1
    assert ways.graphs is None


def test_without_its_own_backward_pass_the_decoder_takes_plain_steps() -> None:
    decoder = small_decoder()
    refused = prove_ways(decoder, CPU, [torch.float32], [Candidate("it", lambda: (Broken, None)), graphs(record)])
    assert len(refused) == 1
    assert not decoder.fast
    assert (ways.steps, ways.graphs) == (Steps, None)


def test_where_nothing_can_be_compared_the_steps_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = small_decoder()

    def fails(*_: object) -> tuple[Tensor, Tensor]:
        raise RuntimeError("no double precision here")

    monkeypatch.setattr(Decoder, "walk_plainly", fails)
    (refused,) = prove_ways(decoder, CPU, [torch.float32], [OWN, graphs(record)])
    assert refused == "the own backward pass cannot be used here (RuntimeError: no double precision here)"
    assert not decoder.fast
    assert (ways.steps, ways.graphs) == (Steps, None)


def test_a_library_that_is_not_there_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model.fused", None)
    (refused,) = prove_ways(small_decoder(), CPU, [torch.float32], [OWN, Candidate("kernels", fused_kernels)])
    assert refused.startswith("kernels cannot be used here (ModuleNotFoundError: ")


def test_neither_weights_nor_randomness_change() -> None:
    decoder = small_decoder()
    before, state = {name: value.clone() for name, value in decoder.state_dict().items()}, torch.get_rng_state()
    prove_ways(decoder, CPU, [torch.float32, torch.bfloat16], [OWN, by(WrongOutputs), graphs(record)])
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in decoder.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in decoder.parameters())
