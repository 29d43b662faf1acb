"""The list of models and a model's page: live numbers, registering, probing, editing, deleting."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from assay import NotFound
from deploy.embedded.ports import free
from shared.api import Model
from tests.pages.visitor import Visitor, in_each_look
from tests.running import RunningStack

Visit = Callable[..., Visitor]

SECRET = "sk-never-on-a-page-4711"


@pytest.fixture
def model(stack: RunningStack) -> Iterator[Model]:
    stack.push_sample_environment()
    made = stack.add_model("listed", model="sample-80", source="trained", max_concurrency=4, api_key=SECRET)
    yield made
    if any(found.id == made.id for found in stack.client.models.list()):
        stack.remove_model(made.id)


def test_the_list_is_live(visit: Visit, stack: RunningStack, model: Model) -> None:
    page = visit().go("/models")
    row = page.locator(f'[data-model="{model.id}"]')
    expect(row.locator(".status")).to_have_text("running")
    expect(row.locator('[data-field="in_flight"]')).to_have_text("0")
    stack.endpoint.gate(closed=True)
    try:
        stack.evaluate("word-problems", [model], limit=20)
        expect(row.locator('[data-field="in_flight"]')).to_have_text("4", timeout=15_000)
        expect(row.locator(".bar-value")).to_have_attribute("width", re.compile("^100"))
    finally:
        stack.endpoint.gate(closed=False)
    expect(row.locator('[data-field="in_flight"]')).to_have_text("0", timeout=15_000)
    expect(row.locator('[data-field="latency"]')).not_to_contain_text("probe")


def test_a_filter_holds_by_its_address_and_without_a_script(visit: Visit, model: Model) -> None:
    page = visit(script=False).go("/models?source=trained")
    expect(page.locator(f'[data-model="{model.id}"]')).to_be_visible()
    page.get_by_label("Source").select_option("platform")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(f'[data-model="{model.id}"]')).to_have_count(0)
    expect(page.get_by_label("Source")).to_have_value("platform")


def test_register_probe_edit_and_delete(visit: Visit, stack: RunningStack, model: Model) -> None:
    page = visit().go("/models")
    page.get_by_role("button", name="Add a model").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("by hand")
    dialog.get_by_label("Address").fill(stack.endpoint.base_url)
    dialog.get_by_label("Its name at the endpoint").fill("sample-60")
    dialog.get_by_label("API key").fill(SECRET)
    dialog.get_by_label("Calls at once").fill("auto")
    dialog.get_by_text("More settings").click()
    dialog.get_by_label("Calls a minute").fill("90")
    dialog.get_by_role("button", name="Add model").click()
    page.wait_for_url(re.compile(r"/models/m\w+$"))
    made = stack.client.models.get(page.url.rpartition("/")[2])
    assert (made.name, made.max_concurrency, made.requests_per_minute, made.has_api_key) == (
        "by hand",
        "auto",
        90,
        True,
    )
    expect(page.get_by_role("heading", name="by hand", exact=True)).to_be_visible()
    assert SECRET not in page.content()

    page.get_by_role("button", name="Probe").click()
    expect(page.get_by_text("The endpoint answers")).to_be_visible()

    page.get_by_role("button", name="Edit").click()
    dialog.get_by_label("Name", exact=True).fill("by hand, renamed")
    dialog.get_by_text("More settings").click()
    dialog.get_by_label("Calls a minute").fill("")
    dialog.get_by_label("Remove the key it has").check()
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        dialog.get_by_role("button", name="Save changes").click()
    assert sent.value.post_data_json == {"name": "by hand, renamed", "requests_per_minute": None, "api_key": None}
    expect(page.get_by_role("heading", name="by hand, renamed", exact=True)).to_be_visible()
    changed = stack.client.models.get(made.id)
    assert (changed.requests_per_minute, changed.has_api_key) == (None, False)

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Cancel").click()
    stack.client.models.get(made.id)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete model").click()
    page.wait_for_url(re.compile(r"/models$"))
    with pytest.raises(NotFound):
        stack.client.models.get(made.id)


def test_one_at_work_is_not_deleted_and_its_history_leads_on(visit: Visit, stack: RunningStack, model: Model) -> None:
    visitor = visit()
    visitor.expected.append("409")
    page = visitor.go(f"/models/{model.id}")
    expect(page.get_by_text("Not evaluated yet")).to_be_visible()
    stack.endpoint.gate(closed=True)
    try:
        evaluation = stack.evaluate("word-problems", [model], limit=8)[0]
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete model").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("under way; cancel it first")
    finally:
        stack.endpoint.gate(closed=False)
    done = stack.wait([evaluation])[0]
    page.reload()
    expect(page.get_by_role("link", name=f"#{done.number}", exact=True)).to_be_visible()
    page.get_by_role("link", name=f"Run again #{done.number}").click()
    page.wait_for_url(re.compile("/evaluate"))
    expect(page.locator(f"#choose-{model.id}")).to_be_checked()
    expect(page.get_by_label("Limit")).to_have_value("8")


def test_a_checkpoint_is_added_started_and_stopped(visit: Visit, stack: RunningStack) -> None:
    """The form asks for what the source needs, with errors at its fields; the page shows what the engine says."""
    checkpoint = stack.data / "checkpoint"
    checkpoint.mkdir(exist_ok=True)
    visitor = visit()
    visitor.expected.append("422")
    page = visitor.go("/models")
    page.get_by_role("button", name="Add a model").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Checkpoint", exact=True)).to_be_hidden()
    dialog.locator(".sources label", has_text="Trained").click()
    expect(dialog.get_by_label("Address")).to_be_hidden()
    dialog.get_by_label("Engine", exact=True).select_option("vllm")
    expect(dialog.get_by_text("Not on the launcher\u2019s machine yet")).to_be_visible()
    dialog.get_by_label("Engine", exact=True).select_option("sample")
    dialog.get_by_label("Checkpoint").fill("models/../relative")
    dialog.get_by_label("Checkpoint").fill("~/relative")
    dialog.get_by_label("Tags").fill("night, math")
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("relative")
    dialog.get_by_role("button", name="Add model").click()
    wrong = dialog.locator('[data-error="engine.checkpoint"]')
    expect(wrong).to_contain_text("must be an absolute path")
    expect(dialog.get_by_label("Checkpoint")).to_be_focused()
    assert visitor.violations() == []
    dialog.get_by_label("Checkpoint").fill(str(checkpoint))
    dialog.get_by_label("Name", exact=True).fill("of the night")
    dialog.get_by_role("button", name="Add model").click()
    page.wait_for_url(re.compile(r"/models/m\w+$"))
    made = stack.client.models.get(page.url.rpartition("/")[2])
    assert made.engine
    assert (made.source, made.engine.name, made.engine.checkpoint, made.tags) == (
        "trained",
        "sample",
        str(checkpoint),
        ["night", "math"],
    )
    status = page.locator('#model [data-field="status"]')
    expect(status).to_have_text("stopped")
    expect(page.get_by_text("The engine has said nothing yet.")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    expect(status).to_have_text("running", timeout=30_000)
    log = page.get_by_role("log", name="What the engine says")
    expect(log.get_by_text("Sample endpoint")).to_have_count(1)
    page.reload()
    expect(log.get_by_text("Sample endpoint")).to_have_count(1)
    assert visitor.violations() == []
    page.get_by_role("button", name="Stop").click()
    expect(status).to_have_text("stopped", timeout=30_000)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete model").click()
    page.wait_for_url(re.compile(r"/models$"))


def test_it_is_published_withdrawn_and_found_by_its_tags(visit: Visit, stack: RunningStack, model: Model) -> None:
    stack.client.models.update(model.id, tags=["nightly"], owner="Research", timeout_s=77)
    visitor = visit()
    page = visitor.go("/models")
    page.get_by_role("link", name="nightly 1").click()
    page.wait_for_url(re.compile(r"\?tag=nightly$"))
    expect(page.locator("#models tbody tr")).to_have_count(1)
    row = page.locator(f'[data-model="{model.id}"]')
    expect(row).to_contain_text("by Research")
    row.get_by_role("button", name="Publish").click()
    expect(row.get_by_text("Published", exact=True)).to_be_visible()
    row.get_by_role("button", name="Withdraw").click()
    expect(row.get_by_text("Withdrawn", exact=True)).to_be_visible()
    page.reload()
    expect(row).to_have_count(0)
    page.get_by_label("Withdrawn too").check()
    expect(row).to_be_visible()
    page = visitor.go(f"/models/{model.id}")
    page.get_by_text("Earlier settings").click()
    expect(page.locator(".version-list li").first).to_contain_text("Timeout s 120 77")
    assert visitor.violations() == []
    page = visit(script=False).go(f"/models/{model.id}")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("Published", exact=True)).to_be_visible()
    visitor.go("/models")
    page.goto(f"{stack.url}/models")


def test_one_that_is_deleted_elsewhere_is_asked_for_no_more(visit: Visit, stack: RunningStack) -> None:
    model = stack.add_model("goes", model="sample-80")
    visitor = visit()
    visitor.expected.append("404")
    page = visitor.go(f"/models/{model.id}")
    stack.client.models.delete(model.id)
    expect(page.get_by_text("This model was deleted.")).to_be_visible()
    assert sum("404" in error for error in visitor.errors) == 1


def test_each_line_of_an_engine_is_shown_once(visit: Visit, stack: RunningStack) -> None:
    """What is kept and what events tell overlap, by how much depends on when each came."""
    page = visit().go("/models")
    script = page.locator("script[src$='/models.js']").get_attribute("src") or ""

    def joined(kept: str, told: str) -> str:
        lines = [[{"text": text} for text in texts] for texts in (kept, told)]
        found = page.evaluate(
            "async ([script, ...lines]) => (await import(script)).joined(...lines)",
            [script.replace("models.js", "engine_log.js"), *lines],
        )
        return "".join(line["text"] for line in found)

    assert joined("abc", "") == joined("", "abc") == joined("abc", "bc") == joined("abc", "abc") == "abc"
    assert joined("abc", "cde") == "abcde"
    assert joined("aaa", "aab") == "aaab"
    assert joined("abc", "de") == "abcde"


@in_each_look
def test_they_are_accessible(visit: Visit, stack: RunningStack, model: Model, width: int, dark: bool) -> None:
    (port,) = free(1)
    away = stack.client.models.add("away", base_url=f"http://127.0.0.1:{port}/v1", model="gone")
    visitor = visit(width=width, dark=dark)
    for path in ("/models", f"/models/{model.id}", f"/models/{away.id}"):
        page = visitor.go(path)
        assert visitor.violations() == []
        assert not visitor.overflows()
    page.get_by_role("button", name="Edit").click()
    assert visitor.violations() == []
    visitor.go("/models")  # a page of a model that is deleted would ask for it once more
    stack.client.models.delete(away.id)
