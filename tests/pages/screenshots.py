"""`python -m tests.pages.screenshots [FOLDER]` (`make screenshots`): every page, in both widths and themes, of a stack that has seen some use.

Four of them, as small PNGs, go to `docs/screenshots/`, where the README shows them.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from deploy.embedded.ports import free
from shared.api import Evaluation
from tests.pages.chromium import ARGUMENTS, find_chromium
from tests.pages.places import Seed
from tests.pages.visitor import Visitor
from tests.running import ROOT, RunningStack

WIDTHS = (1440, 390)
DOCS = ROOT / "docs" / "screenshots"
MAX_BYTES = 200_000
SHOWN_WIDTH, SHOWN_HEIGHT = 1200, 760

MODELS = ("sample-95", "sample-80", "sample-60", "sample-88", "sample-72")

CAPITALS = {
    "environment.yaml": """slug: capitals
title: Capitals
description: Which city is the capital? A name alone counts.
tags: [knowledge, geography, short-answer]
prompt: {template: "{{ question }} Answer with the name alone."}
phases: [{name: test, data: rows.jsonl, fields: {input: question, target: answer}}]
scoring: {scorer: contains}
""",
    "rows.jsonl": "".join(
        f'{{"question": "What is the capital of {country}?", "answer": "{city}"}}\n'
        for country, city in (("France", "Paris"), ("Peru", "Lima"), ("Kenya", "Nairobi"), ("Nepal", "Kathmandu"))
    ),
}


class Busy:
    """A stack in use: evaluations that have ended, one that runs, one that waits, one whose calls failed, one that was cancelled."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        slug = stack.push_sample_environment()
        with tempfile.TemporaryDirectory() as folder:
            for name, text in CAPITALS.items():
                (Path(folder) / name).write_text(text)
            stack.client.environments.push(folder)
        sources = ("platform", "running", "trained", "huggingface", "running")
        stack.endpoint.behave(latency_ms=120, jitter_ms=160)
        models = [
            stack.add_model(name, source=source, max_concurrency=24)
            for name, source in zip(MODELS, sources, strict=True)
        ]
        ended = stack.wait(stack.evaluate(slug, models[:4], phase="test"))
        stack.wait(stack.evaluate(slug, models, phase="dev"))
        (port,) = free(1)
        away = stack.client.models.add(
            "llama-3.3-70b-awq", base_url=f"http://127.0.0.1:{port}/v1", model="llama", source="huggingface"
        )
        stack.wait(stack.evaluate(slug, [away], phase="dev", unreachable_wait_s=0))
        self.waiting = stack.evaluate(slug, [away], phase="dev")[0]
        cancelled = stack.evaluate(slug, models[4:], phase="test")[0]
        stack.client.evaluations.cancel(cancelled.id)
        self.seed = Seed(slug, ended[0].number, ended[1].number, models[0].id)
        self.compared = [evaluation.number for evaluation in ended[:3]]
        self._models = models

    def running(self) -> Evaluation:
        """One that has come a third of its way, and goes on slowly."""
        self.stack.endpoint.behave(latency_ms=900, jitter_ms=600)
        evaluation = self.stack.evaluate(self.seed.slug, self._models[1:2], phase="test")[0]
        while self.stack.client.evaluations.get(evaluation.id).progress.done < 120:
            time.sleep(0.2)
        return evaluation


def names_of(busy: Busy) -> dict[str, str]:
    """Addresses by what the picture is called: the same in every run."""
    found: dict[str, str] = {}
    for address in busy.seed.addresses():
        name = re.sub(r"[^a-z0-9_]+", "-", address.replace(busy.seed.model, "model").lower()).strip("-")
        found[name or "hub"] = address
    return found


def take(page: Page, path: Path, *, whole: bool = True) -> None:
    page.wait_for_load_state("networkidle")
    # No scrollbar is drawn here, and a strip that is kept free for one would look like a mistake.
    page.evaluate("document.documentElement.style.scrollbarGutter = 'auto'")
    page.screenshot(path=path, full_page=whole, animations="disabled")


def shoot_all(browser: Browser, busy: Busy, folder: Path) -> None:
    """Every page, and the running evaluation's log last, since it changes what the others show."""
    pages = names_of(busy) | {"evaluation-waiting": f"/evaluations/{busy.waiting.number}"}
    for live in (False, True):
        if live:
            pages = {"evaluation-running": f"/evaluations/{busy.running().number}"}
        for width in WIDTHS:
            for dark in (False, True):
                visitor = Visitor(browser, busy.stack.url, width=width, dark=dark)
                for name, address in pages.items():
                    page = visitor.page
                    page.goto(f"{busy.stack.url}{address}")
                    # A socket is never idle; the log has come once its last lines are there.
                    page.wait_for_load_state("load")
                    if live:
                        page.get_by_text("Processing:").last.wait_for()
                    take(page, folder / f"{name}-{width}-{'dark' if dark else 'light'}.png")
                visitor.context.close()


def shoot_for_readme(browser: Browser, busy: Busy) -> None:
    """What one sees of each without scrolling."""
    DOCS.mkdir(parents=True, exist_ok=True)
    compared = ",".join(map(str, busy.compared))
    chosen = {
        "leaderboard": f"/environments/{busy.seed.slug}/leaderboard?phase=test",
        "log": f"/evaluations/{busy.running().number}",
        "scores": f"/evaluations/{busy.seed.evaluation}",
        "compare": f"/compare?evaluations={compared}",
    }
    for name, address in chosen.items():
        dark = name == "log"
        visitor = Visitor(browser, busy.stack.url, width=SHOWN_WIDTH, height=SHOWN_HEIGHT, dark=dark)
        page = visitor.go(address)
        if name == "log":
            page.get_by_text("Processing:").last.wait_for()
        path = DOCS / f"{name}.png"
        take(page, path, whole=False)
        visitor.context.close()
        if path.stat().st_size > MAX_BYTES:
            raise SystemExit(
                f"{path} has {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} may go into the repository"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.pages.screenshots", description="Takes pictures of every page."
    )
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "screenshots", help="default: screenshots/")
    parser.add_argument("--readme", action="store_true", help="only the four of the README")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="assay-screenshots-") as data, ExitStack() as exits:
        stack = exits.enter_context(RunningStack(Path(data), endpoint=("--models", *MODELS)))
        busy = Busy(stack)
        program, environment = find_chromium()
        playwright = exits.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, env={**environment})
        exits.callback(browser.close)
        shoot_for_readme(browser, busy)
        if not given.readme:
            given.folder.mkdir(parents=True, exist_ok=True)
            shoot_all(browser, busy, given.folder)
            print(f"{len(list(given.folder.iterdir()))} pictures in {given.folder}")
    print(f"the README's in {DOCS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
