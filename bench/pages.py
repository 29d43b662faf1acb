"""What the pages cost the reader's browser: the longest task of each, and the memory of one that shows a log that never stops."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from bench.fixtures import SLUG, Bench, BenchError, Workload, started
from bench.results import Section, Table
from tests.pages.chromium import ARGUMENTS, find_chromium
from tests.pages.large import Log, insert_large, insert_running
from tests.pages.vitals import Held, Vitals

ITEMS = 100_000
QUICK_ITEMS = 10_000
LINES_PER_S = 200
"""Many times what an evaluation says at its busiest: five progress events and a few notes a second."""
STREAM_S = 60
LONG_LINES = 600 * LINES_PER_S
LOOKS = 6
MB = 1_000_000

WHAT = f"""The pages of one evaluation of very many items in headless Chromium, 1440 pixels wide, on the machine that runs the stack
too. The items and results are put straight into MongoDB. *Longest task* is the browser's own figure (PerformanceObserver, `longtask`,
which counts from 50 ms on): for so long at most the page did not answer a click. *Shown* is from the click, or the address, until
what was asked for is there.

The log streams {LINES_PER_S} lines a second into an open page, many times what an evaluation says. Memory is JavaScript's heap and the nodes of
all documents after a forced garbage collection. The page draws some hundred lines and holds the texts of the newest 50,000, to be
searched and copied: what the heap grows by."""

LONG_WHAT = "The same page with a log that streams for ten minutes, at the same rate."


@dataclass(frozen=True)
class Step:
    """One thing that a reader does."""

    name: str
    shown_ms: float
    longest_ms: float
    elements: int


@dataclass(frozen=True)
class Look:
    """The log's page at a time, with so many lines written."""

    at_s: float
    lines: int
    held: Held
    longest_ms: float


@contextmanager
def chromium() -> Iterator[Browser]:
    program, environment = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, env={**environment})
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Bench, str]]:
    """A stack with a small completed evaluation, by its id, in whose image the large ones are made."""
    with started(folder, Workload.make(folder / "bundle", 100)) as bench:
        bench.client.environments.push(bench.workload.folder)
        model = bench.add_model(16)
        begun = bench.client.evaluations.start(SLUG, [model.id]).evaluations[0]
        ended = bench.client.evaluations.wait(begun.id, timeout=60)
        if ended.status != "completed":
            raise BenchError(f"evaluation #{ended.number} is {ended.status}")
        yield bench, ended.id


def measure(folder: Path, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """Every page of the large evaluation, then a log for a minute."""
    with opened(folder) as (bench, like), chromium() as browser:
        number = insert_large(bench.settings, like, items)
        say(f"pages: {items:,} results are in MongoDB")
        steps = read(browser, bench.stack.url, number, items, rounds)
        say(f"pages: longest task {max(step.longest_ms for step in steps):.0f} ms")
        looks = stream(browser, bench, like, STREAM_S)
    tables = [steps_table(items, steps), log_table(looks)]
    return Section("pages", f"Pages of {items:,} items in a browser", WHAT, tables)


def measure_log(folder: Path, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """A log for ten minutes, or for as long as `items` lines take."""
    with opened(folder) as (bench, like), chromium() as browser:
        looks = stream(browser, bench, like, items / LINES_PER_S)
    return Section("log-page", "A log's page over ten minutes", LONG_WHAT, [log_table(looks)])


def read(browser: Browser, url: str, number: int, items: int, rounds: int) -> Sequence[Step]:
    """What a reader does with a large evaluation, each step in its worst of so many rounds."""
    found: dict[str, Step] = {}
    for _ in range(rounds):
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        vitals = Vitals(page)
        for name, act in steps_of(f"{url}/evaluations/{number}", items):
            began = time.perf_counter()
            act(page)
            shown = 1000 * (time.perf_counter() - began)
            page.wait_for_load_state("networkidle")
            step = Step(name, shown, vitals.longest_task_ms(), vitals.elements())
            found[name] = max(step, found.get(name, step), key=lambda one: one.longest_ms)
        page.close()
    return list(found.values())


def steps_of(base: str, items: int) -> Sequence[tuple[str, Callable[[Page], None]]]:
    """Each by its name; done when what was asked for is there."""
    last = f"large-{items - 1}"

    def scores(page: Page) -> None:
        page.goto(base)
        page.get_by_text("Overall Score").first.wait_for()

    def cases(page: Page) -> None:
        page.goto(f"{base}/cases")
        page.get_by_text("large-0", exact=True).wait_for()

    def open_case(page: Page) -> None:
        page.get_by_role("button", name="Open test case").first.click()
        page.get_by_role("heading", name="Gold answer").wait_for()

    def turn(page: Page) -> None:
        page.get_by_role("link", name="Next page").click()
        page.get_by_text("large-50", exact=True).wait_for()

    def jump(page: Page) -> None:
        page.get_by_label("Go to row").fill(str(items - 10))
        page.get_by_role("button", name="Go", exact=True).click()
        page.get_by_text(last, exact=True).wait_for()

    def only_wrong(page: Page) -> None:
        page.get_by_label("Correct or not").select_option("false")
        page.locator("tr.hit").first.wait_for(state="detached")

    def search(page: Page) -> None:
        page.get_by_label("Correct or not").select_option("")
        page.get_by_role("searchbox").fill(last)
        page.get_by_text("1 test case that matches").wait_for(timeout=60_000)

    return (
        ("Score Breakdown", scores),
        ("Detailed Results", cases),
        ("a test case opened", open_case),
        ("the next page", turn),
        ("the last page, by its row", jump),
        ("only what is not correct", only_wrong),
        ("search for the last item", search),
    )


def stream(browser: Browser, bench: Bench, like: str, seconds: float) -> Sequence[Look]:
    """The log's page while lines come, looked at so many times."""
    lines = int(seconds * LINES_PER_S)
    number = insert_running(bench.settings, like, ITEMS)
    log = Log(bench.settings, number)
    log.start()
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    vitals = Vitals(page)
    page.goto(f"{bench.stack.url}/evaluations/{number}/log")
    looks: list[Look] = []
    began = time.monotonic()
    for _ in range(LOOKS):
        written = log.write(lines // LOOKS, LINES_PER_S)
        while not written.done():
            page.wait_for_timeout(200)
        written.result()
        page.get_by_text(f"Line {log.lines - 1}:").first.wait_for(timeout=30_000)
        longest = vitals.longest_task_ms()  # before the garbage collection, which is a long task of our own
        looks.append(Look(time.monotonic() - began, log.lines, vitals.held(), longest))
        vitals.longest_task_ms()
    page.close()
    log.end()
    return looks


def tasks(longest_ms: float) -> str:
    return f"{longest_ms:.0f}" if longest_ms else "under 50"


def steps_table(items: int, steps: Sequence[Step]) -> Table:
    rows = [[step.name, f"{step.shown_ms:.0f}", tasks(step.longest_ms), f"{step.elements:,}"] for step in steps]
    return Table(f"{items:,} items", ["", "shown, ms", "longest task, ms", "elements"], rows)


def log_table(looks: Sequence[Look]) -> Table:
    rows = [
        [
            f"after {look.at_s:.0f} s",
            f"{look.lines:,}",
            f"{look.held.heap / MB:.1f}",
            f"{look.held.nodes:,}",
            f"{look.held.listeners:,}",
            tasks(look.longest_ms),
        ]
        for look in looks
    ]
    columns = ["", "lines", "heap, MB (10⁶ bytes)", "nodes", "listeners", "longest task, ms"]
    return Table(f"A log of {LINES_PER_S} lines a second", columns, rows)
