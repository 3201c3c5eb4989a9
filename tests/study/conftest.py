"""A storage for each test of a study, and the search in it."""

from typing import Any

import pytest


@pytest.fixture
def memory() -> Any:
    from tests.support.studies import Memory  # Optuna and torch are not for whoever only hands out the tests

    return Memory()


@pytest.fixture
def open_study(memory: Any) -> Any:
    """Opens the same search, as a program that is started again does."""
    from tests.support.searches import search_in

    return lambda *given, **named: search_in(memory.open(), *given, **named)
