"""What the modes take, against what the report leaves out of the commands that it proposes."""

from dataclasses import fields

import pytest

from smart_tuner.cli.options import ModeName, Options, option_name
from smart_tuner.report.commands import NOT_CHECKED, NOT_TRAINED


@pytest.mark.parametrize(("mode", "left_out"), [("train", NOT_TRAINED), ("check", NOT_CHECKED)])
def test_a_proposed_command_has_no_option_that_its_mode_refuses(mode: ModeName, left_out: tuple[str, ...]) -> None:
    searching = {option_name(spec.name): spec.metadata["modes"] for spec in fields(Options)}
    refused = {name for name, modes in searching.items() if "tune" in modes and mode not in modes}
    assert refused <= {f"--{name}" for name in left_out}
