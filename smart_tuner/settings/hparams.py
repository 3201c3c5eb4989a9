"""The hyperparameters.

To add one, add a field here and use it where it acts; files, --set, checks, search spaces and MLflow follow.
"""

from dataclasses import dataclass
from typing import Literal

from smart_tuner.settings.fields import ranged


@dataclass(frozen=True, kw_only=True)
class Hparams:
    """Everything that decides how the model learns; the defaults suit the published sizes on a single GPU."""

    learning_rate: float = ranged(1e-3, above=0, high=1)
    """Adam's peak learning rate."""
    batch_size: int = ranged(32, low=1)
    """Utterances in an iteration."""
    budget: str = "100ep"
    """How much to train: 20ep (epochs), 5000it (iterations), 300000utt (utterances) or 45m (wall time; also s, h)."""
    seed: int = ranged(1234, low=0, high=2**62)
    """Seed of initialisation, data order and dropout; trial n of a study uses seed + n."""
    accumulation: int = ranged(1, low=1)
    """Parts in which a batch goes through the network, one after the other, before one optimizer step: saves memory."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """What makes a step of a gradient; adamw keeps weight_decay out of the gradient's own scaling."""
    schedule: Literal["constant", "step", "exponential", "cosine", "plateau"] = "cosine"
    """How the learning rate falls from its peak to final_learning_rate over the budget: step and exponential begin
    halfway, plateau waits until validation.loss no longer falls."""
    warmup_iterations: int = ranged(500, low=0)
    """Iterations over which the learning rate rises linearly to its peak."""
    final_learning_rate: float = ranged(1e-5, above=0, high=1)
    """Where the schedule ends; at most learning_rate."""
    weight_decay: float = ranged(1e-6, low=0, high=1)
    """Adam's L2 penalty."""
    adam_eps: float = ranged(1e-6, above=0, high=1e-2)
    """Adam's epsilon; 1e-6 is safe in mixed precision too."""
    ema_decay: float = ranged(0.0, low=0, high=0.9999)
    """Decay per iteration of the running mean of the weights that is validated and exported; 0 takes the weights."""
    grad_clip_thresh: float = ranged(1.0, above=0)
    """Global gradient norm above which gradients are scaled down."""
    fp16_run: bool = False
    """Mixed precision asked for: bf16 where the GPU can, fp16 with loss scaling elsewhere, fp32 on a CPU."""
    tf32_run: bool = False
    """Products of fp32 numbers in TF32 where the GPU can: 10 bits of mantissa, and faster; not in validation."""
    decoder_loop: Literal["fast", "plain"] = "fast"
    """How training walks through the decoder's steps: by the backward pass written for it, or by autograd alone, with
    the same numbers, rounding aside, in twice the time."""
    reduction_factor: int = ranged(1, low=1, high=10)
    """Mel frames that one decoder step predicts (r), at the start when there is a reduction_schedule."""
    reduction_schedule: str = ""
    """Smaller r later on, by utterances seen: 2@20000,1@60000; empty keeps reduction_factor."""
    attention_kind: Literal["location", "dynamic", "forward"] = "location"
    """Location-sensitive as published, dynamic convolution, or forward attention; the last two do not go back."""
    use_guided_attn: bool = True
    """Penalise attention off the diagonal."""
    guide_weight: float = ranged(1.0, above=0, high=100)
    """Weight of the guided attention loss when it is used."""
    guide_sigma: float = ranged(0.2, above=0, high=2)
    """Width g of the guided diagonal, as a share of the text."""
    guide_anneal: int = ranged(0, low=0)
    """Validations in a row with a formed attention from which each one more halves the guide's weight; 0 never does."""
    forward_sum_weight: float = ranged(0.0, low=0, high=100)
    """Weight of the forward-sum loss; training.atten_loss is logged at any weight."""
    gate_weight: float = ranged(1.0, above=0, high=100)
    """Weight of the gate loss."""
    gate_positive_weight: float = ranged(5.0, above=0, high=100)
    """Weight of the stop frame inside the gate loss."""
    use_mmi: bool = False
    """Maximise mutual information between text and speech: the text must be readable from the decoder's states."""
    max_gaf: float = ranged(0.3, above=0, high=10)
    """Most that the text's gradient is of the mel's at the decoder's states (cap of the gradient adaptive factor)."""
    drop_frame_rate: float = ranged(0.0, low=0, high=0.9)
    """Share of the teacher's frames that the corpus's mean frame replaces in training."""
    use_gst: bool = False
    """Global style tokens, and their prediction from the text."""
    prenet_dropout: float = ranged(0.5, low=0, high=0.95)
    """Dropout in the prenet, at inference too."""
    encoder_dropout: float = ranged(0.5, low=0, high=0.95)
    """Dropout after each encoder convolution."""
    attention_dropout: float = ranged(0.1, low=0, high=0.95)
    """Dropout on the attention LSTM's output."""
    decoder_dropout: float = ranged(0.1, low=0, high=0.95)
    """Dropout on the decoder LSTM's output."""
    attention_zoneout: float = ranged(0.0, low=0, high=0.95)
    """Zoneout of the attention LSTM: share of its state that a step keeps from the step before."""
    decoder_zoneout: float = ranged(0.0, low=0, high=0.95)
    """Zoneout of the decoder LSTM; above 0 that LSTM runs step by step, which is slower."""
    postnet_dropout: float = ranged(0.5, low=0, high=0.95)
    """Dropout after each postnet convolution."""
    stress_masking: float = ranged(0.0, low=0, high=1)
    """Share of the words whose stress mark is taken away in training, so that texts without marks are read too."""
    validation_freq: int = ranged(50, low=1)
    """Iterations from one validation to the next."""
    validation_utterances: int = ranged(128, low=1)
    """Validation uses a fixed choice of at most this many utterances."""
