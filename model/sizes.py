"""The sizes of a Tacotron 2, as published by default. Plain data: importing this file does not import torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Layer widths of a Tacotron 2 (Shen et al., 1712.05884); the defaults are the published ones."""

    symbols_embedding_dim: int = 512
    """Width of the symbol embedding and of the encoder's output (even)."""
    encoder_kernel_size: int = 5
    """Kernel of each encoder convolution, in tokens (odd)."""
    encoder_n_convolutions: int = 3
    """Number of encoder convolutions."""
    prenet_dim: int = 256
    """Width of both prenet layers."""
    attention_rnn_dim: int = 1024
    """Width of the attention LSTM."""
    decoder_rnn_dim: int = 1024
    """Width of the decoder LSTM."""
    attention_dim: int = 128
    """Width of the space in which query, memory and location are compared."""
    attention_location_n_filters: int = 32
    """Filters of the location convolution."""
    attention_location_kernel_size: int = 31
    """Kernel of the location convolution, in tokens (odd)."""
    postnet_embedding_dim: int = 512
    """Channels of the postnet's hidden layers."""
    postnet_kernel_size: int = 5
    """Kernel of each postnet convolution, in frames (odd)."""
    postnet_n_convolutions: int = 5
    """Number of postnet convolutions."""

    def __post_init__(self) -> None:
        for name in Architecture.__dataclass_fields__:
            value = getattr(self, name)
            if value < 1 or (name.endswith("kernel_size") and value % 2 == 0):
                rule = "an odd whole number from 1" if name.endswith("kernel_size") else "a whole number from 1"
                raise ValueError(f"model.{name} must be {rule}; received {value}.")
        if self.symbols_embedding_dim % 2:
            raise ValueError(f"model.symbols_embedding_dim must be even; received {self.symbols_embedding_dim}.")


@dataclass(frozen=True, kw_only=True)
class Sizes(Architecture):
    """An architecture with what the corpus and the hyperparameters decide: all that a network is built from."""

    n_symbols: int = 148
    """Rows of the symbol embedding, the padding symbol 0 included."""
    n_mel_channels: int = 80
    """Mel bins in a frame."""
    reduction_factor: int = 1
    """Mel frames that one decoder step predicts (r; Wang et al., 1703.10135)."""
    prenet_dropout: float = 0.5
    """Dropout after each prenet layer; always on, at inference too, as published."""
    encoder_dropout: float = 0.5
    """Dropout after each encoder convolution."""
    attention_dropout: float = 0.1
    """Dropout on the attention LSTM's output, inside its recurrence."""
    decoder_dropout: float = 0.1
    """Dropout on the decoder LSTM's output, outside its recurrence."""
    postnet_dropout: float = 0.5
    """Dropout after each postnet convolution."""
