"""Plots of a validation utterance, of a text that a voice said, and of what stopped a trial, as pictures.

Figures are made without pyplot: no window opens, and nothing is kept of them.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]
"""Rows, columns, and red, green and blue."""

LONGEST_NAME = 30
MOST_LABELS = 90
"""Tokens that the axis of a said text has room for."""


def _figure(name: str, step: int) -> Figure:
    """A square figure: MLflow shows plots as small squares first. The name is shortened to fit."""
    figure = Figure(figsize=(5, 5), dpi=110, layout="constrained")
    shown = name if len(name) <= LONGEST_NAME else f"{name[:12]}…{name[13 - LONGEST_NAME :]}"
    figure.suptitle(f"{shown}, iteration {step}")
    return figure


def encode_png(picture: Pixels) -> bytes:
    """A picture as the content of a PNG file."""
    written = io.BytesIO()
    image.imsave(written, picture, format="png")
    return written.getvalue()


def _picture(figure: Figure) -> Pixels:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def plot_alignment(attention_TN: Array, name: str, step: int) -> Pixels:
    """Attention weights, text upwards and decoder steps to the right: a healthy one is a bright diagonal.

    The brightest colour is the largest weight, so that an early, diffuse attention can be seen.
    """
    figure = _figure(name, step)
    axes = figure.subplots()
    image = axes.imshow(attention_TN.T, aspect="auto", origin="lower", interpolation="none", vmin=0)
    axes.set(title="alignment", xlabel="decoder step", ylabel="token")
    figure.colorbar(image, ax=axes, label="attention weight")
    return _picture(figure)


def plot_spoken_text(attention_TN: Array, tokens: Sequence[str], step_seconds: float, title: str) -> Pixels:
    """The attention over a text that was said, its tokens (N) upwards and time to the right."""
    figure = Figure(figsize=(8, 6), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize="medium", parse_math=False)
    axes = figure.subplots()
    steps, count = attention_TN.shape
    extent = (0.0, steps * step_seconds, -0.5, count - 0.5)
    shown = axes.imshow(attention_TN.T, aspect="auto", origin="lower", interpolation="none", vmin=0, extent=extent)
    axes.set(xlabel="time, s", ylabel="token")
    if count <= MOST_LABELS:
        size = min(8.0, 330 / count)  # points that a token has
        labels = ["␣" if token == " " else token for token in tokens]
        axes.set_yticks(range(count), labels, fontsize=size, parse_math=False)
    figure.colorbar(shown, ax=axes, label="attention weight")
    return _picture(figure)


def plot_mel(target_MF: Array, predicted_MF: Array, name: str, step: int) -> Pixels:
    """Target above prediction, in the same colours."""
    figure = _figure(name, step)
    low, high = float(target_MF.min()), float(target_MF.max())
    rows = figure.subplots(2, 1, sharex=True)
    for axes, mels, title in zip(rows, (target_MF, predicted_MF), ("target mel", "predicted mel"), strict=True):
        image = axes.imshow(mels, aspect="auto", origin="lower", interpolation="none", vmin=low, vmax=high)
        axes.set(title=title, ylabel="mel bin")
    rows[1].set_xlabel("frame")
    figure.colorbar(image, ax=rows, label="log amplitude")
    return _picture(figure)


def plot_gate(gate_T: Array, name: str, step: int) -> Pixels:
    """Stop probability per decoder step: near 0 until the last step, then 1."""
    figure = _figure(name, step)
    axes = figure.subplots()
    axes.plot(gate_T, label="predicted")
    axes.axvline(len(gate_T) - 1, color="tab:red", linestyle="--", label="true end")
    axes.set(title="gate", xlabel="decoder step", ylabel="stop probability", ylim=(-0.02, 1.02))
    axes.legend(loc="upper left")
    return _picture(figure)


def plot_series(
    points: Mapping[str, Sequence[tuple[int, float]]], limits: Mapping[str, float], step: int, title: str
) -> Pixels:
    """Metrics over iterations, one above the other, with the iteration of a stop and the limit of each that has one.

    points holds (iteration, value) by metric. Values that span more than three powers of ten get a logarithmic axis.
    """
    figure = Figure(figsize=(5, 5), dpi=110, layout="constrained")
    figure.suptitle(title)
    rows = figure.subplots(len(points), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, points.items(), strict=True):
        axes.plot(*zip(*values, strict=True), marker="." if len(values) < 40 else "")
        axes.axvline(step, color="tab:red", linestyle="--", label=f"stopped at {step}")
        if name in limits:
            axes.axhline(limits[name], color="tab:orange", linestyle=":", label=f"limit {limits[name]:.3g}")
        lowest, highest = (choose((value for _, value in values), default=0.0) for choose in (min, max))
        if lowest > 0 and highest > 1000 * lowest:
            axes.set_yscale("log")
        axes.set(ylabel=name)
        axes.legend(loc="best", fontsize="small")
    rows[-1].set_xlabel("iteration")
    return _picture(figure)
