"""What somebody does who evaluates a model: from the hub to the downloaded dataset, and what happens on the way."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from deploy.embedded.ports import free
from shared.api import Evaluation, Model
from tests.e2e.test_bad_input import ROWS, bundle
from tests.pages.puppet import Puppet, Refusal, Say
from tests.pages.visitor import Visitor
from tests.running import WORD_PROBLEMS, RunningStack

Visit = Callable[..., Visitor]

GOLD: dict[str, str] = {
    row["question"]: row["answer"].rpartition("#### ")[2]
    for row in map(json.loads, (WORD_PROBLEMS / "dev.jsonl").read_text().splitlines())
}
RIGHT = 26

# A gateway that is started again is away for a moment, and the browser says so.
AWAY = [r"ERR_CONNECTION", r"WebSocket connection to .* failed", r"Failed to load resource"]


def right_for(count: int) -> Say:
    """A model that answers the first so many problems right."""
    known = dict(list(GOLD.items())[:count])
    return lambda question: f"I get {known[question]}." if question in known else "No idea, but surely not -123456."


def failing(question: str) -> str:
    raise Refusal(500, json.dumps({"error": {"message": "out of memory"}}))


@pytest.fixture(scope="module")
def puppet() -> Iterator[Puppet]:
    with Puppet(
        {"m0.26": right_for(RIGHT), "m0.50": right_for(50), "m1.00": right_for(100), "broken": failing}
    ) as puppet:
        yield puppet


@pytest.fixture(autouse=True)
def flowing(puppet: Puppet) -> Iterator[None]:
    """Whatever a test held back, the next one finds nothing of it."""
    yield
    puppet.let_all()


@pytest.fixture(scope="module")
def models(stack: RunningStack, puppet: Puppet) -> dict[str, Model]:
    stack.push_sample_environment()
    return {
        name: stack.client.models.add(
            name, base_url=puppet.base_url, model=name, max_concurrency=4, max_attempts=1, source="running"
        )
        for name in puppet.models
    }


def said(stack: RunningStack, evaluation: Evaluation | int) -> list[str]:
    """The log as the API has it: the messages of its events."""
    reference = evaluation if isinstance(evaluation, int) else evaluation.id
    return [event.data["message"] for event in stack.client.events.history(reference) if event.data.get("message")]


def start(stack: RunningStack, model: Model, **settings: Any) -> Evaluation:
    return stack.evaluate("word-problems", [model], phase="dev", **settings)[0]


def number_in(page: Page) -> int:
    """The evaluation that the page shows."""
    expect(page).to_have_url(re.compile(r"/evaluations/\d+$"))
    return int(page.url.rsplit("/", 1)[1])


def choose(page: Page, *names: str) -> None:
    """On the form to evaluate: the tab Running, then these models."""
    page.get_by_role("group", name="Models that are shown").get_by_text("Running").click()
    for name in names:
        page.get_by_role("checkbox", name=name, exact=True).check()


def copied_log(page: Page) -> list[str]:
    """All lines of the log, those too that the page does not show at the moment."""
    page.get_by_role("button", name="Copy", exact=True).click()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text.splitlines()


def complete(lines: list[str], messages: list[str]) -> None:
    """Every message that was said is in the log, once, and in the order in which it was said."""
    found = [line for line in lines if any(line.endswith(message) for message in messages)]
    assert len(found) == len(messages), (found, messages)
    for line, message in zip(found, messages, strict=True):
        assert line.endswith(message)


def test_from_the_hub_to_the_dataset(
    visit: Visit, stack: RunningStack, puppet: Puppet, models: dict[str, Model], tmp_path: Path
) -> None:
    puppet.let(10)
    page = visit().go("/")
    page.get_by_role("link", name="Word problems").first.click()
    expect(page.get_by_role("heading", level=1, name="Word problems")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Evaluate", exact=True).first.click()

    expect(page.get_by_role("heading", name="Select a model to evaluate")).to_be_visible()
    run = page.get_by_role("button", name="Run Evaluation")
    expect(run).to_be_disabled()
    choose(page, "m0.26")
    expect(run).to_be_enabled()
    page.get_by_label("Phase").select_option("dev")
    run.click()

    number = number_in(page)
    page.evaluate("window.since = 'the evaluation began'")
    log = page.get_by_role("log")
    expect(log).to_contain_text("Benchmark data loaded")
    expect(log).to_contain_text("Processing: 10/100 (10%)")
    details = page.get_by_role("complementary", name="Evaluation details")
    for term in ("Status", "Model", "Environment", "Created", "Submission", "Run ID"):
        expect(details.get_by_text(term, exact=True).first).to_be_visible()
    expect(details).to_contain_text("running")

    puppet.let_all()
    expect(page.get_by_text("Overall Score").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("26.00%").first).to_be_visible()
    expect(page.get_by_role("complementary", name="Evaluation details")).to_contain_text("completed")
    assert page.evaluate("window.since") == "the evaluation began", "the page was loaded anew"

    page.get_by_role("link", name="Log", exact=True).click()
    expect(page.get_by_role("log")).to_contain_text("accuracy=26.00% correct=26/100")
    complete(copied_log(page), said(stack, number))

    page.get_by_role("navigation", name="Evaluation").get_by_role("link", name="Files").click()
    files = stack.client.evaluations.files(number)
    assert len(files) == 6
    for file in files:
        with page.expect_download() as download:
            page.locator(f"a[href$='/files/{file.name}?download=1']").first.click()
        saved = tmp_path / file.name
        download.value.save_as(saved)
        assert hashlib.sha256(saved.read_bytes()).hexdigest() == file.sha256, file.name
        assert download.value.suggested_filename == f"evaluation-{number}-{file.name}"
    misses = [json.loads(line) for line in (tmp_path / "dataset.jsonl").read_text().splitlines()]
    assert len(misses) == 100 - RIGHT
    assert misses[0]["metadata"]["rejected"] == "No idea, but surely not -123456."

    page.get_by_role("link", name="View fine-tune dataset").first.click()
    expect(page).to_have_url(re.compile(rf"/evaluations/{number}/dataset$"))
    expect(page.get_by_text(misses[0]["metadata"]["item_id"]).first).to_be_visible()

    page.get_by_role("navigation", name="Evaluation").get_by_role("link", name="Detailed Results").click()
    expect(page.get_by_text("wp-001", exact=True).first).to_be_visible()


def test_three_models_at_once(visit: Visit, stack: RunningStack, models: dict[str, Model]) -> None:
    page = visit().go("/environments/word-problems/evaluate")
    choose(page, "m0.26", "m0.50", "m1.00")
    page.get_by_label("Phase").select_option("dev")
    page.get_by_role("button", name="Run Evaluation").click()
    expect(page).to_have_url(re.compile(r"/evaluations\?group="))
    for name in ("m0.26", "m0.50", "m1.00"):
        expect(page.get_by_role("row").filter(has_text=name)).to_contain_text("completed", timeout=60_000)
    for score in ("26.00%", "50.00%", "100.00%"):
        expect(page.get_by_text(score).first).to_be_visible()


def test_cancel(visit: Visit, stack: RunningStack, puppet: Puppet, models: dict[str, Model]) -> None:
    puppet.let(5)
    evaluation = start(stack, models["m0.26"])
    page = visit().go(f"/evaluations/{evaluation.number}")
    expect(page.get_by_role("log")).to_contain_text("Processing: 5/100 (5%)")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Let it run").click()
    expect(page.get_by_role("complementary", name="Evaluation details")).to_contain_text("running")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the evaluation").click()
    expect(page.get_by_text(re.compile(r"Cancelled after \d+ of 100"))).to_be_visible()
    expect(page.get_by_role("complementary", name="Evaluation details")).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    assert stack.client.evaluations.get(evaluation.id).status == "cancelled"


def test_a_model_that_fails_and_is_called_again(
    visit: Visit, stack: RunningStack, puppet: Puppet, models: dict[str, Model]
) -> None:
    evaluation = start(stack, models["broken"], limit=20)
    page = visit().go(f"/evaluations/{evaluation.number}")
    expect(page.get_by_text("20 of 20 could not be called")).to_be_visible(timeout=60_000)
    page.get_by_role("navigation", name="Evaluation").get_by_role("link", name="Detailed Results").click()
    page.get_by_role("button", name="Open test case").first.click()
    expect(page.get_by_text("out of memory").first).to_be_visible()
    puppet.models["broken"] = right_for(10)
    page.get_by_role("button", name="Call 20 samples again").click()
    ended = page.get_by_role("status").filter(has_text="The evaluation has completed.")
    expect(ended).to_be_attached(timeout=60_000)
    page.get_by_role("navigation", name="Evaluation").get_by_role("link", name="Score Breakdown").click()
    expect(page.get_by_text("50.00%").first).to_be_visible()
    expect(page.get_by_role("complementary", name="Evaluation details")).to_contain_text("completed")


def test_a_model_that_is_away(visit: Visit, stack: RunningStack) -> None:
    """Its evaluation waits, and says for what."""
    stack.push_sample_environment()
    (port,) = free(1)
    model = stack.client.models.add("away", base_url=f"http://127.0.0.1:{port}/v1", model="away")
    evaluation = start(stack, model)
    page = visit().go(f"/evaluations/{evaluation.number}")
    expect(page.get_by_role("heading", name="Waiting for the model")).to_be_visible(timeout=30_000)
    stack.client.evaluations.cancel(evaluation.id)
    expect(page.get_by_role("complementary", name="Evaluation details")).to_contain_text("cancelled")


def test_a_bundle_with_an_error(visit: Visit, tmp_path: Path) -> None:
    """The page says where: file, line, field."""
    visitor = visit()
    visitor.expected = ["422"]
    page = visitor.go("/")
    bad = tmp_path / "bundle.zip"
    bad.write_bytes(bundle(rows=ROWS + "{nope\n"))
    page.locator("input[type=file]").set_input_files(bad)
    error = page.get_by_role("alert").get_by_role("listitem")
    expect(error).to_have_count(1)
    expect(error).to_contain_text("dev.jsonl")
    expect(error).to_contain_text("line 3")
    expect(page).to_have_url(re.compile("/$"))


def test_a_reload_in_the_middle(visit: Visit, stack: RunningStack, puppet: Puppet, models: dict[str, Model]) -> None:
    puppet.let(30)
    evaluation = start(stack, models["m0.26"])
    page = visit().go(f"/evaluations/{evaluation.number}")
    expect(page.get_by_role("log")).to_contain_text("Processing: 30/100 (30%)")
    page.reload()
    expect(page.get_by_role("log")).to_contain_text("Processing: 30/100 (30%)")
    expect(page.get_by_role("log")).to_contain_text("Benchmark data loaded")
    puppet.let_all()
    expect(page.get_by_text("Overall Score").first).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Log", exact=True).click()
    expect(page.get_by_role("log")).to_contain_text("accuracy=26.00% correct=26/100")
    complete(copied_log(page), said(stack, evaluation))


def test_a_cut_connection_loses_no_line(
    visit: Visit, stack: RunningStack, puppet: Puppet, models: dict[str, Model]
) -> None:
    """The gateway is killed under an open page, twice; what was said meanwhile is there, and nothing is twice."""
    visitor = visit()
    visitor.expected = AWAY
    puppet.let(20)
    evaluation = start(stack, models["m0.26"])
    page = visitor.go(f"/evaluations/{evaluation.number}/log")
    log = page.get_by_role("log")
    expect(log).to_contain_text("Processing: 20/100 (20%)")
    page.evaluate("window.since = 'before the cut'")
    for more in (40, 60):
        stack.kill("gateway")
        puppet.let(20)
        expect(log).to_contain_text(f"Processing: {more}/100", timeout=30_000)
    stack.until_ready()
    lines = copied_log(page)
    complete(lines, said(stack, evaluation))
    assert page.evaluate("window.since") == "before the cut"
    puppet.let_all()
    stack.wait([evaluation])


def test_without_a_script(visit: Visit, stack: RunningStack, models: dict[str, Model]) -> None:
    """All of it can be read, and an evaluation started, where no script runs."""
    evaluation = start(stack, models["m1.00"], limit=10)
    stack.wait([evaluation])
    page = visit(script=False).go(f"/evaluations/{evaluation.number}")
    expect(page.get_by_text("Overall Score").first).to_be_visible()
    expect(page.get_by_text("100.00%").first).to_be_visible()
    page.goto(page.url + "/log")
    expect(page.get_by_text("accuracy=100.00% correct=10/10")).to_be_visible()
    page.goto(page.url.removesuffix("log") + "cases")
    expect(page.get_by_text("wp-001").first).to_be_visible()
