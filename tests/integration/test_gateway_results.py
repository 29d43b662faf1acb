"""Results in other orders, one test case in full, and how results are distributed, over real stores."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.distributions import BINS, Bins, Counting, Tag
from gateway.order import SORTED_SAMPLES
from shared.settings import Settings
from shared.views import evaluation_view
from tests.integration.test_gateway_api import WHEN, RunningGateway, good, pages, problem

LATENCIES = [30.0, None, 10.0, 20.5, 10.0]
START = WHEN.timestamp()


@pytest.fixture
async def gateway(stores: Settings) -> AsyncIterator[RunningGateway]:
    async with RunningGateway(stores) as running:
        await running.add_environment()
        yield running


async def add_results(gateway: RunningGateway, evaluation_id: str, samples: int = 1, **fields: Any) -> None:
    """Items 0 and 3 are correct, 1 was never called and 4 refused."""
    outcomes = ["scored", "infra_error", "scored", "scored", "model_error"]
    rows = [
        {
            "_id": f"{evaluation_id}:{index}:{sample}",
            "evaluation": evaluation_id,
            "index": index,
            "sample": sample,
            "round": 0,
            "item_id": f"item-{index}",
            "target": "the cat sat on it",
            "prediction": "the dog sat on it" if outcomes[index] == "scored" else None,
            "output": "x" * 1000,
            "correct": index in (0, 3) and outcomes[index] == "scored",
            "scores": {"accuracy": float(index in (0, 3))},
            "outcome": outcomes[index],
            "error": "HTTP 503" if index == 1 else None,
            "finish_reason": "stop",
            "usage": {"total_tokens": 7},
            "attempts": 1,
            "started_at": START + index,
            "landed_at": START + index + 0.5,
            "latency_ms": LATENCIES[index],
            **fields,
        }
        for index in range(5)
        for sample in range(samples)
    ]
    await gateway.database["results"].insert_many(rows)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"sort": "index"}, [0, 1, 2, 3, 4]),
        ({"sort": "latency_ms"}, [2, 4, 3, 0, 1]),
        ({"sort": "-latency_ms"}, [0, 3, 2, 4, 1]),
        ({"sort": "correct"}, [1, 2, 4, 0, 3]),
        ({"sort": "-correct"}, [0, 3, 1, 2, 4]),
        ({"sort": "-latency_ms", "correct": "false"}, [2, 4, 1]),
        ({"sort": "correct", "correct": "true"}, [0, 3]),
        ({"sort": "latency_ms", "q": "even"}, [2, 4, 0]),
        ({"sort": "correct", "q": "EVEN"}, [2, 4, 0]),
        ({"sort": "-latency_ms", "outcome": ["scored", "infra_error"]}, [0, 3, 2, 1]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_results_in_an_order_page_by_page(
    gateway: RunningGateway, query: dict[str, Any], found: list[int], limit: int
) -> None:
    evaluation_id = await gateway.add_evaluation(1)
    await add_results(gateway, evaluation_id)
    rows = await pages(gateway, "/v1/evaluations/1/results", limit=limit, **query)
    assert [row["index"] for row in rows] == found


async def test_what_lands_between_two_pages_neither_repeats_nor_hides_a_row(gateway: RunningGateway) -> None:
    evaluation_id = await gateway.add_evaluation(1)
    await add_results(gateway, evaluation_id)
    taken = await gateway.database["results"].find_one_and_delete({"_id": f"{evaluation_id}:2:0"})
    path = "/v1/evaluations/1/results"
    first = good(await gateway.http.get(path, params={"sort": "latency_ms", "limit": 2}))
    assert [row["index"] for row in first["items"]] == [4, 3]
    await gateway.database["results"].insert_one(taken)
    rest = good(await gateway.http.get(path, params={"sort": "latency_ms", "cursor": first["next"]}))
    assert [row["index"] for row in rest["items"]] == [0, 1]


async def test_too_many_results_are_not_sorted_by_latency(gateway: RunningGateway) -> None:
    await gateway.add_evaluation(1, progress={"done": 0, "total": SORTED_SAMPLES + 1})
    refusal = problem(await gateway.http.get("/v1/evaluations/1/results?sort=latency_ms"), 422)
    assert refusal["errors"][0]["loc"] == ["sort"]
    good(await gateway.http.get("/v1/evaluations/1/results?sort=-correct"))
    problem(await gateway.http.get("/v1/evaluations/1/results?sort=size"), 422)


@pytest.mark.parametrize("samples", [1, 2])
async def test_texts_are_cut_where_one_asks_for_it(gateway: RunningGateway, samples: int) -> None:
    evaluation_id = await gateway.add_evaluation(
        1, samples_per_item=samples, progress={"done": 5 * samples, "total": 5 * samples}
    )
    await add_results(gateway, evaluation_id, samples)
    rows = good(await gateway.http.get("/v1/evaluations/1/results?clip=10"))["items"]
    assert rows[0]["output"] == "x" * 9 + "\u2026"
    assert rows[0]["input"] == "What is 0\u2026"
    assert (rows[0]["prediction"], rows[1]["prediction"]) == ("the dog s\u2026", None)
    for sample in rows[0]["samples"] or ():
        assert sample["output"] == "x" * 9 + "\u2026"
    whole = good(await gateway.http.get("/v1/evaluations/1/results?clip=1000"))["items"]
    assert whole[0]["output"] == "x" * 1000


async def test_a_case_in_full(gateway: RunningGateway) -> None:
    evaluation_id = await gateway.add_evaluation(1, samples_per_item=3, progress={"done": 15, "total": 15})
    await add_results(gateway, evaluation_id, samples=3)
    case = good(await gateway.http.get("/v1/evaluations/1/results/2", params={"samples": 2, "clip": 20}))
    assert case["messages"] == [{"role": "user", "content": "What is 2 + 1?"}]
    assert (case["gold"], case["target"], case["metadata"]) == ("3", "the cat sat on it", {"level": 2})
    assert (case["total"], len(case["samples"]), case["cut"]) == (3, 2, [])
    sample = case["samples"][1]
    assert (sample["sample"], sample["output"], sample["cut"]) == (1, "x" * 19 + "\u2026", ["output"])
    assert sample["started_at"] == "2026-01-02T03:04:07Z"
    assert [(part["kind"], part["text"]) for part in sample["difference"]] == [
        ("same", "the"),
        ("removed", " cat"),
        ("added", " dog"),
        ("same", " sat on it"),
    ]
    failed = good(await gateway.http.get("/v1/evaluations/1/results/1"))
    assert (failed["samples"][0]["difference"], failed["samples"][0]["error"]) == (None, "HTTP 503")
    problem(await gateway.http.get("/v1/evaluations/1/results/5"), 404)
    problem(await gateway.http.get("/v1/evaluations/1/results/-1"), 422)


async def test_distributions_are_counted_once_a_round(gateway: RunningGateway) -> None:
    times = {"started_at": WHEN, "finished_at": WHEN + timedelta(seconds=6)}
    metrics = {"latency_ms": {"p50": 15.0, "p95": 29.0, "mean": 17.6, "max": 30.0}, "called": 4, "correct": 2}
    evaluation_id = await gateway.add_evaluation(1, metrics=metrics, **times)
    await add_results(gateway, evaluation_id)
    for index in range(5):
        tags = ["all", "even" if index % 2 == 0 else "odd"]
        await gateway.database["items"].update_one(
            {"_id": f"sums@0a1b:dev:{index}"}, {"$set": {"metadata.tags": tags if index else "all"}}
        )
    evaluation = evaluation_view(await gateway.database["evaluations"].find_one({"_id": evaluation_id}) or {})
    counting = Counting(gateway.database)
    found = await counting.of(evaluation, 30)
    assert found
    assert found.latency == Bins(0.1, {300: 1, 100: 2, 205: 1})
    assert (found.answered, found.failed) == (
        Bins(0.01, {50: 1, 250: 1, 350: 1}),
        Bins(0.01, {150: 1, 450: 1}),
    )
    assert found.misses == 2
    assert found.tags == [Tag("all", 4, 2), Tag("even", 2, 0), Tag("odd", 1, 1)]

    await gateway.database["results"].delete_many({})
    assert await counting.of(evaluation, 30) is found
    redriven = evaluation.model_copy(update={"round": 1})
    again = await counting.of(redriven, 30)
    assert again
    assert again.answered.counts == {}


async def test_what_lies_far_out_is_counted_together(gateway: RunningGateway) -> None:
    metrics = {"latency_ms": {"p50": 10.0, "p95": 10.0, "mean": 10.0, "max": 1e6}, "called": 4, "correct": 2}
    evaluation_id = await gateway.add_evaluation(1, metrics=metrics)
    await add_results(gateway, evaluation_id)
    await gateway.database["results"].update_one({"_id": f"{evaluation_id}:0:0"}, {"$set": {"latency_ms": 1e6}})
    evaluation = evaluation_view(await gateway.database["evaluations"].find_one({"_id": evaluation_id}) or {})
    found = await Counting(gateway.database).of(evaluation, 30)
    assert found
    assert found.latency.counts[BINS] == 1
    assert sum(found.latency.counts.values()) == 4


async def test_misses_of_several_samples_are_test_cases(gateway: RunningGateway) -> None:
    evaluation_id = await gateway.add_evaluation(
        1, samples_per_item=2, progress={"done": 10, "total": 10}, metrics={"called": 8, "correct": 4}
    )
    await add_results(gateway, evaluation_id, samples=2)
    evaluation = evaluation_view(await gateway.database["evaluations"].find_one({"_id": evaluation_id}) or {})
    found = await Counting(gateway.database).of(evaluation, 30)
    assert found
    assert found.misses == 2


async def test_hidden_targets_and_what_quotes_them_are_an_admins(stores: Settings) -> None:
    keys = SecretStr("viewer:look,runner:start,admin:rule")
    gold = "the cat sat"
    async with RunningGateway(stores, api_keys=keys) as gateway:
        await gateway.add_environment()
        await gateway.database["items"].update_many({}, {"$set": {"target": gold, "metadata": {"why": gold}}})
        evaluation = await gateway.add_evaluation(1, hide_targets=True)
        quoting: dict[str, Any] = {
            "judge": [{"output": f"it is {gold}", "score": 0.0}],
            "detail": f"assert answer == {gold!r}",
        }
        await add_results(gateway, evaluation, **quoting)
        for key, is_told in (("look", False), ("start", False), ("rule", True)):
            gateway.http.headers["Authorization"] = f"Bearer {key}"
            for path in ("results", "results?clip=50", "results/2", "results/2?clip=50"):
                answer = await gateway.http.get(f"/v1/evaluations/1/{path}")
                assert answer.status_code == 200
                assert (gold in answer.text) is is_told, (key, path)
            assert len(await pages(gateway, "/v1/evaluations/1/results", q="cat")) == (5 if is_told else 0)
