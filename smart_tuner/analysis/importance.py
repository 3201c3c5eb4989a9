"""Which parameters mattered in a search, as plain data (study/importance.py weighs them)."""

from dataclasses import dataclass

FEW = 20
"""With fewer complete trials the order of the parameters is mostly luck."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """How much a parameter decides whether a trial is among the best; the shares of all sum to 1."""

    name: str
    share: float
    low: float
    high: float
    """Both: what 5 and 95 % of the studies drawn from these trials, with repetition, stay below."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """What mattered."""

    shares: tuple[Share, ...]
    """Largest first; none when it cannot be said."""
    trials: int
    """Complete, feasible trials of the search within its ranges."""
    enough: bool
    """Whether anything can be said."""
    needed: int = FEW
    """Trials that it takes; with as many or more and not enough, all trials came to the same objective."""

    def of(self, name: str) -> Share | None:
        """A parameter's share; None when it is not known."""
        return next((share for share in self.shares if share.name == name), None)
