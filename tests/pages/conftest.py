"""A real browser on the real stack."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.pages.chromium import ARGUMENTS, find_chromium
from tests.pages.places import Seed, seed_stack
from tests.pages.visitor import Visitor
from tests.running import RunningStack

HERE = Path(__file__).parent

# Chromium, two stacks and the tests of other files share the cores.
expect.set_options(timeout=15_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test on a machine gets Chromium, 100 MB of packages."""
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))


# Of a module: Playwright's loop runs in this thread until it ends, and no test with a loop of its own could run meanwhile.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program, environment = find_chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, env={**environment})
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, stack: RunningStack) -> Iterator[Callable[..., Visitor]]:
    """Opens a browser window on the stack: `visit(width=1440, dark=False)`. At the end of the test each must have behaved."""
    visitors: list[Visitor] = []

    def open_window(**settings: object) -> Visitor:
        visitor = Visitor(browser, stack.url, **settings)  # type: ignore[arg-type]
        visitors.append(visitor)
        return visitor

    yield open_window
    for visitor in visitors:
        visitor.close()


@pytest.fixture(scope="session")
def seed(stack: RunningStack) -> Seed:
    """Two models, each evaluated on a part of the sample environment."""
    return seed_stack(stack)
