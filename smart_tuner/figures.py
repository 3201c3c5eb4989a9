"""Plots of a validation utterance as pictures. The only file that imports matplotlib; no window, no global state."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Array = NDArray[np.float32]
Picture = NDArray[np.uint8]

LONGEST_NAME = 30


def _figure(name: str, step: int) -> Figure:
    """A square figure: MLflow shows plots as small squares first. The name is shortened to fit."""
    figure = Figure(figsize=(5, 5), dpi=110, layout="constrained")
    shown = name if len(name) <= LONGEST_NAME else f"{name[:12]}…{name[13 - LONGEST_NAME :]}"
    figure.suptitle(f"{shown}, iteration {step}")
    return figure


def _picture(figure: Figure) -> Picture:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def alignment(attention_TN: Array, name: str, step: int) -> Picture:
    """Attention weights, text upwards and decoder steps to the right: a healthy one is a bright diagonal.

    The brightest colour is the largest weight, so that an early, diffuse attention can be seen.
    """
    figure = _figure(name, step)
    axes = figure.subplots()
    image = axes.imshow(attention_TN.T, aspect="auto", origin="lower", interpolation="none", vmin=0)
    axes.set(title="alignment", xlabel="decoder step", ylabel="token")
    figure.colorbar(image, ax=axes, label="attention weight")
    return _picture(figure)


def mel(target_MF: Array, predicted_MF: Array, name: str, step: int) -> Picture:
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


def gate(gate_T: Array, name: str, step: int) -> Picture:
    """Stop probability per decoder step: near 0 until the last step, then 1."""
    figure = _figure(name, step)
    axes = figure.subplots()
    axes.plot(gate_T, label="predicted")
    axes.axvline(len(gate_T) - 1, color="tab:red", linestyle="--", label="true end")
    axes.set(title="gate", xlabel="decoder step", ylabel="stop probability", ylim=(-0.02, 1.02))
    axes.legend(loc="upper left")
    return _picture(figure)
