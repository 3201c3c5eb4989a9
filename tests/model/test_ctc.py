"""The recogniser's network: padding has no influence, the rate is halved, the best path is read as CTC means it."""

import torch

from model.ctc import BLANK, STRIDE, CtcRecogniser, best_path


def network() -> CtcRecogniser:
    torch.manual_seed(0)
    made = CtcRecogniser(8, 5).eval()
    made.set_scale(torch.full((8,), -4.0), torch.full((8,), 2.0))
    return made


@torch.no_grad()
def test_padding_has_no_influence() -> None:
    recogniser, mels_BMF = network(), torch.randn(2, 8, 41)
    frames_B = torch.tensor([41, 23])
    together = recogniser(recogniser.normalise(mels_BMF, frames_B), frames_B)
    alone = recogniser(recogniser.normalise(mels_BMF[1:, :, :23], frames_B[1:]), frames_B[1:])
    torch.testing.assert_close(together[1, : alone.shape[1]], alone[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_it_gives_log_probabilities_for_every_second_frame() -> None:
    log_probs = network()(torch.randn(1, 8, 41), torch.tensor([41]))
    assert log_probs.shape == (1, -(-41 // STRIDE), 5)
    torch.testing.assert_close(log_probs.exp().sum(2), torch.ones(1, 21))


def test_the_input_is_brought_to_mean_0_and_deviation_1() -> None:
    mels_BMF = torch.tensor([-4.0, -2.0, 99.0]).expand(1, 8, 3)
    assert network().normalise(mels_BMF, torch.tensor([2]))[0, 0].tolist() == [0.0, 1.0, 0.0]


def test_the_best_path_joins_repetitions_and_drops_blanks() -> None:
    path = [BLANK, 2, 2, BLANK, 2, 3, 3, 1]
    log_probs = torch.nn.functional.one_hot(torch.tensor([path, path]), 4).float()
    assert best_path(log_probs, torch.tensor([8, 4])) == [[2, 2, 3, 1], [2]]
    assert best_path(log_probs, torch.tensor([0, 1])) == [[], []]
