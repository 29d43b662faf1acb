"""Pages of 100,000 results, and of a log that never stops, stay small: what they hold is bounded. How fast they are: `python -m bench pages`."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from shared.settings import Settings
from tests.pages.large import Log, insert_large, insert_running, settings_of
from tests.pages.places import Seed
from tests.pages.visitor import Visitor
from tests.pages.vitals import Vitals
from tests.running import RunningStack

Visit = Callable[..., Visitor]

ITEMS = 100_000
MOST_ELEMENTS = 4_000
MOST_NODES = 12_000
"""Of a log's page, which draws some hundred lines of however many it holds."""
MOST_BYTES = 400_000
"""Of a page's HTML."""
A_LINE = 300
"""Bytes of JavaScript's heap for each line more, which can be searched and copied; the oldest are let go of in the end."""

LINE_IN_THE_MIDDLE = """(frame) => new Promise((done) => {
  let before = -1, still = 0;
  const look = () => {
    still = frame.scrollTop === before ? still + 1 : 0;
    before = frame.scrollTop;
    if (still < 10) return requestAnimationFrame(look);
    const box = frame.getBoundingClientRect();
    done(document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2).textContent);
  };
  look();
})"""
"""Of an element that scrolls, once it has come to rest."""

pytestmark = [pytest.mark.large, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def settings(stack: RunningStack) -> Settings:
    return settings_of(stack.embedded)


@pytest.fixture(scope="module")
def like(stack: RunningStack, seed: Seed) -> str:
    """The id of a small evaluation, in whose image large ones are made."""
    return stack.client.evaluations.get(seed.evaluation).id


@pytest.fixture(scope="module")
def large(settings: Settings, like: str) -> int:
    return insert_large(settings, like, ITEMS)


@pytest.fixture
def log(settings: Settings, like: str) -> Iterator[tuple[int, Log]]:
    """A running evaluation by its number, and its log."""
    number = insert_running(settings, like, ITEMS)
    log = Log(settings, number)
    log.start()
    yield number, log
    log.end()


def small(visitor: Visitor, vitals: Vitals) -> None:
    assert vitals.elements() < MOST_ELEMENTS
    assert len(visitor.page.content()) < MOST_BYTES


def test_the_first_page_of_100000_results(visit: Visit, large: int) -> None:
    visitor = visit()
    vitals = Vitals(visitor.page)
    page = visitor.go(f"/evaluations/{large}/cases")
    expect(page.get_by_text("large-0", exact=True).first).to_be_visible()
    expect(page.get_by_text("100,000").first).to_be_visible()
    small(visitor, vitals)


def test_every_tab_is_small(visit: Visit, large: int, subtests: pytest.Subtests) -> None:
    visitor = visit()
    vitals = Vitals(visitor.page)
    for tab in ("", "/log", "/cases", "/cases?correct=false", "/files", "/dataset"):
        with subtests.test(tab):
            visitor.go(f"/evaluations/{large}{tab}").wait_for_load_state("networkidle")
            small(visitor, vitals)


def test_filtering_and_paging(visit: Visit, large: int) -> None:
    """From page to page nothing piles up."""
    visitor = visit()
    vitals = Vitals(visitor.page)
    page = visitor.go(f"/evaluations/{large}/cases?correct=false")
    for _ in range(3):
        small(visitor, vitals)
        first = page.get_by_text("large-").first.inner_text()
        page.get_by_role("link", name="Next page").first.click()
        expect(page.get_by_text(first, exact=True)).to_have_count(0)
    assert "correct=false" in page.url


def test_the_last_of_100000_is_found(visit: Visit, large: int) -> None:
    visitor = visit()
    page = visitor.go(f"/evaluations/{large}/cases")
    box = page.get_by_role("searchbox").first
    box.fill(f"large-{ITEMS - 1}")
    box.press("Enter")
    expect(page.get_by_text(f"large-{ITEMS - 1}", exact=True).first).to_be_visible(timeout=20_000)
    expect(page.get_by_text("large-0", exact=True)).to_have_count(0)


def until_line(page: Page, number: int) -> None:
    """Until the page has followed the log to this line."""
    expect(page.get_by_role("log")).to_contain_text(f"Line {number}:", timeout=30_000)


def test_a_log_that_streams_does_not_grow(visit: Visit, log: tuple[int, Log]) -> None:
    """With 30,000 lines more it draws no more than with the first 10,000, and holds their texts and little else."""
    number, writer = log
    visitor = visit()
    vitals = Vitals(visitor.page)
    page = visitor.go(f"/evaluations/{number}/log")
    writer.write(10_000).result()
    until_line(page, writer.lines - 1)
    before = vitals.held()
    for _ in range(3):
        writer.write(10_000).result()
        until_line(page, writer.lines - 1)
    after = vitals.held()
    assert after.heap < before.heap + 30_000 * A_LINE
    assert after.nodes < MOST_NODES
    assert after.listeners < before.listeners + 50
    assert vitals.elements() < MOST_ELEMENTS * 2


def test_a_long_log_opens_at_its_end(visit: Visit, log: tuple[int, Log]) -> None:
    number, writer = log
    writer.write(20_000).result()
    visitor = visit()
    vitals = Vitals(visitor.page)
    page = visitor.go(f"/evaluations/{number}/log")
    until_line(page, writer.lines - 1)
    small(visitor, vitals)


def test_scrolling_up_stops_following(visit: Visit, log: tuple[int, Log]) -> None:
    """Whoever reads is not pulled away; one click leads back to the end."""
    number, writer = log
    writer.write(500).result()
    page = visit().go(f"/evaluations/{number}/log")
    until_line(page, 499)
    frame = page.get_by_role("log")
    frame.hover()
    page.mouse.wheel(0, -1_000)
    latest = page.get_by_role("button", name="Jump to latest")
    expect(latest).to_be_visible()
    # Older lines that are drawn above move everything by their height: what counts is what stands before the reader's eyes.
    read = frame.evaluate(LINE_IN_THE_MIDDLE)
    writer.write(200).result()
    expect(latest).to_contain_text(re.compile(r"\b[1-9]\d* new"))
    assert frame.evaluate(LINE_IN_THE_MIDDLE) == read
    latest.click()
    until_line(page, writer.lines - 1)
    expect(latest).to_be_hidden()


def test_scrolling_up_before_the_feed_has_come(visit: Visit, log: tuple[int, Log]) -> None:
    """What the server rendered can be read: the same lines out of the feed take its place under the reader's eyes."""
    number, writer = log
    writer.write(2_000).result()
    window = visit()
    held: list[tuple[WebSocketRoute, str | bytes]] = []
    released = False

    def hold(socket: WebSocketRoute) -> None:
        def pass_on(message: str | bytes) -> None:
            if released:
                socket.send(message)
            else:
                held.append((socket, message))

        socket.connect_to_server().on_message(pass_on)

    window.page.route_web_socket(re.compile("/events/ws"), hold)
    page = window.go(f"/evaluations/{number}/log")
    until_line(page, 1_999)
    frame = page.get_by_role("log")
    frame.hover()
    page.mouse.wheel(0, -1_000)
    expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    read = frame.evaluate(LINE_IN_THE_MIDDLE)
    released = True
    for socket, message in held:
        socket.send(message)
    expect(page.locator("#log-count")).to_have_text("2,021 lines")
    assert frame.evaluate(LINE_IN_THE_MIDDLE) == read
    page.mouse.wheel(0, -100_000)
    expect(frame).to_contain_text("Line 1400:")
