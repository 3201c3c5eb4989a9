"""What a search optimises."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is optimised, at a trial's best validation."""

    metric: str = "validation.loss"
    direction: Literal["minimize", "maximize"] = "minimize"
