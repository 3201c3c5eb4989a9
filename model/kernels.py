"""What a decoder step does element by element, as Triton kernels: a dozen launches become one. For GPUs, or Triton's
interpreter, which the tests use.

Only model/fused.py imports this, and only it knows how the kernels make up a step. Everything is computed in single
precision, whatever type it is stored in. The logistic tanh is that of model/scoring.py.

B utterances, N tokens, E encoder width, A attention width, H attention LSTM width, I = H + E, K taps, W = 2K,
P = N + 2 * (K // 2) positions of the history with its empty ends.
"""

import triton
import triton.language as tl

ELEMENTS = 512
"""Elements of a program of an LSTM kernel."""
ROWS = 32
"""Tokens of a program of a scoring kernel."""
WARPS = 8
"""Of a program with a tile of features: with four its registers would not hold them."""
TILE = 4096
"""Elements of the memory that a program holds at a time."""
MOST_TOKENS = 1024
"""A text's weights lie in one program's registers."""
VARYING = ("tokens", "positions")
"""Numbers that differ from batch to batch: a kernel is not compiled anew for those that 16 divides."""
INTERPRETED = bool(triton.knobs.runtime.interpret)
"""Whether the kernels were made for the interpreter."""


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def lstm_forward_kernel(
    raw, before, keep, hold_hidden, hold_cell, previous, gates, fresh, cell, hidden,
    count, width, row_stride,
    DROPS: tl.constexpr, HOLDS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = at < count
    row, column = at // width, at % width
    gate = row * 4 * width + column
    enter = tl.sigmoid(tl.load(raw + gate, real, 0).to(tl.float32))
    forget = tl.sigmoid(tl.load(raw + gate + width, real, 0).to(tl.float32))
    candidate = _tanh(tl.load(raw + gate + 2 * width, real, 0).to(tl.float32))
    leave = tl.sigmoid(tl.load(raw + gate + 3 * width, real, 0).to(tl.float32))
    tl.store(gates + gate, enter, real)
    tl.store(gates + gate + width, forget, real)
    tl.store(gates + gate + 2 * width, candidate, real)
    tl.store(gates + gate + 3 * width, leave, real)
    cell_before = tl.load(before + at, real, 0)
    new_cell = forget * cell_before + enter * candidate
    new_hidden = _tanh(new_cell) * leave
    if DROPS:
        new_hidden *= tl.load(keep + at, real, 0).to(tl.float32)
    if HOLDS:
        tl.store(fresh + at, new_cell, real)
        last_hidden = tl.load(previous + row * row_stride + column, real, 0).to(tl.float32)
        new_hidden += tl.load(hold_hidden + at, real, 0).to(tl.float32) * (last_hidden - new_hidden)
        new_cell += tl.load(hold_cell + at, real, 0).to(tl.float32) * (cell_before - new_cell)
    tl.store(cell + at, new_cell, real)
    tl.store(hidden + row * row_stride + column, new_hidden, real)


@triton.jit
def lstm_backward_kernel(
    from_attention, from_next, from_output, gates, before, fresh, keep, hold_hidden, hold_cell,
    to_cell, kept_hidden, to_gates,
    count, width, row_stride, output_stride,
    DROPS: tl.constexpr, HOLDS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = at < count
    row, column = at // width, at % width
    gate = row * 4 * width + column
    enter, forget = tl.load(gates + gate, real, 0), tl.load(gates + gate + width, real, 0)
    candidate, leave = tl.load(gates + gate + 2 * width, real, 0), tl.load(gates + gate + 3 * width, real, 0)
    gradient = tl.load(from_attention + at, real, 0).to(tl.float32)
    gradient += tl.load(from_next + row * row_stride + column, real, 0).to(tl.float32)
    gradient += tl.load(from_output + row * output_stride + column, real, 0).to(tl.float32)
    cell_gradient = tl.load(to_cell + at, real, 0)
    kept_cell = tl.zeros_like(cell_gradient)
    if HOLDS:
        gradient += tl.load(kept_hidden + at, real, 0)
        kept = gradient * tl.load(hold_hidden + at, real, 0).to(tl.float32)
        kept_cell = cell_gradient * tl.load(hold_cell + at, real, 0).to(tl.float32)
        tl.store(kept_hidden + at, kept, real)
        gradient -= kept
        cell_gradient -= kept_cell
    if DROPS:
        gradient *= tl.load(keep + at, real, 0).to(tl.float32)
    squashed = _tanh(tl.load(fresh + at, real, 0))
    cell_gradient += gradient * leave * (1 - squashed * squashed)
    to_enter = cell_gradient * candidate * enter * (1 - enter)
    to_forget = cell_gradient * tl.load(before + at, real, 0) * forget * (1 - forget)
    to_candidate = cell_gradient * enter * (1 - candidate * candidate)
    to_leave = gradient * squashed * leave * (1 - leave)
    tl.store(to_gates + gate, to_enter, real)
    tl.store(to_gates + gate + width, to_forget, real)
    tl.store(to_gates + gate + 2 * width, to_candidate, real)
    tl.store(to_gates + gate + 3 * width, to_leave, real)
    tl.store(to_cell + at, cell_gradient * forget + kept_cell, real)


@triton.jit
def _windows(
    history, location, b, n, tokens, width, taps, positions,
    BLOCK_A: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    # the history around tokens n (n, W), and the location's map (W, A)
    w, a = tl.arange(0, BLOCK_W), tl.arange(0, BLOCK_A)
    used = w < 2 * taps
    at = (w // taps) * positions + w % taps
    window = tl.load(history + b * 2 * positions + n[:, None] + at[None, :], (n[:, None] < tokens) & used[None, :], 0)
    mapped = tl.load(location + a[None, :] * (2 * taps) + w[:, None], (a[None, :] < width) & used[:, None], 0)
    # half types are multiplied as TF32, which holds them: the interpreter has no products of bfloat16
    mapped = mapped.to(tl.float32)
    return window, mapped


@triton.jit
def _features(
    window, mapped, query, keys, b, n, tokens, width,
    BLOCK_A: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    a = tl.arange(0, BLOCK_A)
    inner = tl.dot(window, mapped, input_precision=PRECISION)
    inside = (n[:, None] < tokens) & (a[None, :] < width)
    inner += tl.load(keys + (b * tokens + n[:, None]) * width + a[None, :], inside, 0).to(tl.float32)
    inner += tl.load(query + b * width + a, a < width, 0).to(tl.float32)[None, :]
    return tl.sigmoid(inner)


@triton.jit(do_not_specialize=VARYING)
def location_scores_kernel(
    history, query, keys, location, v, barred, scores,
    tokens, width, taps, positions,
    BLOCK_N: tl.constexpr, BLOCK_A: tl.constexpr, BLOCK_W: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    a = tl.arange(0, BLOCK_A)
    window, mapped = _windows(history, location, b, n, tokens, width, taps, positions, BLOCK_A, BLOCK_W)
    features = _features(window, mapped, query, keys, b, n, tokens, width, BLOCK_A, PRECISION)
    weighed = features * tl.load(v + a, a < width, 0).to(tl.float32)[None, :]
    score = tl.sum(weighed, 1) + tl.load(barred + b * tokens + n, n < tokens, 0)
    tl.store(scores + b * tokens + n, score, n < tokens)


@triton.jit
def _reach(history, b, n, tokens, positions, edge):
    # the last weight of each token and of the one before it
    last = history + b * 2 * positions + edge + n
    return tl.load(last, n < tokens, 0) + tl.load(last - 1, (n < tokens) & (n > 0), 0)


@triton.jit(do_not_specialize=VARYING)
def attend_kernel(
    scores, history, memory, weights, after, context,
    tokens, encoder_width, positions, edge, context_stride, least,
    REACHES: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr,
):  # fmt: skip
    b, n = tl.program_id(0), tl.arange(0, BLOCK_N)
    e = tl.program_id(1) * BLOCK_E + tl.arange(0, BLOCK_E)
    real = n < tokens
    score = tl.load(scores + b * tokens + n, real, -float("inf"))
    if REACHES:
        reach = _reach(history, b, n, tokens, positions, edge)
        score += tl.where(reach > least, tl.log(tl.maximum(reach, least)), -float("inf"))
    exponential = tl.exp(score - tl.max(score, 0))
    weight = exponential / tl.sum(exponential, 0)
    if tl.program_id(1) == 0:
        tl.store(weights + b * tokens + n, weight, real)
        place = b * 2 * positions + edge + n
        tl.store(after + place, weight, real)
        total = tl.load(history + place + positions, real, 0) + weight
        tl.store(after + place + positions, total, real)
    inside = real[:, None] & (e[None, :] < encoder_width)
    tile = tl.load(memory + (b * tokens + n[:, None]) * encoder_width + e[None, :], inside, 0).to(tl.float32)
    mixed = tl.sum(tile * weight[:, None], 0)
    tl.store(context + b * context_stride + e, mixed, e < encoder_width)


@triton.jit(do_not_specialize=VARYING)
def to_weights_kernel(
    from_next, from_output, from_weights, memory, to_windows, to_reach, to_total, to_context, to_weights,
    tokens, encoder_width, taps, edge, row_stride, output_stride, weights_stride, context_stride,
    REACHES: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    real = n < tokens
    # from the step after this one: what a position of the history gave to the windows around it lies on a diagonal
    k = tl.arange(0, BLOCK_K)
    window = n[:, None] + edge - k[None, :]
    inside = real[:, None] & (k[None, :] < taps) & (window >= 0) & (window < tokens)
    place = to_windows + (b * tokens + window) * (2 * taps) + k[None, :]
    gradient = tl.sum(tl.load(place, inside, 0), 1)
    total = tl.load(to_total + b * tokens + n, real, 0) + tl.sum(tl.load(place + taps, inside, 0), 1)
    tl.store(to_total + b * tokens + n, total, real)
    gradient += total + tl.load(from_weights + b * weights_stride + n, real, 0)
    if REACHES:
        reached = to_reach + b * tokens + n
        gradient += tl.load(reached, real, 0) + tl.load(reached + 1, n + 1 < tokens, 0)
    for start in range(0, encoder_width, BLOCK_E):
        e = start + tl.arange(0, BLOCK_E)
        exists = e < encoder_width
        mixed = tl.load(from_next + b * row_stride + e, exists, 0).to(tl.float32)
        mixed += tl.load(from_output + b * output_stride + e, exists, 0).to(tl.float32)
        tl.store(to_context + b * context_stride + e, mixed, exists & (tl.program_id(1) == 0))
        both = real[:, None] & exists[None, :]
        tile = tl.load(memory + (b * tokens + n[:, None]) * encoder_width + e[None, :], both, 0).to(tl.float32)
        gradient += tl.sum(tile * mixed[None, :], 1)
    tl.store(to_weights + b * tokens + n, gradient, real)


@triton.jit(do_not_specialize=VARYING)
def location_backward_kernel(
    to_weights, weights, history, query, keys, location, v,
    to_reach, to_keys, to_v, to_query, to_location, to_windows,
    tokens, width, taps, positions, edge, least,
    REACHES: tl.constexpr, BLOCK_ROW: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_A: tl.constexpr,
    BLOCK_W: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    b, block = tl.program_id(0), tl.program_id(1)
    # through the softmax
    row = tl.arange(0, BLOCK_ROW)
    text = b * tokens
    whole = tl.load(to_weights + text + row, row < tokens, 0) * tl.load(weights + text + row, row < tokens, 0)
    mean = tl.sum(whole, 0)
    n = block * BLOCK_N + tl.arange(0, BLOCK_N)
    real = n < tokens
    to_score = tl.load(to_weights + text + n, real, 0) - mean
    to_score *= tl.load(weights + text + n, real, 0)
    if REACHES:
        reach = _reach(history, b, n, tokens, positions, edge)
        tl.store(to_reach + text + n, to_score / tl.maximum(reach, least), real)
    # through the features, which are made again
    a, w = tl.arange(0, BLOCK_A), tl.arange(0, BLOCK_W)
    window, mapped = _windows(history, location, b, n, tokens, width, taps, positions, BLOCK_A, BLOCK_W)
    features = _features(window, mapped, query, keys, b, n, tokens, width, BLOCK_A, PRECISION)
    weighing = tl.load(v + a, a < width, 0).to(tl.float32)
    inner = to_score[:, None] * weighing[None, :] * features * (1 - features)
    inside = real[:, None] & (a[None, :] < width)
    place = to_keys + (text + n[:, None]) * width + a[None, :]
    tl.store(place, tl.load(place, inside, 0) + inner, inside)
    # each program has its own part of what is summed over tokens and texts: the order never changes
    part = b * tl.num_programs(1) + block
    place = to_v + part * width + a
    tl.store(place, tl.load(place, a < width, 0) + tl.sum(to_score[:, None] * features, 0), a < width)
    tl.store(to_query + part * width + a, tl.sum(inner, 0), a < width)
    used = (w[:, None] < 2 * taps) & (a[None, :] < width)
    place = to_location + (part * 2 * taps + w[:, None]) * width + a[None, :]
    share = tl.dot(tl.trans(window), inner, input_precision=PRECISION)
    tl.store(place, tl.load(place, used, 0) + share, used)
    around = tl.dot(inner, tl.trans(mapped), input_precision=PRECISION)
    inside = real[:, None] & (w[None, :] < 2 * taps)
    tl.store(to_windows + (text + n[:, None]) * (2 * taps) + w[None, :], around, inside)


@triton.jit
def sum_parts_kernel(parts, total, width, PARTS: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_A: tl.constexpr):
    b, p, a = tl.program_id(0), tl.arange(0, BLOCK_P), tl.arange(0, BLOCK_A)
    inside = (p[:, None] < PARTS) & (a[None, :] < width)
    values = tl.load(parts + (b * PARTS + p[:, None]) * width + a[None, :], inside, 0)
    tl.store(total + b * width + a, tl.sum(values, 0), a < width)
