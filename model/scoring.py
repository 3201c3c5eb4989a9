"""How the loop over decoder steps scores the tokens, forward and backward: location-sensitive, forward, dynamic.

Each is the attention of the same name in model/attention.py and model/dynamic.py, for all steps of one pass. The tanh
of the papers is written as a logistic function: tanh(z) = 2 s(2z) - 1, so that v . tanh(z) is (2v) . s(2z) less a
constant that no softmax sees. What comes in as keys, location, query and v is therefore doubled: torch's sigmoid takes
a tenth of the time of its tanh on a CPU.

T steps, B utterances, N tokens, A attention width, H attention LSTM width, K taps, G filters, W = 2K.
"""

import functools
import math
from typing import ClassVar

import torch
from torch import Tensor

from model.products import RepeatedProduct, product

FLOOR = 1e-8
"""Forward attention: what may be reached with less than this weight counts as out of reach, for good."""
REACH = 10
"""Most tokens that the prior moves by in one step."""
ALPHA, BETA = 0.1, 0.9
"""The prior's shape: on average it moves by REACH * ALPHA / (ALPHA + BETA) = 1 token a step."""
PRIOR_FLOOR = 1e-6
"""Least prior weight of a token; with it the scores decide again when the attention is lost."""


def beta_binomial(successes: int) -> float:
    """The beta-binomial probability of so many successes in REACH trials."""

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    log_share = log_beta(successes + ALPHA, REACH - successes + BETA) - log_beta(ALPHA, BETA)
    return math.comb(REACH, successes) * math.exp(log_share)


PRIOR = [beta_binomial(moves) for moves in range(REACH + 1)]
"""How likely it is to move by 0, 1, ... tokens before anything is known of the step."""
KEPT_BYTES = 2**28
"""Features of all steps are kept up to this size; beyond it they are made again in the backward pass."""


def softmax_backward(to_weights_BN: Tensor, weights_BN: Tensor) -> Tensor:
    """The gradient of the scores, in the place of that of the weights."""
    to_weights_BN.mul_(weights_BN)
    return to_weights_BN.addcmul_(weights_BN, to_weights_BN.sum(1, keepdim=True), value=-1)


class _Features:
    """Features (T, B, N, A) of a pass, kept when there is room for them."""

    def __init__(self, steps: int, shape: tuple[int, int, int], like: Tensor, keep: bool) -> None:
        size = steps * shape[0] * shape[1] * shape[2] * like.element_size()
        self.kept = keep and size <= KEPT_BYTES
        self.buffer = like.new_empty(steps if self.kept else 1, *shape)

    def __getitem__(self, t: int) -> Tensor:
        return self.buffer[t if self.kept else 0]


class LocationScoring:
    """Location-sensitive attention: scores from the query, the keys, the last weights and their running sum."""

    STARTS_ON_FIRST = False
    TOKEN_TENSORS: ClassVar[frozenset[int]] = frozenset({1})

    def __init__(
        self,
        padding_BN: Tensor,
        steps: int,
        keep: bool,
        query_AH: Tensor,
        keys_BNA: Tensor,
        location_AW: Tensor,
        v_A: Tensor,
    ) -> None:
        self.query_AH, self.keys_BNA, self.location_AW, self.v_A = query_AH, keys_BNA, location_AW, v_A
        batch, tokens, width = keys_BNA.shape
        self.taps = location_AW.shape[1] // 2
        self.edge = self.taps // 2
        precise = torch.promote_types(keys_BNA.dtype, torch.float32)
        self.padding_BN, self.barred_BN = padding_BN, keys_BNA.new_empty(padding_BN.shape, dtype=precise)
        self.weights_TBN = self.barred_BN.new_empty(steps, batch, tokens)
        # the last weights and their running sum before each step, with room for the taps at both ends
        self.history_TB2N = self.barred_BN.new_zeros(steps + 1, batch, 2, tokens + 2 * self.edge)
        self.windows_BNW = keys_BNA.new_empty(batch, tokens, 2 * self.taps)
        self.features = _Features(steps, (batch, tokens, width), keys_BNA, keep)
        self.query_TBA = keys_BNA.new_empty(steps, batch, width)
        self.states, self.records = [self.history_TB2N], [self.query_TBA]

    def begin(self) -> None:
        """Before a pass's first step."""
        self.barred_BN.zero_().masked_fill_(self.padding_BN, float("-inf"))
        self.history_TB2N[0].zero_()
        if self.STARTS_ON_FIRST:
            self.history_TB2N[0, :, :, self.edge] = 1.0
        self.query = RepeatedProduct(self.query_AH, len(self.keys_BNA))

    def ahead(self, t: int, hidden_BH: Tensor) -> Tensor:
        """Weights (B, N) of step t from the attention LSTM's output."""
        self.query_TBA[t] = self.query(hidden_BH)
        scores_BN = (self._make_features(t) @ self.v_A).to(self.barred_BN.dtype).add_(self.barred_BN)
        weights_BN = self.weights_TBN[t]
        torch.softmax(self._reachable(t, scores_BN), dim=1, out=weights_BN)
        before, after = self._history(t), self._history(t + 1)
        after[:, 0] = weights_BN
        torch.add(before[:, 1], weights_BN, out=after[:, 1])
        return weights_BN

    def _history(self, t: int) -> Tensor:
        return self.history_TB2N[t, :, :, self.edge : self.edge + self.barred_BN.shape[1]]

    def _reachable(self, t: int, scores_BN: Tensor) -> Tensor:
        """The scores, of those tokens only that may be read at step t."""
        return scores_BN

    def _fill_windows(self, t: int) -> None:
        """The history (B, N, 2K) around each token."""
        windows_B2NK = self.history_TB2N[t].unfold(2, self.taps, 1)
        self.windows_BNW.unflatten(2, (2, self.taps)).copy_(windows_B2NK.transpose(1, 2))

    def _make_features(self, t: int) -> Tensor:
        self._fill_windows(t)
        located = product(self.windows_BNW.flatten(0, 1), self.location_AW).view_as(self.keys_BNA)
        return torch.sigmoid(located.add_(self.keys_BNA).add_(self.query_TBA[t, :, None]), out=self.features[t])

    def begin_back(self) -> None:
        """Sums of gradients, at zero."""
        for total in (self.to_keys, self.to_location, self.to_v, self.to_query, self.to_before_BN, self.to_total_BN):
            total.zero_()
        self.backwards_AW.unflatten(1, (2, self.taps)).copy_(self.location_AW.unflatten(1, (2, self.taps)).flip(2))
        self.query_back = RepeatedProduct(self.query_AH.t(), len(self.keys_BNA))

    def make_gradients(self) -> None:
        """The backward pass's buffers."""
        batch, tokens, _ = self.keys_BNA.shape
        precise = self.barred_BN.dtype  # hundreds of steps are too many for a half sum
        self.to_keys, self.to_location, self.to_v, self.to_query = (
            torch.empty_like(of, dtype=precise) for of in (self.keys_BNA, self.location_AW, self.v_A, self.query_AH)
        )
        self.to_query_TBA = torch.empty_like(self.query_TBA)
        self.to_before_BN, self.to_total_BN = torch.empty_like(self.barred_BN), torch.empty_like(self.barred_BN)
        # gradients of the windows, with empty rows around them: what a position of the history got lies on a diagonal
        self.to_windows = self.keys_BNA.new_zeros(batch, tokens + 2 * (self.taps - 1), 2, self.taps)
        row = 2 * self.taps
        self.diagonals = self.to_windows.as_strided(
            (batch, 2, tokens, self.taps), (self.to_windows.stride(0), self.taps, row, row + 1), self.edge * row
        )
        self.backwards_AW = torch.empty_like(self.location_AW)

    def back(self, t: int, to_weights_BN: Tensor) -> Tensor:
        """The gradient of step t's hidden state (B, H), from that of its weights."""
        weights_BN = self.weights_TBN[t]
        to_scores_BN = softmax_backward(to_weights_BN.add_(self.to_before_BN), weights_BN)
        to_before_BN = self._through_reach(t, to_scores_BN)
        if self.features.kept:
            self._fill_windows(t)
        else:
            self._make_features(t)
        features, to_scores_BN = self.features[t], to_scores_BN.to(self.keys_BNA.dtype)
        self.to_v += to_scores_BN.flatten() @ features.flatten(0, 1)
        inner_BNA = torch.ops.aten.sigmoid_backward(to_scores_BN[:, :, None] * self.v_A, features)
        self.to_keys += inner_BNA
        inner, windows = inner_BNA.flatten(0, 1), self.windows_BNW.flatten(0, 1)
        self.to_location += inner.t() @ windows
        tokens = weights_BN.shape[1]
        rows = self.to_windows[:, self.taps - 1 : self.taps - 1 + tokens].flatten(2)
        rows.copy_(product(inner, self.backwards_AW.t()).view(rows.shape))
        to_history_B2N = self.diagonals.sum(3)
        self.to_total_BN += to_history_B2N[:, 1]
        torch.add(to_history_B2N[:, 0], self.to_total_BN, out=self.to_before_BN)
        if to_before_BN is not None:
            self.to_before_BN += to_before_BN
        self.to_query_TBA[t] = inner_BNA.sum(1)
        return self.query_back(self.to_query_TBA[t])

    def _through_reach(self, t: int, to_scores_BN: Tensor) -> Tensor | None:
        """The gradient (B, N) of the last weights, as far as they decide what may be read."""
        return None

    def gather(self, hidden_TBH: Tensor) -> None:
        """Add the query's gradient over these steps."""
        self.to_query += product(self.to_query_TBA.flatten(0, 1).t(), hidden_TBH.flatten(0, 1).t())

    def gradients(self) -> list[Tensor]:
        """The gradients of query, keys, location and v."""
        return [total.to(self.keys_BNA.dtype) for total in (self.to_query, self.to_keys, self.to_location, self.to_v)]


class ForwardScoring(LocationScoring):
    """Forward attention: the location-sensitive weights, times what staying or moving on by one token reaches."""

    STARTS_ON_FIRST = True

    def _reach(self, t: int) -> Tensor:
        before_BN = self._history(t)[:, 0]
        reach_BN = before_BN.clone()
        reach_BN[:, 1:] += before_BN[:, :-1]
        return reach_BN

    def _reachable(self, t: int, scores_BN: Tensor) -> Tensor:
        # what may be reached with less than FLOOR is out of reach: a logarithm of 0
        return scores_BN.add_(torch.threshold(self._reach(t), FLOOR, 0.0).log_())

    def _through_reach(self, t: int, to_scores_BN: Tensor) -> Tensor:
        to_reach_BN = to_scores_BN / self._reach(t).clamp_min_(FLOOR)
        to_before_BN = to_reach_BN.clone()
        to_before_BN[:, :-1] += to_reach_BN[:, 1:]
        return to_before_BN


class DynamicScoring:
    """Dynamic convolution attention: scores from filters of the last weights, of which the query chooses some."""

    TOKEN_TENSORS: ClassVar[frozenset[int]] = frozenset()

    def __init__(
        self,
        padding_BN: Tensor,
        steps: int,
        keep: bool,
        query_AH: Tensor,
        query_bias_A: Tensor,
        choice_CA: Tensor,
        static_AK: Tensor,
        dynamic_AG: Tensor,
        bias_A: Tensor,
        v_A: Tensor,
    ) -> None:
        self.query_AH, self.query_bias_A, self.choice_CA = query_AH, query_bias_A, choice_CA
        self.static_AK, self.dynamic_AG, self.bias_A, self.v_A = static_AK, dynamic_AG, bias_A, v_A
        (batch, tokens), (width, self.taps) = padding_BN.shape, static_AK.shape
        precise = torch.promote_types(static_AK.dtype, torch.float32)
        self.padding_BN, self.barred_BN = padding_BN, static_AK.new_empty(padding_BN.shape, dtype=precise)
        self.prior_J = prior(self.barred_BN.device, precise)
        self.weights_TBN = self.barred_BN.new_empty(steps, batch, tokens)
        self.left = max(self.taps // 2, REACH)
        self.history_TBN = self.barred_BN.new_zeros(steps + 1, batch, self.left + tokens + self.taps // 2)
        self.windows_BNK = static_AK.new_empty(batch, tokens, self.taps)
        self.features = _Features(steps, (batch, tokens, width), static_AK, keep)
        self.query_TBA = static_AK.new_empty(steps, batch, width)
        self.filters_TBC = static_AK.new_empty(steps, batch, len(choice_CA))
        self.states, self.records = [self.history_TBN], [self.query_TBA, self.filters_TBC]

    def begin(self) -> None:
        """Before a pass's first step."""
        batch = len(self.barred_BN)
        self.barred_BN.zero_().masked_fill_(self.padding_BN, float("-inf"))
        self.history_TBN[0].zero_()
        self.history_TBN[0, :, self.left] = 1.0  # as if a step before the first had read the first token
        self.query, self.choice = RepeatedProduct(self.query_AH, batch), RepeatedProduct(self.choice_CA, batch)

    def ahead(self, t: int, hidden_BH: Tensor) -> Tensor:
        """Weights (B, N) of step t from the attention LSTM's output."""
        torch.tanh(self.query(hidden_BH).add_(self.query_bias_A), out=self.query_TBA[t])
        self.filters_TBC[t] = self.choice(self.query_TBA[t])
        scores_BN = (self._make_features(t, self._fill_windows(t)) @ self.v_A).to(self.barred_BN.dtype)
        scores_BN.add_(self.barred_BN).add_(self._prior(t).clamp_min_(PRIOR_FLOOR).log_())
        weights_BN = self.weights_TBN[t]
        torch.softmax(scores_BN, dim=1, out=weights_BN)
        self.history_TBN[t + 1, :, self.left : self.left + weights_BN.shape[1]] = weights_BN
        return weights_BN

    def _prior(self, t: int) -> Tensor:
        """How likely each token (B, N) is, given the last weights; 0 where it does not reach."""
        tokens = self.barred_BN.shape[1]
        reachable = self.history_TBN[t, :, self.left - REACH : self.left + tokens].unfold(1, REACH + 1, 1)
        prior_BN: Tensor = reachable @ self.prior_J.flip(0)
        return prior_BN

    def _fill_windows(self, t: int) -> Tensor:
        """The last weights around each token; returns the step's map (B, A, K) from them to the features.

        Filters and the dense layers after them are one linear map, for nothing but linear maps stands between.
        """
        self.windows_BNK.copy_(self.history_TBN[t, :, self.left - self.taps // 2 :].unfold(1, self.taps, 1))
        filters_BGK = self.filters_TBC[t].unflatten(1, (-1, self.taps))
        map_BAK: Tensor = (self.dynamic_AG @ filters_BGK).add_(self.static_AK)
        return map_BAK

    def _make_features(self, t: int, map_BAK: Tensor) -> Tensor:
        inner_BNA = torch.baddbmm(self.bias_A, self.windows_BNK, map_BAK.transpose(1, 2))
        return torch.sigmoid(inner_BNA, out=self.features[t])

    def begin_back(self) -> None:
        """Sums of gradients, at zero."""
        for total in (*self.sums, self.to_query, self.to_query_bias, self.to_choice, self.to_before_BN):
            total.zero_()
        batch = len(self.barred_BN)
        self.query_back = RepeatedProduct(self.query_AH.t(), batch)
        self.choice_back = RepeatedProduct(self.choice_CA.t(), batch)

    def make_gradients(self) -> None:
        """The backward pass's buffers."""
        (batch, tokens), precise = self.barred_BN.shape, self.barred_BN.dtype
        self.to_query, self.to_query_bias, self.to_choice, *self.sums = (
            torch.empty_like(of, dtype=precise)
            for of in (
                self.query_AH,
                self.query_bias_A,
                self.choice_CA,
                self.static_AK,
                self.dynamic_AG,
                self.bias_A,
                self.v_A,
            )
        )
        self.to_query_TBA, self.to_filters_TBC = torch.empty_like(self.query_TBA), torch.empty_like(self.filters_TBC)
        self.to_before_BN = torch.empty_like(self.barred_BN)
        self.to_prior_BN = self.barred_BN.new_zeros(batch, tokens + REACH)  # the end stays 0
        self.to_windows = self.static_AK.new_zeros(batch, tokens + 2 * (self.taps - 1), self.taps)
        strides = self.to_windows.stride(0), self.taps, self.taps + 1
        start = (self.taps // 2) * self.taps
        self.diagonals = self.to_windows.as_strided((batch, tokens, self.taps), strides, start)

    def back(self, t: int, to_weights_BN: Tensor) -> Tensor:
        """The gradient of step t's hidden state (B, H), from that of its weights."""
        tokens, dtype = self.barred_BN.shape[1], self.static_AK.dtype
        to_scores_BN = softmax_backward(to_weights_BN.add_(self.to_before_BN), self.weights_TBN[t])
        prior_BN = self._prior(t)
        # where the prior is 0, in padding far behind a text, nothing divides by it
        shared_BN = to_scores_BN / prior_BN.clamp_min(PRIOR_FLOOR)
        self.to_prior_BN[:, :tokens] = torch.ops.aten.threshold_backward(shared_BN, prior_BN, PRIOR_FLOOR)
        map_BAK = self._fill_windows(t)
        if not self.features.kept:
            self._make_features(t, map_BAK)
        features, to_scores_BN = self.features[t], to_scores_BN.to(dtype)
        inner_BNA = torch.ops.aten.sigmoid_backward(to_scores_BN[:, :, None] * self.v_A, features)
        to_map_BAK = inner_BNA.transpose(1, 2) @ self.windows_BNK
        filters_BGK = self.filters_TBC[t].unflatten(1, (-1, self.taps))
        parts = (
            to_map_BAK.sum(0),
            torch.einsum("bak,bgk->ag", to_map_BAK, filters_BGK),
            inner_BNA.sum((0, 1)),
            to_scores_BN.flatten() @ features.flatten(0, 1),
        )
        for total, part in zip(self.sums, parts, strict=True):
            total += part
        # the filters turned round, so that a position's share lies on a diagonal
        self.to_windows[:, self.taps - 1 : self.taps - 1 + tokens] = (inner_BNA @ map_BAK).flip(2)
        torch.matmul(self.to_prior_BN.unfold(1, REACH + 1, 1), self.prior_J, out=self.to_before_BN)
        self.to_before_BN += self.diagonals.sum(2)
        self.to_filters_TBC[t] = (self.dynamic_AG.t() @ to_map_BAK).flatten(1)
        to_query_BA = self.choice_back(self.to_filters_TBC[t])
        self.to_query_TBA[t] = to_query_BA.sub_(self.query_TBA[t].square() * to_query_BA)
        return self.query_back(self.to_query_TBA[t])

    def gather(self, hidden_TBH: Tensor) -> None:
        """Add what is one product over these steps."""
        to_query, to_filters = self.to_query_TBA.flatten(0, 1), self.to_filters_TBC.flatten(0, 1)
        self.to_query += product(to_query.t(), hidden_TBH.flatten(0, 1).t())
        self.to_query_bias += to_query.sum(0)
        self.to_choice += product(to_filters.t(), self.query_TBA.flatten(0, 1).t())

    def gradients(self) -> list[Tensor]:
        """The gradients of the query's weight and bias, of the choice, and of what the sums are of."""
        totals = self.to_query, self.to_query_bias, self.to_choice, *self.sums
        return [total.to(self.static_AK.dtype) for total in totals]


@functools.cache
def prior(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The prior (J,) on a device; to copy it there at each pass would be to wait for what the device is at."""
    return torch.tensor(PRIOR, device=device, dtype=dtype)
