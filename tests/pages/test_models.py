"""The list of models and a model's page: live numbers, registering, probing, editing, deleting."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from assay import NotFound
from deploy.embedded.ports import free
from shared.api import Model
from tests.pages.visitor import Visitor
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


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
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
