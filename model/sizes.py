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
    style_tokens: int = 10
    """Global style tokens, when they are used."""
    style_heads: int = 4
    """Attention heads over the style tokens."""
    style_dim: int = 256
    """Width of the style embedding; a multiple of style_heads."""

    def __post_init__(self) -> None:
        for name in Architecture.__dataclass_fields__:
            value = getattr(self, name)
            if value < 1 or (name.endswith("kernel_size") and value % 2 == 0):
                rule = "an odd whole number from 1" if name.endswith("kernel_size") else "a whole number from 1"
                raise ValueError(f"model.{name} must be {rule}; received {value}.")
        if self.symbols_embedding_dim % 2:
            raise ValueError(f"model.symbols_embedding_dim must be even; received {self.symbols_embedding_dim}.")
        if self.style_dim % self.style_heads:
            raise ValueError(
                f"model.style_dim must be a multiple of model.style_heads = {self.style_heads}; "
                f"received {self.style_dim}."
            )


@dataclass(frozen=True, kw_only=True)
class Sizes(Architecture):
    """An architecture with what the corpus and the hyperparameters decide: all that a network is built from."""

    n_symbols: int = 148
    """Rows of the symbol embedding, the padding symbol 0 included."""
    n_mel_channels: int = 80
    """Mel bins in a frame."""
    reduction_factor: int = 1
    """Mel frames that one decoder step predicts at most (r; Wang et al., 1703.10135)."""
    attention_kind: str = "location"
    """Location, dynamic or forward."""
    use_mmi: bool = False
    """Whether there is a text head on the decoder's states."""
    max_gaf: float = 0.3
    """Most that the text's gradient may be of the mel's at the decoder's states."""
    use_gst: bool = False
    """Whether there are style tokens."""
    drop_frame_rate: float = 0.0
    """Share of teacher frames that the mean frame replaces in training."""
    prenet_dropout: float = 0.5
    """Dropout after each prenet layer; always on, at inference too, as published."""
    encoder_dropout: float = 0.5
    """Dropout after each encoder convolution."""
    attention_dropout: float = 0.1
    """Dropout on the attention LSTM's output, inside its recurrence."""
    decoder_dropout: float = 0.1
    """Dropout on the decoder LSTM's output, outside its recurrence."""
    attention_zoneout: float = 0.0
    """Zoneout of the attention LSTM's state."""
    decoder_zoneout: float = 0.0
    """Zoneout of the decoder LSTM's state; above 0 it runs step by step."""
    postnet_dropout: float = 0.5
    """Dropout after each postnet convolution."""
