"""Tacotron 2 as its papers write it, step after step, on a model's own parameters: what the tests compare with.

B utterances, N tokens, T decoder steps, F mel frames, M mel channels, E encoder width, H attention LSTM width.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.attention import Attention
from model.decoder import Decoder, Prenet
from model.tacotron2 import Encoder, Postnet, Prediction, Tacotron2


def plain_forward(
    model: Tacotron2, tokens_BN: Tensor, tokens_B: Tensor, mels_BMF: Tensor, frames_B: Tensor
) -> Prediction:
    """The teacher-forced pass over a padded batch; only the decoder is written out, for it alone has a fast form."""
    real_BN = torch.arange(tokens_BN.shape[1]) < tokens_B[:, None]
    real_BF = torch.arange(mels_BMF.shape[2]) < frames_B[:, None]
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
    """Mel frames (B, M, F), gate logits (B, T) and attention (B, T, N), every layer called once per step."""
    sizes, r = decoder.sizes, decoder.sizes.reduction_factor
    (batch, tokens, width), frames = memory_BNE.shape, mels_BMF.shape[2]
    keys_BNA = decoder.attention_layer.memory_layer(memory_BNE)
    hidden, cell = memory_BNE.new_zeros(2, batch, sizes.attention_rnn_dim)
    decoder_hidden, decoder_cell = memory_BNE.new_zeros(2, batch, sizes.decoder_rnn_dim)
    previous_BN, total_BN = memory_BNE.new_zeros(2, batch, tokens)
    context_BE = memory_BNE.new_zeros(batch, width)
    mels, gates, attention = [], [], []
    for start in range(0, frames, r):
        frame_BM = mels_BMF[:, :, start - 1] if start else mels_BMF.new_zeros(mels_BMF.shape[:2])
        rnn_input = torch.cat([plain_prenet(decoder.prenet, frame_BM), context_BE], dim=1)
        hidden, cell = decoder.attention_rnn(rnn_input, (hidden, cell))
        hidden = F.dropout(hidden, sizes.attention_dropout, decoder.training)
        previous_BN = plain_attention(decoder.attention_layer, hidden, keys_BNA, previous_BN, total_BN, real_BN)
        total_BN = total_BN + previous_BN
        context_BE = (previous_BN[:, :, None] * memory_BNE).sum(1)
        decoder_input = torch.cat([hidden, context_BE], dim=1)
        decoder_hidden, decoder_cell = decoder.decoder_rnn(decoder_input, (decoder_hidden, decoder_cell))
        features = torch.cat([F.dropout(decoder_hidden, sizes.decoder_dropout, decoder.training), context_BE], dim=1)
        mels.extend(decoder.linear_projection(features).chunk(r, dim=1))
        gates.append(decoder.gate_layer(features)[:, 0])
        attention.append(previous_BN)
    return torch.stack(mels, dim=2)[:, :, :frames], torch.stack(gates, dim=1), torch.stack(attention, dim=1)


def plain_attention(
    layer: Attention, hidden_BH: Tensor, keys_BNA: Tensor, previous_BN: Tensor, total_BN: Tensor, real_BN: Tensor
) -> Tensor:
    """Location-sensitive attention weights (B, N) of one step: v tanh(W query + V memory + U location), softmax."""
    location = layer.location_layer.location_conv.conv(torch.stack([previous_BN, total_BN], dim=1))
    location_BNA = layer.location_layer.location_dense.linear_layer(location.transpose(1, 2))
    query_BA = layer.query_layer.linear_layer(hidden_BH)
    energies_BN = layer.v.linear_layer(torch.tanh(query_BA[:, None] + keys_BNA + location_BNA))[:, :, 0]
    exponentials_BN = torch.exp(energies_BN) * real_BN
    return exponentials_BN / exponentials_BN.sum(1, keepdim=True)


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
