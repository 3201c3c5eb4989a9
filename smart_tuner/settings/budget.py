"""How much a trial trains: epochs, iterations, utterances or wall time."""

import math
import re
from dataclasses import dataclass

from smart_tuner.errors import SettingsError

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """An amount with its unit: ep, it, utt, or s, m, h of wall time."""

    amount: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """From texts such as 20ep, 5000it, 300000utt, 45m. Raises SettingsError."""
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ep|it|utt|s|m|h)\s*", text)
        if match is None or float(match[1]) <= 0:
            raise SettingsError(f"A budget is 20ep, 5000it, 300000utt or 45m (also s, h), above 0; received {text!r}.")
        return cls(float(match[1]), match[2])

    @property
    def seconds(self) -> float | None:
        """Wall time, when the budget is one."""
        return self.amount * SECONDS[self.unit] if self.unit in SECONDS else None

    def iterations(self, batch_size: int, epoch_iterations: int) -> int | None:
        """Training iterations that spend the budget (at least 1), or None for wall time."""
        if self.unit in SECONDS:
            return None
        per_iteration = {"ep": 1 / epoch_iterations, "it": 1.0, "utt": batch_size}[self.unit]
        return max(1, math.ceil(self.amount / per_iteration - 1e-9))
