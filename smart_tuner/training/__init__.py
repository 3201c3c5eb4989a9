"""Training: one trial in its process, from its checkpoint to its last event."""
