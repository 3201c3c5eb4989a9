"""Health: when a training counts as sick, why, and what to change then."""
