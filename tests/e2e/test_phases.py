"""Phases: quotas under many starts at once, the time limit, and targets that nobody but an admin may see."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import assay
from shared.api import Evaluation
from tests.pages.places import Seed
from tests.running import RunningStack
from tests.scoring_programs import environment

KEYS = {"viewer": "look", "runner": "start", "admin": "rule"}
GOLD = "zyzzyva"
"""Stands in every gold answer and beside it, and in nothing else."""

ITEMS = 6
MANIFEST = """
slug: riddles
title: Riddles
prompt: {template: "{{ question }}"}
scoring: {scorer: contains}
phases:
  - {name: hidden, data: rows.jsonl, hide_targets: true, fields: {input: question, target: answer}}
  - {name: shown, data: rows.jsonl, fields: {input: question, target: answer}}
  - {name: few, data: rows.jsonl, max_submissions: 2, fields: {input: question, target: answer}}
  - {name: daily, data: rows.jsonl, max_submissions_per_day: 1, fields: {input: question, target: answer}}
  - {name: short, data: rows.jsonl, execution_time_limit_s: 3, fields: {input: question, target: answer}}
  - {name: early, data: rows.jsonl, start: 2099-01-02T03:04:05Z, fields: {input: question, target: answer}}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("riddles")
    rows = [
        {"question": f"Riddle {n}?", "answer": f"{GOLD} {n}", "explanation": f"because of {GOLD}"} for n in range(ITEMS)
    ]
    (folder / "environment.yaml").write_text(MANIFEST)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = ",".join(f"{role}:{key}" for role, key in KEYS.items())
    with (
        RunningStack(tmp_path_factory.mktemp("phases"), predictors=1, ASSAY_API_KEYS=keys) as running,
        assay.Client(running.url, api_key=KEYS["admin"]) as running.client,
    ):
        running.client.environments.push(folder)
        yield running


def http(stack: RunningStack, role: str) -> httpx.Client:
    return httpx.Client(base_url=stack.url, headers={"Authorization": f"Bearer {KEYS[role]}"}, timeout=60)


def start(client: httpx.Client, phase: str, model: str) -> httpx.Response:
    return client.post("/v1/evaluations", json={"environment": "riddles", "phase": phase, "models": [model]})


def test_a_quota_holds_however_many_start_at_once(stack: RunningStack) -> None:
    model = stack.add_model("eager", model="sample-60")
    with http(stack, "runner") as client, ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: start(client, "few", model.id), range(16)))
        assert sorted(answer.status_code for answer in answers) == [202] * 2 + [409] * 14
        told = {answer.json()["detail"] for answer in answers if answer.status_code == 409}
        assert told == {"model eager has used 2 of its 2 evaluations in phase few; none is left"}
        assert start(client, "daily", model.id).status_code == 202
        again = start(client, "daily", model.id)
        assert again.status_code == 409
        assert re.search(
            r"used 1 of its 1 evaluations a day \(UTC\) in phase daily; .* 00:00:00 UTC$", again.json()["detail"]
        )
        early = start(client, "early", model.id)
        assert (early.status_code, early.json()["detail"]) == (409, "phase early opens at 2099-01-02 03:04:05 UTC")


def test_predictions_that_take_too_long_end_the_evaluation_whoever_drives_it(stack: RunningStack) -> None:
    model = stack.add_model("slow", model="sample-95", max_concurrency=2)
    stack.endpoint.reset()
    stack.endpoint.gate(closed=True)
    evaluation = stack.evaluate("riddles", [model], phase="short")[0]
    stack.endpoint.wait(model="sample-95", in_flight=2)
    stack.kill("orchestrator")
    stack.until_ready()
    failed = stack.wait([evaluation])[0]
    assert failed.status == "failed"
    assert failed.error == f"phase short gives the predictions of an evaluation 3 s, in which 0 of {ITEMS} came"
    stack.endpoint.gate(closed=False)
    done = stack.wait(stack.evaluate("riddles", [model], phase="shown"))[0]
    assert done.status == "completed"
    # The two that were under way; after them nothing more was called for the one that failed.
    assert stack.endpoint.stats()["sample-95"]["requests"] == 2 + ITEMS
    assert list(stack.client.events.history(failed.id))[-1].type == "assay.evaluation.failed"


def test_a_redrive_that_takes_too_long_leaves_the_rest_as_it_was(stack: RunningStack) -> None:
    model = stack.add_model("again", model="sample-80", max_concurrency=2, max_attempts=1)
    stack.endpoint.behave(model="sample-80", error_500_rate=1.0)
    failed = stack.wait(stack.evaluate("riddles", [model], phase="short"))[0]
    assert (failed.status, failed.progress.infra_error) == ("completed", ITEMS)
    stack.endpoint.behave()
    stack.endpoint.gate(closed=True)
    stack.client.evaluations.redrive(failed.id)
    stack.endpoint.wait(model="sample-80", in_flight=2)
    told = "Giving up: phase short gives the predictions of an evaluation 3 s, in which "
    assert any(event.data.get("message", "").startswith(told) for event in stack.client.events(failed.id))
    stack.endpoint.gate(closed=False)
    done = stack.wait([failed])[0]
    # Those under way count, and at most the two that were sent behind them; the others can be redriven again.
    assert done.status == "completed"
    assert 2 <= done.progress.scored <= 4
    assert done.progress.infra_error == ITEMS - done.progress.scored


@pytest.fixture(scope="module")
def hidden(stack: RunningStack) -> list[Evaluation]:
    """Two of the phase that hides its targets, and all that those show."""
    models = [stack.add_model(name, model=name) for name in ("sample-60", "sample-80")]
    done = stack.wait(stack.evaluate("riddles", models, phase="hidden"))
    assert [evaluation.status for evaluation in done] == ["completed", "completed"]
    return done


def paths(stack: RunningStack, client: httpx.Client, evaluations: list[Evaluation]) -> Iterator[str]:
    """Every GET of the API and every page, with what shows these evaluations; an API's parameter that is not known here fails."""
    one, other = evaluations
    known = {
        "slug": "riddles",
        "evaluation": str(one.number),
        "index": "0",
        "model_id": one.model,
        "name": "predictions.jsonl",
        "parked": "1",
    }
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        if "get" in operations:
            yield path.format(**known)
    yield "/v1/environments/riddles/items?phase=hidden"
    yield "/v1/environments/riddles/leaderboard?phase=hidden"
    yield f"/v1/evaluations/{one.number}/results?clip=10000"
    yield f"/v1/evaluations/{one.number}/events?limit=1000"
    seed = Seed("riddles", one.number, other.number, one.model)
    yield from seed.addresses()
    yield "/environments/riddles/phases?phase=hidden"
    yield f"/evaluations/{one.number}/cases?q=riddle"


def contents(answer: httpx.Response) -> bytes:
    """The bytes of an answer; of a zip those of all that is in it."""
    if not zipfile.is_zipfile(io.BytesIO(answer.content)):
        return answer.content
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return b"\n".join(archive.read(name) for name in archive.namelist())


@pytest.mark.parametrize("role", ["viewer", "runner"])
def test_hidden_targets_are_in_no_answer_and_in_no_file(
    stack: RunningStack, hidden: list[Evaluation], role: str
) -> None:
    looked_at: list[str] = []
    with http(stack, role) as client:
        for path in paths(stack, client, hidden):
            answer = client.get(path)
            assert answer.status_code < 500, path
            assert GOLD not in answer.text.lower(), path
            if answer.status_code == 200:
                looked_at.append(path)
        files = client.get(f"/v1/evaluations/{hidden[0].id}/files").json()["items"]
        assert [file["name"] for file in files] == [
            "submission.zip",
            "predictions.jsonl",
            "scoring_output.zip",
            "detailed_results.json",
            "detailed_results.html",
        ]
        for file in files:
            answer = client.get(f"/v1/evaluations/{hidden[0].id}/files/{file['name']}")
            assert answer.status_code == 200
            assert GOLD.encode() not in contents(answer).lower(), file["name"]
        # A search does not tell them either.
        rows = client.get(f"/v1/evaluations/{hidden[0].id}/results", params={"q": GOLD[:3]}).json()["items"]
        assert rows == []
    assert len(looked_at) > 25, looked_at


def test_an_admin_sees_them_and_other_phases_show_theirs(stack: RunningStack, hidden: list[Evaluation]) -> None:
    one = hidden[0]
    with http(stack, "admin") as client:
        for path in (
            "/v1/environments/riddles/items?phase=hidden",
            f"/v1/evaluations/{one.id}/results",
            f"/v1/evaluations/{one.id}/results/0",
            f"/evaluations/{one.number}/cases/0",
        ):
            assert GOLD in client.get(path).text, path
    with http(stack, "runner") as client:
        items: list[dict[str, Any]] = client.get("/v1/environments/riddles/items?phase=shown").json()["items"]
        assert [item["target"] for item in items] == [f"{GOLD} {n}" for n in range(ITEMS)]
    assert not any(file.name == "dataset.jsonl" for file in one.files)


def test_a_scoring_program_tells_nobody_but_an_admin_what_it_knows(stack: RunningStack, tmp_path: Path) -> None:
    program = """
        import json, sys
        gold = open("/app/input/ref/gold.txt").read()
        print(gold)
        print(gold, file=sys.stderr)
        open("/app/output/detailed_results.html", "w").write(f"<p>{gold}</p>")
        json.dump({"score": 1}, open("/app/output/scores.json", "w"))
        sys.exit(int(open("/app/input/ref/code.txt").read()))
    """
    model = stack.add_model("told", model="sample-80")
    for slug, code, status in (("tells", "0", "completed"), ("fails", "3", "failed")):
        folder = environment(
            tmp_path,
            slug,
            program,
            scoring={"reference": "reference_data"},
            columns=[{"key": "score"}],
            phase={"hide_targets": True},
            files={"reference_data/gold.txt": GOLD, "reference_data/code.txt": code},
        )
        stack.client.environments.push(folder)
        (done,) = stack.wait(stack.evaluate(slug, [model]))
        assert done.status == status
        with http(stack, "runner") as client:
            for path in ("", "/results", "/events?limit=1000", "/files"):
                assert GOLD not in client.get(f"/v1/evaluations/{done.id}{path}").raise_for_status().text, path
            for file in done.files:
                answer = client.get(f"/v1/evaluations/{done.id}/files/{file.name}")
                assert answer.status_code == (403 if file.name == "scoring_output.zip" else 200), file.name
                assert GOLD.encode() not in contents(answer)
        if status == "failed":
            assert done.error == (
                "the scoring program ended with code 3; what it said is not shown, since the phase hides its targets"
            )
        else:
            with http(stack, "admin") as client:
                answer = client.get(f"/v1/evaluations/{done.id}/files/scoring_output.zip")
                assert GOLD.encode() in contents(answer)
