from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.manifest import installed_scoring

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scorers of `tests/plugins` are installed, in this process and in those that it starts."""
    monkeypatch.syspath_prepend(PLUGINS)
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    installed_scoring.cache_clear()
    yield
    installed_scoring.cache_clear()
