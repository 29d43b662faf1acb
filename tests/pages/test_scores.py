"""Score Breakdown, Detailed Results, Files and the dataset, on evaluations of the sample environment."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from gateway.web.dataset import SHOWN
from shared.api import Evaluation
from tests.pages.visitor import Visitor
from tests.running import RunningStack

Visit = Callable[..., Visitor]

CASES = 120


@pytest.fixture(scope="module")
def evaluation(stack: RunningStack) -> Evaluation:
    """Of a model that is often wrong; more test cases than two pages have."""
    slug = stack.push_sample_environment()
    model = stack.add_model("scores-60", model="sample-60")
    return stack.wait(stack.evaluate(slug, [model], phase="test", limit=CASES))[0]


def push(stack: RunningStack, folder: Path, rows: list[dict[str, object]], *manifest: str) -> str:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [
        f"slug: {folder.name}",
        "title: Sums",
        "prompt: {template: '{{ input }}'}",
        "phases: [{name: all, data: rows.jsonl}]",
        *manifest,
    ]
    (folder / "environment.yaml").write_text("\n".join(lines))
    return stack.client.environments.push(folder).slug


@pytest.fixture(scope="module")
def flawless(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Of an environment in which any answer is right."""
    rows: list[dict[str, object]] = [{"input": f"What is {n} + 1?", "target": "."} for n in range(6)]
    slug = push(stack, tmp_path_factory.mktemp("flawless"), rows, "scoring: {scorer: regex}")
    return stack.wait(stack.evaluate(slug, [stack.add_model("flawless", model="sample-95")]))[0]


@pytest.fixture(scope="module")
def without_dataset(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Of an environment whose items have tags, and that wants no dataset; two samples an item."""
    rows: list[dict[str, object]] = [
        {"input": f"What is {n} + 1?", "target": str(n + 1), "tags": ["sums", f"level {n % 2}"]} for n in range(6)
    ]
    slug = push(stack, tmp_path_factory.mktemp("tagged"), rows, "scoring: {scorer: numeric}", "dataset: false")
    model = stack.add_model("tagged", model="sample-60")
    return stack.wait(stack.evaluate(slug, [model], samples_per_item=2))[0]


def test_the_breakdown_says_what_the_api_says(visit: Visit, evaluation: Evaluation) -> None:
    page = visit(script=False).go(f"/evaluations/{evaluation.number}")
    metrics = evaluation.metrics or {}
    hero = page.locator(".score-hero")
    expect(hero).to_contain_text(f"{metrics['overall_score']:.2%}")
    low, high = metrics["accuracy_ci95"]
    expect(hero).to_contain_text(f"95% interval {low:.2%} to {high:.2%}")
    expect(page.locator(".score-card").first).to_contain_text(f"{metrics['correct']} correct of {CASES}")
    expect(page.locator(".score-facts")).to_contain_text(f"{metrics['tokens']['total']:,}")
    expect(page.locator(".legend")).to_contain_text(f"Wrong {metrics['scored'] - metrics['correct']}")
    assert page.locator("svg.chart").count() == 2
    figures = page.locator(".plot").first.locator("tbody tr")
    assert sum(int(row.locator("td").nth(1).text_content() or "") for row in figures.all()) == metrics["called"]
    page.get_by_role("link", name="Wrong", exact=True).click()
    expect(page.locator("#rows tr").first).to_contain_text("Wrong")


def test_plots_that_are_still_counted_come_by_themselves(visit: Visit, evaluation: Evaluation) -> None:
    visitor = visit()
    answers: list[str] = []

    def first_without(route: Route) -> None:
        """As the page is of an evaluation so large that its plots take longer than the page waits."""
        answer = route.fetch()
        answers.append(answer.text())
        if len(answers) == 1:
            body = answers[0].replace('<div class="plots">', "<div data-counting>").replace('class="chart"', "")
            route.fulfill(response=answer, body=body)
        else:
            route.fulfill(response=answer)

    visitor.page.route(f"**/evaluations/{evaluation.number}", first_without)
    page = visitor.go(f"/evaluations/{evaluation.number}")
    assert page.locator("[data-counting]").count() == 1
    expect(page.locator("svg.chart")).to_have_count(2)
    assert len(answers) == 2


def test_every_file_can_be_downloaded_and_is_what_the_page_says(
    visit: Visit, evaluation: Evaluation, tmp_path: Path
) -> None:
    page = visit().go(f"/evaluations/{evaluation.number}/files")
    for file in evaluation.files:
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {file.name}").click()
        download.value.save_as(tmp_path / file.name)
        digest = hashlib.sha256((tmp_path / file.name).read_bytes()).hexdigest()
        assert digest == file.sha256
        expect(page.locator(".file-part", has_text=file.name)).to_contain_text(digest)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="View", exact=True).click()
    expect(opened.value.get_by_role("heading", name="Test cases")).to_be_visible()
    page.get_by_role("link", name="View fine-tune dataset").click()
    expect(page.get_by_role("heading", name="Fine-tune dataset")).to_be_visible()


def test_the_dataset_shows_its_rows(visit: Visit, evaluation: Evaluation, stack: RunningStack) -> None:
    page = visit().go(f"/evaluations/{evaluation.number}/dataset")
    lines = stack.lines(evaluation, "dataset.jsonl")
    expect(page.locator(".facts")).to_contain_text(f"{len(lines)}")
    rows = page.locator(".pairs-list > li")
    expect(rows).to_have_count(SHOWN)
    first = lines[0]
    expect(rows.first.locator(".turn-gold pre")).to_have_text(first["messages"][-1]["content"], use_inner_text=True)
    expect(rows.first.locator(".turn-rejected pre")).to_have_text(first["metadata"]["rejected"], use_inner_text=True)


def test_nothing_missed_and_no_dataset_wanted_are_said(
    visit: Visit, flawless: Evaluation, without_dataset: Evaluation
) -> None:
    visitor = visit()
    expect(visitor.go(f"/evaluations/{flawless.number}/dataset").locator("#panel")).to_contain_text(
        "Nothing was missed"
    )
    page = visitor.go(f"/evaluations/{without_dataset.number}/dataset")
    expect(page.locator("#panel")).to_contain_text("dataset: false")
    expect(visitor.go(f"/evaluations/{without_dataset.number}/files").locator("#panel")).to_contain_text(
        "dataset: false"
    )
    tags = visitor.go(f"/evaluations/{without_dataset.number}").get_by_role("region", name="Accuracy by tag")
    expect(tags.get_by_role("row", name="sums")).to_contain_text("of 12")
    expect(tags.get_by_role("row", name="level 1")).to_contain_text("of 6")


def test_results_without_a_script(visit: Visit, evaluation: Evaluation, stack: RunningStack) -> None:
    page = visit(script=False).go(f"/evaluations/{evaluation.number}/cases")
    expect(page.locator("#rows tr.case")).to_have_count(50)
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#rows-said")).to_contain_text(f"Rows 51 to 100 of {CASES}")
    page.get_by_role("link", name="Previous page").click()
    expect(page.locator("#rows-said")).to_contain_text(f"Rows 1 to 50 of {CASES}")
    page.get_by_label("Correct or not").select_option("false")
    page.get_by_label("Order").select_option("-latency_ms")
    page.get_by_role("button", name="Show", exact=True).click()
    wanted = [row for row in stack.client.evaluations.results(evaluation.id) if not row.correct]
    slowest = max(wanted, key=lambda row: row.latency_ms or 0)
    expect(page.locator("#rows tr.case").first).to_contain_text(slowest.item_id)
    page.get_by_role("link", name=f"Open test case {slowest.index + 1}", exact=True).click()
    expect(page.get_by_role("group", name="Answer", exact=True)).to_contain_text(
        slowest.output.strip().splitlines()[-1]
    )
    expect(page.get_by_role("group", name="Prompt: user")).to_contain_text(slowest.input)
    page.get_by_role("link", name="All test cases").click()
    page.get_by_label("Go to row").fill("120")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.locator("#rows tr.case")).to_have_count(1)


def test_results_as_one_types(visit: Visit, evaluation: Evaluation, stack: RunningStack) -> None:
    page = visit().go(f"/evaluations/{evaluation.number}/cases")
    rows = page.locator("#rows tr.case")
    expect(rows).to_have_count(50)
    page.evaluate("window.same = true")
    some = next(iter(stack.client.evaluations.results(evaluation.id)))
    page.get_by_role("searchbox").fill(some.item_id.upper())
    expect(rows).to_have_count(1)
    assert some.item_id.upper() in page.url
    opener = page.get_by_role("button", name="Open test case 1", exact=True)
    opener.press("Enter")
    expect(opener).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("group", name="Prompt: user")).to_contain_text(some.input)
    expect(page.get_by_role("group", name="Answer", exact=True)).to_be_visible()
    opener.press("Enter")
    expect(page.locator(".case-row")).to_have_count(0)
    page.get_by_role("searchbox").fill("")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#rows-said")).to_contain_text("Rows 51 to 100")
    page.locator("thead").get_by_role("link", name="Result").click()
    expect(page.locator("th[aria-sort]")).to_have_text("Result")
    expect(rows.first).to_contain_text("Wrong")
    assert page.evaluate("window.same"), "none of it loaded the page again"
    page.reload()
    expect(page.locator("th[aria-sort]")).to_have_text("Result")


def test_results_that_come_in_meanwhile_are_there_at_the_end(visit: Visit, stack: RunningStack) -> None:
    """Without loading the page again, whether it had rows already or not."""
    slug = stack.push_sample_environment()
    model = stack.add_model("slow-80", model="sample-80", max_concurrency=2)
    stack.endpoint.gate(closed=True)
    stack.endpoint.behave(model="sample-80", latency_ms=400)
    try:
        started = stack.evaluate(slug, [model], limit=20)
        first, second = visit(), visit()
        page = first.go(f"/evaluations/{started[0].number}/cases")
        expect(page.get_by_role("heading", name="No results yet")).to_be_visible()
        stack.endpoint.gate(closed=False)
        while stack.client.evaluations.get(started[0].id).progress.done == 0:
            stack.endpoint.wait(requests=3)
        other = second.go(f"/evaluations/{started[0].number}/cases")
        assert other.locator("#evaluation[data-active]").count() == 1
        assert 0 < other.locator("#rows tr.case").count() < 20
        for shown in (page, other):
            expect(shown.locator("#rows tr.case")).to_have_count(20, timeout=30_000)
            expect(shown.get_by_role("button", name="Open test case 20", exact=True)).to_be_visible()
    finally:
        stack.endpoint.gate(closed=False)
        stack.endpoint.behave(model="sample-80")


def test_a_bad_filter_is_named(visit: Visit, evaluation: Evaluation) -> None:
    visitor = visit()
    visitor.expected = ["422"]
    page = visitor.go(f"/evaluations/{evaluation.number}/cases?outcome=fine")
    expect(page.locator(".problems")).to_contain_text("outcome")


@pytest.mark.parametrize(("width", "dark"), [(1440, True), (390, False)], ids=["wide and dark", "narrow and light"])
def test_accessible(visit: Visit, evaluation: Evaluation, without_dataset: Evaluation, width: int, dark: bool) -> None:
    visitor = visit(width=width, dark=dark)
    base = f"/evaluations/{evaluation.number}"
    for path in (base, f"{base}/cases", f"{base}/cases/1", f"{base}/files", f"{base}/dataset"):
        page = visitor.go(path)
        if path.endswith("/cases"):
            page.locator("button.open-case").first.click()
            expect(page.locator(".case-facts").first).to_be_visible()
        for summary in page.locator("summary").all():
            summary.click()
        assert visitor.violations() == [], path
        assert not visitor.overflows(), path
    visitor.go(f"/evaluations/{without_dataset.number}/dataset")
    assert visitor.violations() == []
