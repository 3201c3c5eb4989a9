"""Names and shapes of the published Tacotron 2, written down from the paper and the public checkpoint."""

from itertools import pairwise


def norm_table(name: str, width: int) -> dict[str, tuple[int, ...]]:
    vectors = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**vectors, f"{name}.num_batches_tracked": ()}


def conv_table(stack: str, widths: list[int]) -> dict[str, tuple[int, ...]]:
    table: dict[str, tuple[int, ...]] = {}
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        name = f"{stack}.convolutions.{index}"
        table |= {f"{name}.0.conv.weight": (outputs, inputs, 5), f"{name}.0.conv.bias": (outputs,)}
        table |= norm_table(f"{name}.1", outputs)
    return table


PUBLISHED: dict[str, tuple[int, ...]] = {
    "embedding.weight": (148, 512),
    **conv_table("encoder", [512, 512, 512, 512]),
    "encoder.lstm.weight_ih_l0": (1024, 512),
    "encoder.lstm.weight_hh_l0": (1024, 256),
    "encoder.lstm.bias_ih_l0": (1024,),
    "encoder.lstm.bias_hh_l0": (1024,),
    "encoder.lstm.weight_ih_l0_reverse": (1024, 512),
    "encoder.lstm.weight_hh_l0_reverse": (1024, 256),
    "encoder.lstm.bias_ih_l0_reverse": (1024,),
    "encoder.lstm.bias_hh_l0_reverse": (1024,),
    "decoder.prenet.layers.0.linear_layer.weight": (256, 80),
    "decoder.prenet.layers.1.linear_layer.weight": (256, 256),
    "decoder.attention_rnn.weight_ih": (4096, 768),
    "decoder.attention_rnn.weight_hh": (4096, 1024),
    "decoder.attention_rnn.bias_ih": (4096,),
    "decoder.attention_rnn.bias_hh": (4096,),
    "decoder.attention_layer.query_layer.linear_layer.weight": (128, 1024),
    "decoder.attention_layer.memory_layer.linear_layer.weight": (128, 512),
    "decoder.attention_layer.v.linear_layer.weight": (1, 128),
    "decoder.attention_layer.location_layer.location_conv.conv.weight": (32, 2, 31),
    "decoder.attention_layer.location_layer.location_dense.linear_layer.weight": (128, 32),
    "decoder.decoder_rnn.weight_ih": (4096, 1536),
    "decoder.decoder_rnn.weight_hh": (4096, 1024),
    "decoder.decoder_rnn.bias_ih": (4096,),
    "decoder.decoder_rnn.bias_hh": (4096,),
    "decoder.linear_projection.linear_layer.weight": (80, 1536),
    "decoder.linear_projection.linear_layer.bias": (80,),
    "decoder.gate_layer.linear_layer.weight": (1, 1536),
    "decoder.gate_layer.linear_layer.bias": (1,),
    **conv_table("postnet", [80, 512, 512, 512, 512, 80]),
}
