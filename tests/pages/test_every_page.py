"""What holds for every page: no axe violation in either theme, no sideways scrolling, no error, nothing asked of another host."""

from collections.abc import Callable

import pytest

from tests.pages.visitor import Visitor

Visit = Callable[..., Visitor]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_hub_is_accessible(visit: Visit, width: int, dark: bool) -> None:
    visitor = visit(width=width, dark=dark)
    visitor.go("/")
    assert visitor.violations() == []
    assert not visitor.overflows()
