"""What a page costs the reader's browser, by the browser's own account (Chrome DevTools protocol, PerformanceObserver)."""

from dataclasses import dataclass

from playwright.sync_api import Page

WATCH = """
  window.longTasks = [];
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.longTasks.push({ at: task.startTime, ms: task.duration });
  }).observe({ type: "longtask", buffered: true });
"""
"""To be run before the page's own scripts. A task counts as long from 50 ms on (https://w3c.github.io/longtasks/)."""


@dataclass(frozen=True)
class Held:
    """What the page holds after everything that can be let go of has been: bytes of JavaScript's heap, nodes, listeners."""

    heap: int
    nodes: int
    listeners: int


class Vitals:
    """Of one page, from the moment that it is made."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.add_init_script(WATCH)
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable")
        self._session.send("HeapProfiler.enable")

    def held(self) -> Held:
        for _ in range(2):  # what the first lets go of may hold more
            self._session.send("HeapProfiler.collectGarbage")
        found = self._session.send("Performance.getMetrics")["metrics"]
        values = {metric["name"]: metric["value"] for metric in found}
        return Held(int(values["JSHeapUsedSize"]), int(values["Nodes"]), int(values["JSEventListeners"]))

    def elements(self) -> int:
        """How many elements the document has."""
        count: int = self._page.evaluate("document.querySelectorAll('*').length")
        return count

    def longest_task_ms(self) -> float:
        """Of all tasks since the page was opened, or since this was last asked; 0 where none took 50 ms."""
        longest: float = self._page.evaluate(
            "() => { const longest = Math.max(0, ...longTasks.map((task) => task.ms)); longTasks.length = 0; return longest; }"
        )
        return longest
