"""Tacotron 2 (Shen et al., 1712.05884): encoder, decoder, postnet. Parameters are named as in published checkpoints.

B utterances, N tokens, F mel frames, T decoder steps, M mel channels, E encoder width, V symbols, S style width,
K style tokens. Text head (model/mmi.py) and style (model/style.py) are there when the sizes ask for them.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.decoder import Decoder
from model.layers import ConvNorm, tanh
from model.lengths import length_mask
from model.lstm import lstm_layer
from model.mmi import TextHead
from model.noise import dropout
from model.prediction import Network, Prediction
from model.sizes import Sizes
from model.style import Style

NO_STYLE = "This network has no style tokens: it was made without use_gst."


def conv_stack(widths: list[int], kernel: int, gains: list[str]) -> nn.ModuleList:
    """Convolutions with batch normalisation, one for each pair of neighbouring widths."""
    pairs = zip(widths, widths[1:], gains, strict=False)
    return nn.ModuleList(nn.Sequential(ConvNorm(a, b, kernel, gain=gain), nn.BatchNorm1d(b)) for a, b, gain in pairs)


class Encoder(nn.Module):
    """Convolutions and a bidirectional LSTM over the symbols. Padding is held at 0, so that it has no influence."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, count = sizes.symbols_embedding_dim, sizes.encoder_n_convolutions
        self.convolutions = conv_stack([width] * (count + 1), sizes.encoder_kernel_size, ["relu"] * count)
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)
        self.dropout = sizes.encoder_dropout

    def forward(self, embedded_BNE: Tensor, lengths_B: Tensor, mask_BN: Tensor) -> Tensor:
        """Embedded symbols (B, N, E) to memory (B, N, E)."""
        hidden = (embedded_BNE * mask_BN[:, :, None]).transpose(1, 2)
        for layer in self.convolutions:
            hidden = dropout(F.relu(layer(hidden)), self.dropout, self.training) * mask_BN[:, None]
        hidden_NBE = hidden.permute(2, 0, 1).to(embedded_BNE.dtype)
        forwards, backwards = self.lstm.all_weights
        # the other way round, each text starts at its own end: no packing, which on a CPU takes three times as long
        position_BN = torch.arange(mask_BN.shape[1], device=mask_BN.device)
        mirrored_NB1 = torch.where(mask_BN, lengths_B[:, None] - 1 - position_BN, position_BN).t()[:, :, None]
        with torch.autocast(hidden.device.type, enabled=False):  # on CUDA it makes any LSTM fp16, bf16 asked or not
            ahead_NBH = lstm_layer(forwards, hidden_NBE, self.training)
            from_end_NBE = hidden_NBE.take_along_dim(mirrored_NB1, dim=0)
            back_NBH = lstm_layer(backwards, from_end_NBE, self.training).take_along_dim(mirrored_NB1, dim=0)
        return torch.cat([ahead_NBH, back_NBH], dim=2).transpose(0, 1) * mask_BN[:, :, None]


class Postnet(nn.Module):
    """Five convolutions that predict a residual of the mel spectrogram."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        count = sizes.postnet_n_convolutions
        widths = [sizes.n_mel_channels, *[sizes.postnet_embedding_dim] * (count - 1), sizes.n_mel_channels]
        self.convolutions = conv_stack(widths, sizes.postnet_kernel_size, ["tanh"] * (count - 1) + ["linear"])
        self.dropout = sizes.postnet_dropout

    def forward(self, mels_BMF: Tensor, mask_BF: Tensor) -> Tensor:
        """Mel frames (B, M, F) to what is to be added to them (B, M, F)."""
        hidden = mels_BMF
        for index, layer in enumerate(self.convolutions):
            hidden = layer(hidden * mask_BF[:, None])
            hidden = tanh(hidden) if index + 1 < len(self.convolutions) else hidden
            hidden = dropout(hidden, self.dropout, self.training)
        return hidden


class Tacotron2(Network):
    """Text to mel spectrogram. `load_state_dict` takes a published checkpoint's `state_dict` as it is."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.embedding = nn.Embedding(sizes.n_symbols, sizes.symbols_embedding_dim)
        bound = math.sqrt(6.0 / (sizes.n_symbols + sizes.symbols_embedding_dim))
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        self.encoder = Encoder(sizes)
        self.decoder = Decoder(sizes)
        self.postnet = Postnet(sizes)
        self.text_head = TextHead(sizes) if sizes.use_mmi else None
        self.style = Style(sizes) if sizes.use_gst else None

    @property
    def reduction_factor(self) -> int:
        """Mel frames that a decoder step predicts now: sizes.reduction_factor, or fewer later in training."""
        return self.decoder.reduction_factor

    @reduction_factor.setter
    def reduction_factor(self, frames: int) -> None:
        if not 1 <= frames <= self.sizes.reduction_factor:
            raise ValueError(f"the decoder was made for 1 to {self.sizes.reduction_factor} frames a step, not {frames}")
        self.decoder.reduction_factor = frames

    def set_mean_mel(self, mean_M: Tensor) -> None:
        """Start the mel projection at the corpus's mean frame (M,), so that training need not learn the level first.

        It is also what stands in for the teacher frames that training drops.
        """
        with torch.no_grad():
            self.decoder.linear_projection.linear_layer.bias.copy_(mean_M.repeat(self.sizes.reduction_factor))
            self.decoder.mean_mel_M.copy_(mean_M)

    def forward(self, tokens_BN: Tensor, tokens_B: Tensor, mels_BMF: Tensor, frames_B: Tensor) -> Prediction:
        """Teacher-forced pass. Symbol ids (B, N) of lengths (B,); true mel frames (B, M, F) of lengths (B,).

        In training the style is the true frames'; in eval mode it is predicted from the text, as in synthesis.
        """
        mask_BN = length_mask(tokens_B, tokens_BN.shape[1])
        memory = self.encoder(self.embedding(tokens_BN), tokens_B, mask_BN)
        style = predicted_style = None
        if self.style is not None:
            style, predicted_style = self.style.of(mels_BMF, frames_B), self.style.predictor(memory, tokens_B)
            memory = self.style(memory, style if self.training else predicted_style)
        decoded = self.decoder(memory, ~mask_BN, mels_BMF)
        mask_BF = length_mask(frames_B, mels_BMF.shape[2])
        mels = decoded.mels_BMF.masked_fill(~mask_BF[:, None], 0.0)
        refined = (mels + self.postnet(mels, mask_BF)).masked_fill(~mask_BF[:, None], 0.0)
        transcript = None
        if self.text_head is not None:
            transcript = self.text_head(decoded.states_BTD, self.reduction_factor)[:, : mels_BMF.shape[2]]
        return Prediction(mels, refined, decoded.gate_BT, decoded.attention_BTN, transcript, style, predicted_style)

    @torch.no_grad()
    def infer(
        self,
        tokens_BN: Tensor,
        tokens_B: Tensor,
        *,
        max_steps: int = 1000,
        gate_threshold: float = 0.5,
        style_BS: Tensor | None = None,
    ) -> Prediction:
        """Free-running pass, in eval mode. An utterance ends at its first gate over the threshold, or at max_steps.

        A network with style tokens speaks in style_BS (B, S) or (1, S), or as the text predicts when that is None.
        """
        mask_BN = length_mask(tokens_B, tokens_BN.shape[1])
        memory = self.encoder(self.embedding(tokens_BN), tokens_B, mask_BN)
        predicted_style = None
        if self.style is not None:
            predicted_style = self.style.predictor(memory, tokens_B)
            style_BS = predicted_style if style_BS is None else style_BS
            memory = self.style(memory, style_BS)
        elif style_BS is not None:
            raise ValueError(NO_STYLE)
        decoded = self.decoder.infer(memory, ~mask_BN, max_steps, gate_threshold)
        open_BT = decoded.gate_BT.sigmoid() > gate_threshold
        steps = torch.where(open_BT.any(1), open_BT.int().argmax(1) + 1, open_BT.shape[1])
        mask_BF = length_mask(steps * self.reduction_factor, decoded.mels_BMF.shape[2])
        mels = decoded.mels_BMF * mask_BF[:, None]
        refined = (mels + self.postnet(mels, mask_BF)) * mask_BF[:, None]
        return Prediction(mels, refined, decoded.gate_BT, decoded.attention_BTN, None, style_BS, predicted_style)

    @torch.no_grad()
    def style_of(self, mels_BMF: Tensor, frames_B: Tensor) -> Tensor:
        """The style (B, S) of recordings: mel frames (B, M, F) of lengths (B,). ValueError without style tokens."""
        if self.style is None:
            raise ValueError(NO_STYLE)
        return self.style.of(mels_BMF, frames_B)

    @torch.no_grad()
    def style_of_tokens(self, weights_K: Tensor) -> Tensor:
        """The style (1, S) of chosen style tokens, one weight for each. ValueError without style tokens."""
        if self.style is None:
            raise ValueError(NO_STYLE)
        return weights_K[None] @ self.style.tokens.values()
