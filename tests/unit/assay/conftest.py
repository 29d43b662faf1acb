"""Fixtures of the SDK's and the command line's tests."""

import pytest


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are not folded, however wide the terminal is. Sessions are made before a command's own environment is set."""
    monkeypatch.setenv("COLUMNS", "200")
