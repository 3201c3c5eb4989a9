"""The settings of the health rules: each one's warm-up, window and threshold."""

from dataclasses import dataclass

from smart_tuner.settings.fields import ranged


@dataclass(frozen=True, kw_only=True)
class Health:
    """When a training counts as sick: each rule's warm-up, window and threshold (docs/metrics.md)."""

    enabled: bool = True
    """Watch the training and stop it when a rule says so; a loss or gradient that is not finite always stops it."""
    training_window: int = ranged(100, low=1)
    """Iterations whose median is judged: of grad.norm, training.loss, training.guide_loss and duration."""
    gradient_warmup: int = ranged(1000, low=0)
    """Iterations that exploding_gradients leaves out at the start, at least those of the learning rate's warm-up."""
    gradient_limit: float = ranged(10.0, above=0)
    """A larger median grad.norm is suspect; it stops the trial when training.loss has risen too."""
    gradient_spike: float = ranged(100.0, above=0)
    """A larger grad.norm is a spike."""
    gradient_spikes: float = ranged(0.2, above=0, high=1)
    """Share of spikes in a window that counts like a large median."""
    loss_rise: float = ranged(0.2, low=0)
    """training.loss has risen when its median is above its best by this share."""
    loss_jump: float = ranged(3.0, above=1)
    """A median training.loss of this many times its best stops the trial, whatever the gradients are."""
    rising_validations: int = ranged(8, low=1)
    """Validations in a row that must be above the best validation.loss before it counts as rising."""
    rising_gain: float = ranged(0.05, low=0)
    """By how much they must be above it, as a share."""
    flat_validations: int = ranged(8, low=1)
    """Validations without a gain after which validation.loss is called flat; that only warns."""
    flat_gain: float = ranged(0.01, low=0, high=1)
    """What counts as a gain of validation.loss, as a share."""
    missing_score: float = ranged(0.35, low=0, high=1)
    """Below this alignment_score there is no attention; evenly spread it scores 0.28."""
    formed_score: float = ranged(0.5, low=0, high=1)
    """From this alignment_score on the attention has formed."""
    attention_deadline: int = ranged(100_000, low=1)
    """Utterances by which it must be there, with guided attention, the forward-sum loss or reduction_factor from 2."""
    attention_deadline_unaided: int = ranged(400_000, low=1)
    """The same without any of these."""
    attention_extension: float = ranged(1.0, low=0)
    """The deadline moves once by this share of itself when the attention is on its way."""
    attention_rise: float = ranged(0.02, low=0, high=1)
    """On its way: alignment_score rose, or attention_entropy fell, by more between half of the deadline and it."""
    sharp_warmup: int = ranged(20_000, low=0)
    """Utterances that attention_stuck and attention_off_diagonal leave out at the start."""
    stuck_validations: int = ranged(3, low=1)
    """Validations in a row that must show a stuck attention."""
    diagonal_validations: int = ranged(8, low=1)
    """Validations in a row that must show an attention off the diagonal."""
    sharp_focus: float = ranged(0.8, low=0, high=1)
    """An attention_focus above is sharp."""
    stuck_spread: float = ranged(0.05, low=0, high=1)
    """A sharp attention that moves over less than this share of the text is stuck."""
    diagonal_score: float = ranged(0.6, low=0, high=1)
    """A sharp attention that stays below this alignment_score does not follow the speech."""
    collapse_validations: int = ranged(8, low=1)
    """Validations in a row whose alignment_score must have fallen."""
    collapse_drop: float = ranged(0.25, above=0, high=1)
    """By how much it must be below its best, once that has formed."""
    guide_deadline: int = ranged(50_000, low=1)
    """Utterances by which guided attention must take hold."""
    guide_fall: float = ranged(0.1, low=0, high=1)
    """It takes hold when training.guide_loss is this share below its first median."""
    gate_warmup: int = ranged(20_000, low=0)
    """Utterances after the attention has formed that the gate rules leave out."""
    gate_validations: int = ranged(8, low=1)
    """Validations in a row that must show a sick gate."""
    gate_low: float = ranged(0.1, low=0, high=1)
    """A gate_mean below never stops."""
    gate_high: float = ranged(0.9, low=0, high=1)
    """A gate_mean above always stops."""
    gate_spread: float = ranged(0.1, low=0, high=0.5)
    """A gate_std below has learned nothing."""
    gate_rise: float = ranged(0.02, low=0, high=0.5)
    """A gate whose gate_std rises by more over these validations is learning, and left alone."""
    gate_fall: float = ranged(0.1, low=0, high=1)
    """So is one whose median training.gate_loss falls by more than this share."""
    duration_factor: float = ranged(2.0, above=1)
    """Iterations that take this many times their usual time are warned of."""
