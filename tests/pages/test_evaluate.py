"""The Evaluate page: choosing, the estimate, running with a script and without, adding a model on the way."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from deploy.embedded.ports import free
from shared.api import Model
from tests.pages.visitor import Visitor, in_each_look
from tests.running import RunningStack

Visit = Callable[..., Visitor]

EVALUATE = "/environments/word-problems/evaluate"


@pytest.fixture
def models(stack: RunningStack) -> Iterator[list[Model]]:
    """One that is live under its own source, one live and trained, one of HuggingFace that is away. Removed afterwards."""
    stack.push_sample_environment()
    (port,) = free(1)
    made = [
        stack.add_model("evaluate-live", model="sample-95"),
        stack.add_model("evaluate-trained", model="sample-80", source="trained"),
        stack.client.models.add(
            "evaluate-away", base_url=f"http://127.0.0.1:{port}/v1", model="gone", source="huggingface"
        ),
    ]
    yield made
    for model in made:
        stack.remove_model(model.id)


def box(page: Page, model: Model) -> Locator:
    return page.locator(f"#choose-{model.id}")


def tab(page: Page, name: str) -> None:
    page.locator("#evaluate .sources label", has_text=name).click()


def test_choose_across_tabs_and_run_several(visit: Visit, stack: RunningStack, models: list[Model]) -> None:
    page = visit().go(f"{EVALUATE}?source=running")
    expect(page.get_by_role("heading", name="Select a model to evaluate")).to_be_visible()
    run = page.get_by_role("button", name="Run Evaluation")
    expect(run).to_be_disabled()
    live, trained, away = (box(page, model) for model in models)
    expect(live).to_be_visible()
    expect(live).to_have_accessible_name("evaluate-live")
    expect(trained).to_be_visible()
    expect(away).to_be_hidden()
    expect(page.locator(f'[data-model="{models[0].id}"] .status')).to_have_text("running")
    live.check()
    expect(run).to_be_enabled()
    expect(page.locator("#chosen")).to_have_text("1 model chosen")

    tab(page, "Trained")
    expect(live).to_be_hidden()
    expect(live).to_be_checked()
    assert "source=trained" in page.url
    trained.check()
    tab(page, "HuggingFace")
    expect(page.locator(f'[data-model="{models[2].id}"]')).to_contain_text("unreachable")
    expect(page.locator("#names")).to_have_text(
        re.compile("evaluate-live.*evaluate-trained|evaluate-trained.*evaluate-live")
    )

    page.get_by_label("Limit").fill("5")
    page.get_by_label("Samples per item").fill("2")
    expect(page.locator("#calls")).to_have_text("20")
    page.get_by_text("More settings", exact=True).first.click()
    page.get_by_label("Temperature").fill("0.7")
    page.get_by_label("Other parameters").fill('{"top_k": 20}')
    page.get_by_label("Priority").fill("5")
    run.click()
    page.wait_for_url(re.compile(r"/evaluations\?group=g\w+$"))
    group = page.url.partition("group=")[2]
    started = list(stack.client.evaluations.list(group=group))
    assert {evaluation.model for evaluation in started} == {models[0].id, models[1].id}
    for evaluation in started:
        assert (evaluation.phase, evaluation.limit, evaluation.samples_per_item, evaluation.priority) == (
            "dev",
            5,
            2,
            5,
        )
        assert evaluation.params["temperature"] == 0.7
        assert evaluation.params["top_k"] == 20


def test_one_model_leads_to_its_evaluation_and_is_what_the_next_estimate_is_based_on(
    visit: Visit, stack: RunningStack, models: list[Model], tmp_path: Path
) -> None:
    rows = [{"question": f"What is {number} plus 5?", "answer": str(number + 5)} for number in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    manifest = {
        "slug": "sums",
        "title": "Sums",
        "prompt": {"template": "{{ question }}"},
        "generation": {"max_tokens": 32},
        "phases": [
            {"name": name, "data": "rows.jsonl", "fields": {"input": "question", "target": "answer"}}
            for name in ("first", "second")
        ],
        "scoring": {"scorer": "numeric"},
    }
    (tmp_path / "environment.yaml").write_text(json.dumps(manifest))
    stack.client.environments.push(tmp_path)

    page = visit().go(f"/environments/sums/evaluate?models={models[0].id}&phase=second&limit=10")
    expect(page.get_by_label("Phase")).to_have_value("second")
    expect(page.locator("#calls")).to_have_text("10")
    expect(page.locator("#tokens")).to_have_text("at most 360")  # 10 calls of about 17 / 4 and at most 32
    expect(page.locator("#basis")).to_contain_text("4 characters a token")
    expect(page.locator("#basis")).to_contain_text("unknown until evaluate-live has been called once")
    page.get_by_role("button", name="Run Evaluation").click()
    page.wait_for_url(re.compile(r"/evaluations/\d+$"))
    number = page.url.rpartition("/")[2]
    done = stack.client.evaluations.wait(number)
    assert (done.environment, done.phase, done.progress.total) == ("sums", "second", 10)

    page.goto(f"{stack.url}/environments/sums/evaluate?models={models[0].id}")
    expect(page.locator("#calls")).to_have_text("12")
    expect(page.locator("#tokens")).to_have_text(re.compile("^about"))
    expect(page.locator("#basis")).to_contain_text(f"#{number} (evaluate-live, second)")
    expect(page.locator("#time")).to_have_text("a few seconds")


def test_by_keyboard_alone(visit: Visit, models: list[Model]) -> None:
    page = visit().go(f"{EVALUATE}?source=platform")
    page.locator("#source-platform").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#source-running")).to_be_checked()
    live = box(page, models[0])
    live.focus()
    page.keyboard.press("Space")
    expect(live).to_be_checked()
    page.get_by_label("Limit").fill("2")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/evaluations/\d+$"))


def test_errors_stand_at_their_fields(visit: Visit, models: list[Model]) -> None:
    visitor = visit()
    visitor.expected.append("422")
    page = visitor.go(f"{EVALUATE}?models={models[0].id}")
    page.get_by_text("More settings", exact=True).first.click()
    page.get_by_label("Top p").fill("3")
    page.get_by_role("button", name="Run Evaluation").click()
    expect(page.locator("#top_p-error")).to_have_text(re.compile("less than or equal to 1"))
    expect(page.get_by_label("Top p")).to_be_focused()
    expect(page.get_by_label("Top p")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Top p").fill("1")
    page.get_by_label("Other parameters").fill("no json")
    page.get_by_role("button", name="Run Evaluation").click()
    expect(page.locator("#other-error")).to_contain_text("must be a JSON object")
    expect(page.locator("#top_p-error")).to_be_hidden()
    assert visitor.violations() == []


def test_without_a_script(visit: Visit, stack: RunningStack, models: list[Model]) -> None:
    visitor = visit(script=False)
    visitor.expected.append("422")
    page = visitor.go(f"{EVALUATE}?source=trained")
    run = page.get_by_role("button", name="Run Evaluation")
    run.click()
    expect(page.get_by_text("choose at least one model")).to_be_visible()
    expect(page.locator("#source-trained")).to_be_checked()
    box(page, models[1]).check()
    tab(page, "Running")
    box(page, models[0]).check()
    page.get_by_label("Limit").fill("0")
    run.click()
    expect(page.locator("#limit-error")).to_contain_text("greater than or equal to 1")
    expect(box(page, models[0])).to_be_checked()
    page.get_by_label("Limit").fill("3")
    run.click()
    page.wait_for_url(re.compile(r"/evaluations\?group=g\w+$"))
    started = list(stack.client.evaluations.list(group=page.url.partition("group=")[2]))
    assert {evaluation.model for evaluation in started} == {models[0].id, models[1].id}
    assert {evaluation.limit for evaluation in started} == {3}


def test_a_model_is_added_on_the_way(visit: Visit, stack: RunningStack, models: list[Model]) -> None:
    visitor = visit()
    visitor.expected.append("422")
    page = visitor.go(f"{EVALUATE}?source=platform")
    others = len(list(stack.client.models.list(source="platform")))
    expect(page.get_by_text("No platform models yet")).to_be_visible(visible=others == 0)
    expect(page.get_by_text("--source platform")).to_be_visible(visible=others == 0)
    page.locator("[data-add='']").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("radio", name="Platform")).to_be_checked()
    assert visitor.violations() == []
    dialog.get_by_label("Name", exact=True).fill("evaluate-added")
    dialog.get_by_label("Address").fill("ftp://nowhere")
    dialog.get_by_label("Its name at the endpoint").fill("sample-60")
    dialog.get_by_role("button", name="Add model").click()
    expect(dialog.locator("#model-base_url-error")).to_contain_text("must be an http or https URL")
    dialog.get_by_label("Address").fill(stack.endpoint.base_url)
    dialog.get_by_role("button", name="Add model").click()
    expect(dialog).to_be_hidden()
    added = page.get_by_role("checkbox", name="evaluate-added")
    model = next(model for model in stack.client.models.list() if model.name == "evaluate-added")
    models.append(model)
    expect(added).to_be_visible()
    expect(added).to_be_checked()
    expect(page.locator("#chosen")).to_have_text("1 model chosen")
    expect(page.locator('[data-count="platform"]')).to_have_text(str(others + 1))
    tab(page, "Running")
    expect(added).to_be_visible()
    assert model.source == "platform"


def test_the_models_of_a_server_that_is_found_are_added_in_one_step(
    visit: Visit, stack: RunningStack, models: list[Model]
) -> None:
    found = {
        "server": "Ollama",
        "base_url": stack.endpoint.base_url,
        "models": ["sample-95", "sample-80", "sample-60"],
        "registered": ["sample-95"],
        "needs_key": False,
    }
    before = {model.id for model in stack.client.models.list()}
    visitor = visit()
    # What runs at the usual ports of the machine that tests run on is not theirs.
    visitor.page.route("**/v1/models/discover", lambda route: route.fulfill(json={"items": [found], "next": None}))
    page = visitor.go(f"{EVALUATE}?source=running")
    page.get_by_role("button", name="Look for local servers").click()
    servers = page.get_by_role("dialog", name="Local servers")
    expect(servers).to_contain_text("sample-95 (added), sample-80, sample-60")
    assert visitor.violations() == []
    servers.get_by_role("button", name="Add Ollama").click()
    form = page.get_by_role("dialog", name="Add a model")
    expect(form.get_by_label("Address")).to_have_value(stack.endpoint.base_url)
    expect(form.get_by_label("Its name at the endpoint")).to_be_hidden()
    assert visitor.violations() == []
    form.get_by_role("checkbox", name="sample-60").uncheck()
    expect(form.get_by_label("Name", exact=True)).to_have_value("sample-80")
    form.get_by_role("checkbox", name="sample-60").check()
    with page.expect_request("**/v1/models/endpoint") as sent:
        form.get_by_role("button", name="Add 2 models").click()
    body = sent.value.post_data_json
    assert body
    assert (body["models"], "name" in body, "model" in body) == (["sample-80", "sample-60"], False, False)
    expect(form).to_be_hidden()
    models += [model for model in stack.client.models.list() if model.id not in before]
    expect(page.locator("#chosen")).to_have_text("2 models chosen")


def test_a_stopped_model_may_be_chosen_and_its_evaluation_says_that_it_starts(
    visit: Visit, stack: RunningStack, models: list[Model]
) -> None:
    mute = stack.add_sample_engine("evaluate-mute", "mute")
    models.append(mute)
    page = visit().go(f"{EVALUATE}?source=trained")
    card = page.locator(f'[data-model="{mute.id}"]')
    expect(card).to_contain_text("Starts when it is evaluated.")
    expect(card.locator('[data-field="served"]')).to_contain_text("checkpoint \u00b7 mute")
    box(page, mute).check()
    expect(page.locator("#basis")).to_contain_text("The engine of evaluate-mute is started first.")
    page.get_by_label("Limit").fill("2")
    page.get_by_role("button", name="Run Evaluation").click()
    page.wait_for_url(re.compile(r"/evaluations/\d+$"))
    expect(page.get_by_role("heading", name="Starting the engine")).to_be_visible(timeout=30_000)
    expect(page.locator("#state .status")).to_have_text("starting")
    visitor = visit()
    engines = visitor.go("/operations").get_by_role("region", name="Engines")
    expect(engines.get_by_role("listitem").filter(has_text="evaluate-mute")).to_contain_text("starting")
    assert visitor.violations() == []
    page.get_by_role("link", name="What it says").click()
    expect(page.get_by_role("log", name="What the engine says")).to_contain_text("hm", timeout=30_000)
    page.goto(f"{stack.url}{EVALUATE}?source=trained")
    expect(card.locator(".status")).to_have_text("starting")


def test_a_model_that_comes_up_shows_so(visit: Visit, stack: RunningStack, models: list[Model]) -> None:
    page = visit().go(f"{EVALUATE}?source=running")
    away = box(page, models[2])
    expect(away).to_be_hidden()
    stack.client.models.update(models[2].id, base_url=stack.endpoint.base_url, model="sample-60")
    expect(away).to_be_visible()
    expect(page.locator(f'[data-model="{models[2].id}"] .status')).to_have_text("running")


def test_a_model_that_is_registered_elsewhere_joins(visit: Visit, stack: RunningStack, models: list[Model]) -> None:
    page = visit().go(f"{EVALUATE}?source=running")
    box(page, models[0]).check()
    models.append(stack.add_model("evaluate-elsewhere", model="sample-60", source="platform"))
    joined = page.get_by_role("checkbox", name="evaluate-elsewhere")
    expect(joined).to_be_visible()
    expect(joined).not_to_be_checked()
    expect(box(page, models[0])).to_be_checked()
    joined.check()
    expect(page.locator("#chosen")).to_have_text("2 models chosen")


@in_each_look
def test_it_is_accessible(visit: Visit, models: list[Model], width: int, dark: bool) -> None:
    visitor = visit(width=width, dark=dark)
    for source in ("running", "platform", "huggingface"):
        page = visitor.go(f"{EVALUATE}?source={source}&models={models[0].id}")
        page.get_by_text("More settings", exact=True).first.click()
        assert visitor.violations() == []
        assert not visitor.overflows()


def test_what_an_estimate_says(visit: Visit, models: list[Model]) -> None:
    page = visit().go(EVALUATE)
    script = page.locator("script[src$='/evaluate.js']").get_attribute("src") or ""

    def estimate(
        basis: dict[str, Any], chosen: list[dict[str, Any]], judge: dict[str, Any] | None = None, **asked: Any
    ) -> Any:
        settings = {"phase": "dev", "limit": None, "samples": 1, "maxTokens": None, **asked}
        return page.evaluate(
            "async ([script, ...given]) => (await import(script)).estimate(...given)",
            [script.replace("evaluate.js", "estimate.js"), basis, chosen, judge, settings],
        )

    earlier = {
        "number": 7,
        "model": "a",
        "name": "A",
        "phase": "dev",
        "tokens": {"prompt": 100, "completion": 50},
        "judge": "j",
        "judge_tokens": {"prompt": 400, "completion": 20},
        "latency_ms": 200,
    }
    basis = {
        "phases": {"dev": {"items": 100, "characters": 400}},
        "measured": 200,
        "questions": 0,
        "max_tokens": 512,
        "earlier": [earlier],
    }
    a = {"id": "a", "name": "A", "status": "running", "max_concurrency": 16, "pacing": {"limit": 10}}
    b = {"id": "b", "name": "B", "status": "unreachable", "max_concurrency": "auto", "requests_per_minute": 60}

    own = estimate(basis, [a])
    assert (own["calls"], own["tokens"], own["bounded"], own["seconds"]) == (100, 15_000, False, 2)
    assert any("#7 (A, dev)" in sentence for sentence in own["said"])
    # More items than there are, and an answer that is cut short.
    assert estimate(basis, [a], limit=1000, samples=3, maxTokens=10)["tokens"] == 300 * 110
    # Never called: no time, and tokens as another model's calls took.
    both = estimate(basis, [a, b])
    assert (both["calls"], both["tokens"], both["seconds"]) == (200, 30_000, None)
    assert any("until B has been called once" in sentence for sentence in both["said"])
    assert any("waits until B is running" in sentence for sentence in both["said"])
    # An engine that is not up is started first.
    engine = {"name": "vllm", "checkpoint": "/models/b"}
    assert any(
        "The engine of B is started first" in sentence
        for sentence in estimate(basis, [{**b, "status": "stopped", "engine": engine}])["said"]
    )
    # A rate limit takes longer than the latency would.
    slow = estimate({**basis, "earlier": [{**earlier, "model": "b"}]}, [b])
    assert slow["seconds"] == 100
    # Nothing to go by but the items: a bound. Without even a bound on the answers: nothing.
    bound = estimate({**basis, "earlier": []}, [a])
    assert (bound["tokens"], bound["bounded"]) == (100 * (100 + 512), True)
    assert estimate({**basis, "earlier": [], "max_tokens": None}, [a])["tokens"] is None

    # What it costs, where each price is known.
    priced = {**a, "price": {"input": 2.0, "output": 8.0}}
    assert estimate(basis, [priced])["cost"] == pytest.approx(100 * (100 * 2 + 50 * 8) / 1e6)
    assert own["cost"] is None
    assert estimate(basis, [priced, b])["cost"] is None
    # A judge takes what it took before; one that never judged here is said not to be counted.
    judge = {"id": "j", "name": "J", "price": {"input": 1.0, "output": 1.0}}
    twice = estimate({**basis, "questions": 2}, [priced], judge)
    assert twice["tokens"] == 15_000 + 100 * 2 * 420
    assert twice["cost"] == pytest.approx((100 * (100 * 2 + 50 * 8) + 200 * 420) / 1e6)
    assert "The judge is asked twice about each answer; a question as many tokens as in #7." in twice["said"]
    assert estimate({**basis, "questions": 2}, [priced], {**judge, "price": None})["cost"] is None
    other = estimate({**basis, "questions": 1}, [priced], {**judge, "id": "other"})
    assert other["tokens"] == 15_000
    assert "The judge is asked once about each answer, which is not counted here." in other["said"]
