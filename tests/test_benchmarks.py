"""The benchmarks are run by hand and seldom: what they are made from is still there."""

import importlib
from pathlib import Path

import pytest

NAMES = sorted(file.stem for file in (Path(__file__).parent.parent / "benchmarks").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_finds_what_it_uses(name: str) -> None:
    assert importlib.import_module(f"benchmarks.{name}").__doc__
