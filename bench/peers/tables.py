"""The tables of the section: one row a tool, in the order in which they were measured."""

from collections.abc import Mapping, Sequence
from math import ceil

from bench.peers.found import Found, accuracy, told, told_of_kill
from bench.peers.scenarios import (
    CALL_TIMEOUT_S,
    CONNECTIONS,
    ERRORS_2,
    ERRORS_10,
    HANGS,
    KILL,
    LATENCY,
    LATENCY_MS,
    MANY,
    SPEED,
    Scenario,
    Sizes,
)
from bench.results import Section, Table

Cell = Found | str
"""What was found, or why nothing was."""
Grid = Mapping[str, Mapping[str, Cell]]
"""By tool and by scenario."""

NOT_RUN = "not run"
OURS = "assay"


def section(titles: Mapping[str, str], grid: Grid, sizes: Sizes, what_items: str, up_s: float | None) -> Section:
    """`titles` by tool, with versions."""
    return Section(
        "peers",
        "Beside other tools",
        what(what_items, up_s),
        [
            speed_table(titles, grid, SPEED, sizes.small),
            speed_table(titles, grid, MANY, sizes.large),
            latency_table(titles, grid, sizes),
            trouble_table(titles, grid, sizes),
        ],
    )


def what(items: str, up_s: float | None) -> str:
    started = "" if up_s is None else f" (starting it took {up_s:.1f} s)"
    return f"""The same items ({items}) at the same sample endpoint with {CONNECTIONS} connections, in turn, on this machine. Each tool is installed
apart and has its own defaults, but for the connections, a deadline of {CALL_TIMEOUT_S} s a call, temperature and `max_tokens`; it reads the items
from local files and asks with the same words. A run lasts from the start of the tool's process until it has ended with its scores on
disk. Assay's stack runs{started}; *`assay eval`* counts from the start of that command until it has ended, *POST to
completed* is what a program sees, the files being stored and verified. CPU is of all processes of a tool: for Assay, of the whole
stack and the command. *Accuracy* is exact where the tool finds as many right as the endpoint's model answers right over all items.
evalscope's own GSM8K asks for `\\boxed{{}}` and misreads some wordings without it, so its accuracy is off in every run. A killed tool
was started again as its documentation says (a response cache from the start, `eval-retry`, `--use-cache`, `--resume`; Assay: `up`); its
time is that of the second start, and what was under way at the kill had to be called again in any case."""


def cell(grid: Grid, tool: str, scenario: str) -> Cell:
    return grid.get(tool, {}).get(scenario, NOT_RUN)


def speed_table(titles: Mapping[str, str], grid: Grid, scenario: Scenario, items: int) -> Table:
    """One of the two sizes without latency."""
    ours = cell(grid, OURS, scenario.name)
    rows = []
    for tool, title in titles.items():
        found = cell(grid, tool, scenario.name)
        rows.append([title, *rate(found, ours), *cost(found)])
    return Table(
        f"From start to scored, no latency, {items:,} items",
        ["", "s", "items/s", "x Assay's time", "CPU s / 1,000 items", "peak MB", "accuracy"],
        rows,
    )


def rate(found: Cell, ours: Cell) -> list[str]:
    """Seconds, items a second, and how many times as long as Assay's command it took."""
    if not isinstance(found, Found):
        return [found, "", ""]
    if not found.whole:
        return [told(found), "", ""]
    times = f"{found.wall_s / ours.wall_s:.1f}" if isinstance(ours, Found) and ours.whole else ""
    return [f"{found.wall_s:.2f}", f"{found.per_s:,.0f}", times]


def cost(found: Cell) -> list[str]:
    """CPU and memory, and the accuracy."""
    if not isinstance(found, Found) or not found.whole:
        return ["", "", ""]
    cpu = "" if found.cpu_s is None else f"{1000 * found.cpu_s / found.truth.items:.2f}"
    peak = "" if found.peak_mb is None else f"{found.peak_mb:,.0f}"
    return [cpu, peak, accuracy(found)]


def latency_table(titles: Mapping[str, str], grid: Grid, sizes: Sizes) -> Table:
    """Against the waves of calls that nobody can beat."""
    ideal_s = ceil(sizes.small / CONNECTIONS) * LATENCY_MS / 1000
    rows = []
    for tool, title in titles.items():
        found = cell(grid, tool, LATENCY.name)
        if isinstance(found, Found) and found.whole:
            rows.append([title, f"{found.wall_s:.2f}", f"{found.wall_s / ideal_s:.2f}"])
        else:
            rows.append([title, told(found) if isinstance(found, Found) else found, ""])
    return Table(
        f"{sizes.small:,} items, {LATENCY_MS} ms a call, {CONNECTIONS} at once: ideal {ideal_s:.2f} s",
        ["", "s", "x ideal"],
        rows,
    )


def trouble_table(titles: Mapping[str, str], grid: Grid, sizes: Sizes) -> Table:
    """What becomes of the small set when something goes wrong."""
    columns = [ERRORS_2, ERRORS_10, HANGS, KILL]

    def say(found: Cell) -> str:
        return told_of_kill(found) if isinstance(found, Found) else found

    rows: Sequence[Sequence[str]] = [
        [title, *(say(cell(grid, tool, scenario.name)) for scenario in columns)]
        for tool, title in titles.items()
        if tool != "assay-sdk"
    ]
    return Table(
        f"In trouble, {sizes.small:,} items, no latency (100 ms for the kill)",
        ["", *(scenario.title for scenario in columns)],
        rows,
    )
