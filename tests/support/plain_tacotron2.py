"""Tacotron 2 as its papers write it, step after step, on a model's own parameters: what the tests compare with.

B utterances, N tokens, T decoder steps, F mel frames, M mel channels, E encoder width, H attention LSTM width.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from model.attention import Attention, ForwardAttention
from model.decoder import Decoder, Prenet
from model.dynamic import DynamicAttention
from model.prediction import Prediction
from model.tacotron2 import Encoder, Postnet, Tacotron2


def plain_forward(
    model: Tacotron2, tokens_BN: Tensor, tokens_B: Tensor, mels_BMF: Tensor, frames_B: Tensor
) -> Prediction:
    """The teacher-forced pass over a padded batch; only the decoder is written out, for it alone has a fast form."""
    real_BN = torch.arange(tokens_BN.shape[1], device=tokens_B.device) < tokens_B[:, None]
    real_BF = torch.arange(mels_BMF.shape[2], device=frames_B.device) < frames_B[:, None]
    memory = model.encoder(model.embedding(tokens_BN), tokens_B, real_BN)
    mels, gate, attention = plain_decoder(model.decoder, memory, real_BN, mels_BMF)
    mels = torch.where(real_BF[:, None], mels, 0.0)
    refined = torch.where(real_BF[:, None], mels + model.postnet(mels, real_BF), 0.0)
    return Prediction(mels, refined, gate, attention)


def plain_utterance(model: Tacotron2, tokens_N: Tensor, mels_MF: Tensor) -> Prediction:
    """The teacher-forced pass over a single utterance: the published network, which knows no padding and no masks."""
    memory = plain_encoder(model.encoder, model.embedding(tokens_N[None]))
    real_BN = torch.ones(1, len(tokens_N), dtype=torch.bool)
    mels, gate, attention = plain_decoder(model.decoder, memory, real_BN, mels_MF[None])
    return Prediction(mels, mels + plain_postnet(model.postnet, mels), gate, attention)


def plain_decoder(
    decoder: Decoder, memory_BNE: Tensor, real_BN: Tensor, mels_BMF: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mel frames (B, M, F), gate logits (B, T) and attention (B, T, N), every layer called once per step.

    Zoneout is its expectation, as in eval mode.
    """
    held, decoder_held = decoder.sizes.attention_zoneout, decoder.sizes.decoder_zoneout
    sizes, r = decoder.sizes, decoder.sizes.reduction_factor
    (batch, tokens, width), frames = memory_BNE.shape, mels_BMF.shape[2]
    hidden, cell = memory_BNE.new_zeros(2, batch, sizes.attention_rnn_dim)
    decoder_hidden, decoder_cell = memory_BNE.new_zeros(2, batch, sizes.decoder_rnn_dim)
    previous_BN = memory_BNE.new_zeros(batch, tokens)
    previous_BN[:, 0] = sizes.attention_kind != "location"
    total_BN = previous_BN
    context_BE = memory_BNE.new_zeros(batch, width)
    mels, gates, attention = [], [], []
    for start in range(0, frames, r):
        frame_BM = mels_BMF[:, :, start - 1] if start else mels_BMF.new_zeros(mels_BMF.shape[:2])
        rnn_input = torch.cat([plain_prenet(decoder.prenet, frame_BM), context_BE], dim=1)
        fresh, fresh_cell = decoder.attention_rnn(rnn_input, (hidden, cell))
        fresh = F.dropout(fresh, sizes.attention_dropout, decoder.training)
        hidden, cell = mixed(hidden, fresh, held), mixed(cell, fresh_cell, held)
        previous_BN = plain_attention(decoder.attention_layer, hidden, memory_BNE, previous_BN, total_BN, real_BN)
        total_BN = total_BN + previous_BN
        context_BE = (previous_BN[:, :, None] * memory_BNE).sum(1)
        decoder_input = torch.cat([hidden, context_BE], dim=1)
        fresh, fresh_cell = decoder.decoder_rnn(decoder_input, (decoder_hidden, decoder_cell))
        decoder_hidden = mixed(decoder_hidden, fresh, decoder_held)
        decoder_cell = mixed(decoder_cell, fresh_cell, decoder_held)
        features = torch.cat([F.dropout(decoder_hidden, sizes.decoder_dropout, decoder.training), context_BE], dim=1)
        mels.extend(decoder.linear_projection(features).chunk(r, dim=1))
        gates.append(decoder.gate_layer(features)[:, 0])
        attention.append(previous_BN)
    return torch.stack(mels, dim=2)[:, :, :frames], torch.stack(gates, dim=1), torch.stack(attention, dim=1)


def mixed(previous: Tensor, fresh: Tensor, held: float) -> Tensor:
    """A state of which zoneout holds back a share."""
    return held * previous + (1.0 - held) * fresh


def plain_attention(
    layer: Attention | DynamicAttention,
    hidden_BH: Tensor,
    memory_BNE: Tensor,
    previous_BN: Tensor,
    total_BN: Tensor,
    real_BN: Tensor,
) -> Tensor:
    """Attention weights (B, N) of one step, of whatever kind the layer is."""
    if isinstance(layer, DynamicAttention):
        return plain_softmax(plain_dynamic(layer, hidden_BH, previous_BN), real_BN)
    weights_BN = plain_softmax(plain_location(layer, hidden_BH, memory_BNE, previous_BN, total_BN), real_BN)
    if isinstance(layer, ForwardAttention):
        weights_BN = weights_BN * (previous_BN + shifted(previous_BN, 1))
    return weights_BN / weights_BN.sum(1, keepdim=True)


def plain_softmax(energies_BN: Tensor, real_BN: Tensor) -> Tensor:
    """Weights (B, N) over the real tokens."""
    exponentials_BN = torch.exp(energies_BN) * real_BN
    return exponentials_BN / exponentials_BN.sum(1, keepdim=True)


def plain_location(
    layer: Attention, hidden_BH: Tensor, memory_BNE: Tensor, previous_BN: Tensor, total_BN: Tensor
) -> Tensor:
    """Location-sensitive energies (B, N): v tanh(W query + V memory + U location)."""
    location = layer.location_layer.location_conv.conv(torch.stack([previous_BN, total_BN], dim=1))
    location_BNA = layer.location_layer.location_dense.linear_layer(location.transpose(1, 2))
    query_BA = layer.query_layer.linear_layer(hidden_BH)
    keys_BNA = layer.memory_layer.linear_layer(memory_BNE)
    energies: Tensor = layer.v.linear_layer(torch.tanh(query_BA[:, None] + keys_BNA + location_BNA))
    return energies[:, :, 0]


def plain_dynamic(layer: DynamicAttention, hidden_BH: Tensor, previous_BN: Tensor) -> Tensor:
    """Energies (B, N) of dynamic convolution attention: v tanh(U static + T dynamic + bias) + log prior."""
    static = layer.static_conv.conv(previous_BN[:, None])
    taps = layer.filter_layer.linear_layer(torch.tanh(layer.filter_query.linear_layer(hidden_BH)))
    filters = taps.view(len(taps), static.shape[1], 1, -1)
    dynamic = torch.stack(
        [F.conv1d(row[None], own, padding=own.shape[2] // 2) for row, own in zip(previous_BN, filters, strict=True)]
    )
    from_static = layer.static_dense.linear_layer(static.transpose(1, 2))
    from_dynamic = layer.dynamic_dense.linear_layer(dynamic.transpose(1, 2))
    energies: Tensor = layer.v.linear_layer(torch.tanh(from_static + from_dynamic))
    prior_BN = sum((beta_binomial(move) * shifted(previous_BN, move) for move in range(11)), previous_BN.new_zeros(()))
    return energies[:, :, 0] + torch.log(prior_BN.clamp_min(1e-6))


def beta_binomial(successes: int, trials: int = 10, alpha: float = 0.1, beta: float = 0.9) -> float:
    """The chance of so many draws of the first colour from a Polya urn, drawn one by one, in any order."""
    chance = float(math.comb(trials, successes))
    for drawn in range(trials):
        weight = alpha + drawn if drawn < successes else beta + drawn - successes
        chance *= weight / (alpha + beta + drawn)
    return chance


def shifted(weights_BN: Tensor, tokens: int) -> Tensor:
    """Weights moved on by some tokens; what leaves the text is lost."""
    return F.pad(weights_BN, (tokens, 0))[:, : weights_BN.shape[1]]


def plain_prenet(prenet: Prenet, frame_BM: Tensor) -> Tensor:
    """Two ReLU layers whose dropout is always on."""
    first, second = prenet.layers
    hidden = F.dropout(torch.relu(first(frame_BM)), prenet.dropout, True)
    return F.dropout(torch.relu(second(hidden)), prenet.dropout, True)


def plain_encoder(encoder: Encoder, embedded_BNE: Tensor) -> Tensor:
    """Convolution, batch normalisation, ReLU, dropout, and again; then the bidirectional LSTM."""
    hidden = embedded_BNE.transpose(1, 2)
    for layer in encoder.convolutions:
        hidden = F.dropout(torch.relu(layer(hidden)), encoder.dropout, encoder.training)
    return encoder.lstm(hidden.transpose(1, 2))[0]


def plain_postnet(postnet: Postnet, mels_BMF: Tensor) -> Tensor:
    """Convolution, batch normalisation, tanh, dropout, and again; the last layer has no tanh."""
    *hidden_layers, last = postnet.convolutions
    hidden = mels_BMF
    for layer in hidden_layers:
        hidden = F.dropout(torch.tanh(layer(hidden)), postnet.dropout, postnet.training)
    return F.dropout(last(hidden), postnet.dropout, postnet.training)
