"""Gradual reduction: the r that a training uses after so many utterances; large ones align sooner, small sound best."""

import re
from itertools import pairwise

from smart_tuner.errors import SettingsError


def reduction_stages(start: int, schedule: str) -> tuple[tuple[int, int], ...]:
    """(Utterances seen, r) of each stage, the first at 0. Raises SettingsError for a text that is no schedule."""
    parts = [part.strip() for part in schedule.split(",") if part.strip()]
    found = [re.fullmatch(r"(\d+)@(\d+)", part) for part in parts]
    listed = [(0, start), *((int(match[2]), int(match[1])) for match in found if match)]
    falls = all(later > earlier and 1 <= r < before for (earlier, before), (later, r) in pairwise(listed))
    if not all(found) or not falls:
        raise SettingsError(
            "hparams.reduction_schedule lists smaller and smaller r, each with the utterances seen by then, such as "
            f"2@20000,1@60000 after hparams.reduction_factor = {start}; received {schedule!r}."
        )
    return tuple(listed)


def reduction_at(start: int, schedule: str, utterances: int) -> int:
    """The r in force after so many utterances."""
    return [r for begins, r in reduction_stages(start, schedule) if begins <= utterances][-1]
