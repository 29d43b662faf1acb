"""An environment's tabs in a browser: overview, phases, leaderboard, evaluations."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from shared.api import Evaluation
from tests.pages.visitor import Visitor, in_each_look
from tests.running import WORD_PROBLEMS, RunningStack

Visit = Callable[..., Visitor]

OVERVIEW = """# Hostile

<script>alert(1)</script> [click](javascript:alert(1)) ![seen](https://evil.example/x.png)
<img src=x onerror=alert(1)> \u202eevil

| a | b |
|--:|---|
| 1 | [out](https://example.com/) |
"""


@pytest.fixture(scope="session")
def ranked(stack: RunningStack) -> list[Evaluation]:
    """Two whole evaluations of different quality, one equal to the first, and one of a part."""
    slug = stack.push_sample_environment()
    good, poor = (stack.add_model(f"board-{share}", model=f"sample-{share}") for share in (95, 60))
    twin = stack.add_model("board-twin", model="sample-95")
    whole = stack.evaluate(slug, [good, poor, twin], phase="dev")
    part = stack.evaluate(slug, [good], phase="dev", limit=10)
    done = stack.wait([*whole, *part])
    assert all(evaluation.status == "completed" for evaluation in done)
    return done


def test_overview_says_what_how_and_shows_items(visit: Visit, stack: RunningStack) -> None:
    slug = stack.push_sample_environment()
    visitor = visit()
    page = visitor.go("/")
    page.get_by_role("link", name="Word problems", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Word problems")
    expect(page.get_by_role("heading", name="What it measures")).to_be_visible()
    expect(page.get_by_role("region", name="How it is scored")).to_contain_text("last number")
    expect(page.get_by_role("article")).to_have_count(3)
    first = stack.client.environments.items(slug).__next__()
    expect(page.get_by_role("article").first).to_contain_text(first.input)
    expect(page.get_by_role("article").first).to_contain_text((first.target or "").splitlines()[-1])
    tabs = page.get_by_role("navigation", name="Environment", exact=True)
    for tab in ("Phases", "Leaderboard", "Evaluations", "Overview"):
        tabs.get_by_role("link", name=re.compile(f"^{tab}( |$)")).click()
        expect(tabs.locator("[aria-current=page]")).to_contain_text(tab)
    expect(tabs.get_by_role("link", name="Evaluate", exact=True)).to_have_attribute(
        "href", f"/environments/{slug}/evaluate"
    )
    evaluate = page.locator(".head-actions").get_by_role("link", name="Evaluate")
    box = evaluate.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] > 1440 - 1440 / 6
    assert box["y"] < 240
    expect(evaluate).to_have_attribute("href", f"/environments/{slug}/evaluate")


def test_a_hostile_overview_is_text(visit: Visit, stack: RunningStack, tmp_path: Path) -> None:
    manifest = (WORD_PROBLEMS / "environment.yaml").read_text().replace("slug: word-problems", "slug: hostile-overview")
    (tmp_path / "environment.yaml").write_text(manifest)
    (tmp_path / "overview.md").write_text(OVERVIEW)
    for phase in ("dev", "test"):
        (tmp_path / f"{phase}.jsonl").write_bytes((WORD_PROBLEMS / f"{phase}.jsonl").read_bytes())
    stack.client.environments.push(tmp_path)
    visitor = visit()
    page = visitor.go("/environments/hostile-overview")
    prose = page.locator(".prose")
    expect(prose).to_contain_text("<script>alert(1)</script>")
    expect(prose).to_contain_text("[U+202E]evil")
    assert page.locator(".prose script, .prose img, .prose [style]").count() == 0
    assert [link.get_attribute("href") for link in prose.get_by_role("link").all()] == [
        "https://evil.example/x.png",
        "https://example.com/",
    ]


def test_phases_page_through_their_items(visit: Visit, stack: RunningStack) -> None:
    stack.push_sample_environment()
    page = visit(script=False).go("/environments/word-problems/phases")
    items = page.get_by_role("article")
    expect(items).to_have_count(20)
    first = items.first.inner_text()
    page.get_by_role("link", name="Next page").click()
    expect(items).to_have_count(20)
    assert items.first.inner_text() != first
    page.get_by_role("link", name="test", exact=True).click()
    expect(page.get_by_role("heading", name="Items of test")).to_be_visible()


def test_items_from_any_place(visit: Visit, stack: RunningStack) -> None:
    stack.push_sample_environment()
    visitor = visit(script=False)
    page = visitor.go("/environments/word-problems/phases?phase=test")
    expected = [item.input for item in stack.client.environments.items("word-problems", "test")]
    page.get_by_label("From item").fill("391")
    page.get_by_role("button", name="Go").click()
    items = page.get_by_role("article")
    expect(items).to_have_count(10)
    expect(page.get_by_text("391 to 400 of 400")).to_be_visible()
    expect(items.last).to_contain_text(expected[-1])
    page.get_by_role("link", name="Previous page").click()
    expect(items.first).to_contain_text(expected[370])
    page.goto(f"{stack.url}/environments/word-problems/phases?phase=test&first=4001")
    expect(page.get_by_text("The phase has 400 items.")).to_be_visible()


def test_an_old_version_is_looked_at_and_evaluated(visit: Visit, stack: RunningStack, tmp_path: Path) -> None:
    for name in ("environment.yaml", "overview.md", "dev.jsonl", "test.jsonl"):
        (tmp_path / name).write_bytes((WORD_PROBLEMS / name).read_bytes())
    manifest = tmp_path / "environment.yaml"
    manifest.write_text(manifest.read_text().replace("slug: word-problems", "slug: word-versions"))
    old = stack.client.environments.push(tmp_path).version
    (tmp_path / "dev.jsonl").write_text("".join((tmp_path / "dev.jsonl").read_text().splitlines(keepends=True)[:9]))
    new = stack.client.environments.push(tmp_path).version
    model = stack.add_model("sample-95")

    visitor = visit()
    page = visitor.go("/environments/word-versions")
    expect(page.get_by_text("of which there is a newer one")).to_have_count(0)
    page.get_by_role("navigation", name="Environment", exact=True).get_by_role("link", name="Versions").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text(new[:12])
    expect(rows.first).to_contain_text("other items in dev")
    expect(rows.last).to_contain_text("first version")
    assert visitor.violations() == []
    rows.last.get_by_role("link", name=f"Evaluate version {old[:12]}").click()
    expect(page.get_by_text("of which there is a newer one")).to_be_visible()
    page.goto(f"{page.url}?models={model.id}&phase=dev")
    page.get_by_role("button", name="Run evaluation").click()
    page.wait_for_url("**/evaluations/*")
    evaluation = stack.client.evaluations.get(page.url.split("/evaluations/")[1].split("/")[0])
    assert evaluation.environment_version == old
    assert stack.wait([evaluation])[0].progress.total == 100


def models(page_rows: Locator) -> list[str]:
    return [row.locator("th a").first.inner_text() for row in page_rows.all()]


def test_leaderboard_ranks_sorts_and_compares(visit: Visit, stack: RunningStack, ranked: list[Evaluation]) -> None:
    visitor = visit()
    page = visitor.go("/environments/word-problems/leaderboard?phase=dev")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(len(stack.client.environments.leaderboard("word-problems", "dev").items))
    board = stack.client.environments.leaderboard("word-problems", "dev").items
    assert models(rows) == [row.model_name for row in board]
    tied = [row for row in board if row.tied]
    assert len(tied) >= 2
    expect(page.locator(".board-rank", has_text="tied")).to_have_count(len(tied))
    expect(page.get_by_text("Partial: 10 samples").first).to_be_visible()
    first = board[0]
    assert first.accuracy_ci95 is not None
    interval = f"{first.accuracy_ci95[0] * 100:.1f}\u2013{first.accuracy_ci95[1] * 100:.1f}%"
    expect(rows.first.locator(".board-score")).to_contain_text(interval)

    page.get_by_role("link", name="Score").click()
    expect(page.get_by_role("columnheader", name="Score")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="Score").click()
    expect(page.get_by_role("columnheader", name="Score")).to_have_attribute("aria-sort", "ascending")
    scores = [row.overall_score for row in board if row.overall_score is not None]
    assert rows.first.locator("b").inner_text() == f"{min(scores) * 100:.2f}%"

    compare = page.get_by_role("button", name="Compare")
    expect(compare).to_be_disabled()
    boxes = page.get_by_role("checkbox")
    boxes.nth(0).check()
    expect(compare).to_be_disabled()
    boxes.nth(1).focus()
    page.keyboard.press("Space")
    expect(compare).to_be_enabled()
    chosen = [boxes.nth(place).get_attribute("value") for place in (0, 1)]
    page.route("**/compare?*", lambda route: route.fulfill(body="", content_type="text/html"))  # has tests of its own
    compare.click()
    page.wait_for_url(re.compile(rf"/compare\?evaluations={chosen[0]}&evaluations={chosen[1]}$"))


def test_evaluations_follow_what_happens(visit: Visit, stack: RunningStack, ranked: list[Evaluation]) -> None:
    stack.endpoint.gate(closed=True)
    try:
        page = visit().go("/environments/word-problems/evaluations")
        rows = page.locator("tbody tr")
        before = rows.count()
        model = stack.client.models.list().__next__()
        started = stack.evaluate("word-problems", [model], phase="dev", limit=5)[0]
        mine = page.locator(f'[data-evaluation="{started.id}"]')
        expect(rows).to_have_count(before + 1)
        expect(mine.get_by_text("running")).to_be_visible()
    finally:
        stack.endpoint.gate(closed=False)
    expect(mine.get_by_text("completed")).to_be_visible()
    score = stack.client.evaluations.get(started.id).metrics
    assert score is not None
    expect(mine).to_contain_text(f"{score['overall_score'] * 100:.2f}%")
    page.get_by_role("link", name="Failed").click()
    expect(page.locator("[aria-label=Status] [aria-current]")).to_contain_text("Failed")
    expect(mine).to_have_count(0)


def test_on_a_phone_the_tab_that_is_shown_is_in_sight(visit: Visit, stack: RunningStack) -> None:
    stack.push_sample_environment()
    page = visit(width=390).go("/environments/word-problems/evaluations")
    expect(page.locator(".tabs [aria-current]")).to_be_in_viewport(ratio=0.99)


@in_each_look
@pytest.mark.parametrize("tab", ["", "/phases", "/leaderboard?phase=dev", "/evaluations"])
def test_every_tab_is_accessible(visit: Visit, ranked: list[Evaluation], tab: str, width: int, dark: bool) -> None:
    visitor = visit(width=width, dark=dark)
    visitor.go(f"/environments/word-problems{tab}")
    assert visitor.violations() == []
    assert not visitor.overflows()
