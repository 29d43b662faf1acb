"""Environments over real stores; the tests play artifacts."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway.boards import find_best
from gateway.lookups import find_environment
from gateway.web.hub import hub_facets
from shared.errors import Conflict, Invalid
from shared.imports import FORMATS
from shared.manifest import json_schema
from shared.settings import Settings
from shared.views import evaluation_view
from tests.integration.test_gateway_api import WHEN, RunningGateway, good, pages, problem

REGISTERED = {
    "slug": "sums",
    "version": "0a1b",
    "title": "Sums",
    "phases": [{"name": "dev", "items": 5}],
    "created_at": "2026-01-02T03:04:05Z",
    "scoring": {"scorer": "numeric"},
}


@pytest.fixture
async def gateway(stores: Settings) -> AsyncIterator[RunningGateway]:
    async with RunningGateway(stores) as running:
        yield running


# Reading


async def test_environments_are_listed_by_their_latest_version(gateway: RunningGateway) -> None:
    await gateway.add_environment("0a", created_at=WHEN)
    await gateway.add_environment("0b", created_at=WHEN + timedelta(days=1), title="Sums, again")
    await gateway.add_environment("0c", slug="words", created_at=WHEN + timedelta(hours=1), tags=["text", "a.b"])
    await gateway.add_environment("0d", slug="maps", created_at=WHEN + timedelta(hours=1))
    rows = await pages(gateway, "/v1/environments", limit=1)
    assert [(row["slug"], row["version"]) for row in rows] == [("sums", "0b"), ("words", "0c"), ("maps", "0d")]
    assert rows[0]["phases"][0]["items"] == 5
    assert [row["slug"] for row in await pages(gateway, "/v1/environments", q="AGAIN")] == ["sums"]
    assert [row["slug"] for row in await pages(gateway, "/v1/environments", q="A.B")] == ["words"]
    assert [row["slug"] for row in await pages(gateway, "/v1/environments", q="(a LOT")] == ["sums", "words", "maps"]
    assert await pages(gateway, "/v1/environments", q=".*") == []

    latest = good(await gateway.http.get("/v1/environments/sums"))
    assert (latest["version"], latest["title"], latest["overview"]) == ("0b", "Sums, again", "# Sums")
    assert [entry["version"] for entry in latest["versions"]] == ["0b", "0a"]
    assert latest["scoring"]["scorer"] == "numeric"
    assert latest["columns"][0]["key"] == "overall_score"
    assert good(await gateway.http.get("/v1/environments/sums@0a"))["version"] == "0a"
    assert "sums@ff" in problem(await gateway.http.get("/v1/environments/sums@ff"), 404)["detail"]


async def test_a_viewer_sees_no_column_that_may_tell_an_answer(stores: Settings) -> None:
    async with RunningGateway(stores, api_keys=SecretStr("viewer:look,runner:run")) as gateway:
        await gateway.add_environment()
        await gateway.database["items"].update_many({}, {"$set": {"hints": {"others": ["one"]}}})
        seen = {}
        for key in ("look", "run"):
            headers = {"Authorization": f"Bearer {key}"}
            page = good(await gateway.http.get("/v1/environments/sums/items?limit=1", headers=headers))
            seen[key] = page["items"][0]
    assert (seen["look"]["target"], seen["look"]["metadata"]) == (None, {"level": 0})
    assert (seen["run"]["target"], seen["run"]["metadata"]) == ("1", {"level": 0, "others": ["one"]})


async def test_tags_all_must_match_exactly_and_in_the_latest_version(gateway: RunningGateway) -> None:
    await gateway.add_environment("0a", created_at=WHEN, tags=["old"])
    await gateway.add_environment("0b", created_at=WHEN + timedelta(days=1), tags=["math", "text"])
    await gateway.add_environment("0c", slug="maps", tags=["text", "a&b", "math2", "text"])

    async def found(*tags: str, **more: str) -> list[str]:
        query = httpx.QueryParams({"tag": tags, **more})
        return [row["slug"] for row in good(await gateway.http.get("/v1/environments", params=query))["items"]]

    assert await found("text") == ["sums", "maps"]
    assert await found("text", "math") == ["sums"]
    assert await found("text", q="MAP") == ["maps"]
    assert await found("a&b") == ["maps"]
    assert await found("old") == await found("Text") == await found("math", "a&b") == []
    problem(await gateway.http.get("/v1/environments", params={"tag": ["x"] * 21}), 422)
    problem(await gateway.http.get("/v1/environments", params={"tag": "x" * 201}), 422)

    shown = await hub_facets(gateway.database, "", [])
    assert [(facet.tag, facet.count, facet.chosen) for facet in shown] == [
        ("text", 2, False),
        ("a&b", 1, False),
        ("math", 1, False),
        ("math2", 1, False),
    ]
    assert shown[1].address == "/?tag=a%26b"
    chosen = await hub_facets(gateway.database, "su", ["text", "none"])
    assert [(facet.tag, facet.count, facet.address) for facet in chosen] == [
        ("text", 0, "/?q=su&tag=none"),
        ("none", 0, "/?q=su&tag=text"),
    ]


async def test_every_version_is_listed_and_can_be_read(gateway: RunningGateway) -> None:
    for day, version in enumerate(("0a", "0b", "0c")):
        await gateway.add_environment(version, created_at=WHEN + timedelta(days=day))
    rows = await pages(gateway, "/v1/environments/sums/versions", limit=2)
    assert [row["version"] for row in rows] == ["0c", "0b", "0a"]
    assert rows[2]["phases"][0]["items"] == 5
    assert [row["version"] for row in await pages(gateway, "/v1/environments/sums@0a/versions")] == ["0c", "0b", "0a"]
    problem(await gateway.http.get("/v1/environments/none/versions"), 404)


async def test_the_manifest_in_words(gateway: RunningGateway) -> None:
    await gateway.add_environment()
    words = good(await gateway.http.get("/v1/environments/sums"))["in_words"]
    assert words["measured"][0].startswith("A model answers 7 items in 2 phases")
    assert words["scoring"][0].startswith("The last number in the answer is taken")
    assert words["phases"] == {"dev": [], "test": []}


async def test_the_schema_of_manifests_is_what_editors_take(gateway: RunningGateway) -> None:
    answer = await gateway.http.get("/schemas/environment.json")
    assert good(answer) == json_schema()
    assert answer.headers["content-type"] == "application/schema+json"


async def test_test_cases_in_their_order(gateway: RunningGateway) -> None:
    await gateway.add_environment()
    rows = await pages(gateway, "/v1/environments/sums/items")
    assert [row["id"] for row in rows] == [f"item-{index}" for index in range(5)]
    assert rows[3] == {
        "id": "item-3",
        "index": 3,
        "input": "What is 3 + 1? [odd]",
        "messages": [{"role": "user", "content": "What is 3 + 1?"}],
        "target": "4",
        "metadata": {"level": 3},
    }
    assert await pages(gateway, "/v1/environments/sums/items", phase="test") == []
    body = problem(await gateway.http.get("/v1/environments/sums/items?phase=final"), 422)
    assert body["errors"][0]["loc"] == ["phase"]
    assert "dev, test" in body["detail"]


async def test_a_leaderboard_of_completed_evaluations(gateway: RunningGateway) -> None:
    await gateway.add_environment("0a", created_at=WHEN - timedelta(days=1))
    await gateway.add_environment("0a1b")
    await gateway.add_evaluation(1, metrics={"overall_score": 0.4, "accuracy": 0.4, "accuracy_ci95": [0.1, 0.8]})
    await gateway.add_evaluation(2, metrics={"overall_score": 0.6})
    await gateway.add_evaluation(3, metrics={"overall_score": 0.4})
    await gateway.add_evaluation(4, version="0a", metrics={"overall_score": 1.0})
    await gateway.add_evaluation(5, limit=2, metrics={"overall_score": 1.0})
    await gateway.add_evaluation(6, status="running", metrics=None)
    await gateway.add_evaluation(7, phase="test", metrics={"overall_score": 0.2})
    rows = await pages(gateway, "/v1/environments/sums/leaderboard")
    assert [(row["number"], row["rank"], row["tied"]) for row in rows] == [
        (2, 1, True),
        (1, 1, True),  # its interval reaches beyond 0.6
        (3, 2, False),
        (4, None, False),
        (5, None, False),
    ]
    assert rows[1]["accuracy_ci95"] == [0.1, 0.8]
    assert rows[4]["partial"]
    answer = good(await gateway.http.get("/v1/environments/sums/leaderboard?phase=test"))
    assert (answer["phase"], answer["version"], answer["next"]) == ("test", "0a1b", None)
    assert [row["number"] for row in answer["items"]] == [7]
    assert answer["columns"][0]["key"] == "overall_score"
    assert answer["submission_rule"] == "all"


COLUMNS = [
    {"key": "mean", "computed": {"operation": "avg", "of": ["accuracy", "f1"]}},
    {"key": "accuracy"},
    {"key": "f1", "hidden": True},
]


async def add_board(gateway: RunningGateway, rule: str) -> None:
    await gateway.add_environment()
    leaderboard = {"submission_rule": rule, "columns": COLUMNS}
    await gateway.database["environments"].update_one({}, {"$set": {"manifest.leaderboard": leaderboard}})


async def test_columns_of_a_leaderboard_and_its_csv(gateway: RunningGateway) -> None:
    await add_board(gateway, "force_best")
    for number, model, accuracy, f1 in (
        (1, "m1", 0.5, 0.1),
        (2, "m1", 0.25, 0.75),
        (3, "m2", 1.0, None),
        (4, "m3", 0.1, 0.3),
    ):
        intervals = {"accuracy": [accuracy / 2, accuracy], "scores": {"f1": [0.0, 1.0]}}
        metrics = {"accuracy": accuracy, "scores": {"f1": f1}, "intervals": intervals}
        await gateway.add_evaluation(number, model=model, model_name=f"={model}", metrics=metrics)
    answer = good(await gateway.http.get("/v1/environments/sums/leaderboard"))
    assert [(column["key"], column["hidden"]) for column in answer["columns"]] == [("mean", False), ("accuracy", False)]
    assert answer["submission_rule"] == "force_best"
    assert [(row["number"], row["rank"], row["scores"]) for row in answer["items"]] == [
        (2, 1, {"mean": 0.5, "accuracy": 0.25}),
        (4, 2, {"mean": 0.2, "accuracy": 0.1}),
    ]
    assert answer["items"][0]["intervals"] == {"accuracy": [0.125, 0.25]}
    by_format = await gateway.http.get("/v1/environments/sums/leaderboard?format=csv&limit=1")
    by_header = await gateway.http.get("/v1/environments/sums/leaderboard", headers={"Accept": "text/csv"})
    assert by_format.text == by_header.text
    assert by_format.headers["content-type"] == "text/csv; charset=utf-8"
    assert by_format.headers["content-disposition"] == 'attachment; filename="sums-dev-leaderboard.csv"'
    heads, first, second = by_format.text.splitlines()
    assert heads.startswith("rank,tied,model_name,model,evaluation,mean,accuracy,accuracy_low,accuracy_high,coverage,")
    assert first.startswith("1,false,'=m1,m1,2,0.5,0.25,0.125,0.25,")
    assert second.startswith("2,false,'=m3,m3,4,0.2,0.1,")
    problem(await gateway.http.get("/v1/environments/sums/leaderboard?format=xml"), 422)
    problem(await gateway.http.get("/v1/environments/sums/leaderboard?format=csv&phase=final"), 422)


async def test_the_hub_shows_the_first_row_whatever_the_rule(gateway: RunningGateway) -> None:
    await add_board(gateway, "force_last")
    for number, accuracy in ((1, 0.9), (2, 0.3)):
        await gateway.add_evaluation(number, metrics={"accuracy": accuracy, "scores": {"f1": accuracy}})
    environment = await find_environment(gateway.database, "sums")
    for rule, first in (("force_last", 2), ("force_best", 1), ("all", 1), ("add", None)):
        environment["manifest"]["leaderboard"]["submission_rule"] = rule
        for columns in (COLUMNS, COLUMNS[1:]):
            environment["manifest"]["leaderboard"]["columns"] = columns
            row = await find_best(gateway.database, environment, "dev")
            assert (row.number if row else None) == first, (rule, columns)
    assert await find_best(gateway.database, environment, "test") is None


async def test_a_leaderboard_is_changed_by_the_orchestrator(gateway: RunningGateway) -> None:
    await add_board(gateway, "add_and_delete")
    first = await gateway.add_evaluation(1, listed_at=WHEN)
    second = await gateway.add_evaluation(2, model="m2")
    document = await gateway.database["evaluations"].find_one({"_id": second})
    view = evaluation_view(document or {}).model_dump(mode="json")
    async with gateway.owner("orchestrator.leaderboard.put_on", lambda _: view) as asked:
        assert good(await gateway.http.post("/v1/evaluations/2/leaderboard"))["number"] == 2
        assert asked == [{"id": second}]
        sent = await gateway.http.post("/evaluations/2/leaderboard", data={"do": "put_on"})
        assert (sent.status_code, sent.headers["location"]) == (303, "/environments/sums/leaderboard?phase=dev")
    async with gateway.owner("orchestrator.leaderboard.take_off", lambda _: view) as asked:
        good(await gateway.http.delete(f"/v1/evaluations/{first}/leaderboard"))
        assert asked == [{"id": first}]
    problem(await gateway.http.post("/v1/evaluations/99/leaderboard"), 404)
    page = (await gateway.http.get("/environments/sums/leaderboard")).text
    assert 'formaction="/evaluations/1/leaderboard"' in page
    assert 'formaction="/evaluations/2/leaderboard"' not in page  # without the first column it could not be ranked


# Uploads


async def test_a_bundle_is_staged_and_handed_to_artifacts(gateway: RunningGateway) -> None:
    data = bytes(range(256)) * 20_000
    staged: list[bytes] = []

    async def read(key: str) -> None:
        staged.append(await gateway.objects.get_bytes(key))

    reads: list[asyncio.Task[None]] = []

    def register(body: dict[str, Any]) -> dict[str, Any]:
        reads.append(asyncio.ensure_future(read(body["key"])))
        return REGISTERED

    async with gateway.owner("artifacts.environments.register", register) as asked:
        answer = await gateway.http.post("/v1/environments", files={"bundle": ("sums.zip", data)})
        body = good(answer, 201)
        await asyncio.gather(*reads)
    assert (body["slug"], body["columns"]) == ("sums", [])
    assert answer.headers["location"] == "/v1/environments/sums@0a1b"
    assert asked[0]["filename"] == "sums.zip"
    assert asked[0]["key"].startswith("staging/")
    assert staged == [data]


async def test_what_artifacts_refuses_is_told_as_it_said_it(gateway: RunningGateway) -> None:
    def refuse(body: dict[str, Any]) -> Any:
        raise Invalid(
            "dev.jsonl has no field answer", [{"loc": ["bundle", "dev.jsonl", 3, "answer"], "msg": "missing"}]
        )

    async with gateway.owner("artifacts.environments.register", refuse):
        body = problem(await gateway.http.post("/v1/environments", files={"bundle": ("b.zip", b"zip")}), 422)
    assert body["errors"] == [{"loc": ["bundle", "dev.jsonl", 3, "answer"], "msg": "missing"}]


async def test_a_bundle_that_nobody_registers_is_not_left_behind(gateway: RunningGateway) -> None:
    def staged() -> set[str]:
        return {entry.object_name for entry in client.list_objects(gateway.objects.bucket, "staging/", recursive=True)}

    client = gateway.objects._minio
    before = await asyncio.to_thread(staged)
    answer = await gateway.http.post("/v1/environments", files={"bundle": ("b.zip", b"zip")})
    assert problem(answer, 503)["detail"] == "no artifacts is running"
    assert await asyncio.to_thread(staged) == before


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_bundle_that_is_too_large_is_told_so(stores: Settings, chunked: bool) -> None:
    async with RunningGateway(stores, max_upload_mb=1) as gateway:
        boundary = b"--x\r\nContent-Disposition: form-data; name=bundle; filename=b.zip\r\n\r\n"
        data = boundary + b"0" * 20_000_000 + b"\r\n--x--\r\n"

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(data), 65536):
                yield data[start : start + 65536]

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        if not chunked:
            headers["Content-Length"] = str(len(data))
        answer = await gateway.http.post("/v1/environments", content=chunks(), headers=headers)
        assert "1 MB (ASSAY_MAX_UPLOAD_MB)" in problem(answer, 413)["detail"]
        nearly = {"bundle": ("b.zip", b"0" * (1024 * 1024 + 1))}
        problem(await gateway.http.post("/v1/environments", files=nearly), 413)


@pytest.mark.parametrize(
    ("request_", "status", "word"),
    [
        ({"files": {"file": ("b.zip", b"zip")}}, 422, "bundle"),
        ({"files": [("bundle", ("a.zip", b"a")), ("bundle", ("b.zip", b"b"))]}, 422, "bundle"),
        ({"files": {"other": ("b.zip", b"zip")}}, 422, "other"),
        ({"json": {"import": {"hub": "x"}}}, 422, "import.format"),
        ({"json": {"import": {"format": "table"}}}, 422, "bundle: is missing"),
        ({"json": {"import": {"format": "table"}, "slug": "x"}}, 422, "slug"),
        ({"files": {"bundle": ("a.csv", b"a,b")}, "data": {"import": "{"}}, 422, "import: is not JSON"),
        ({"files": {"bundle": ("a.csv", b"a,b")}, "data": {"import": '{"format": "tabel"}'}}, 422, "'table'"),
        ({"files": {"bundle": ("a.csv", b"a,b")}, "data": {"import": "[" * 300_000}}, 422, "import: is larger"),
        ({"json": {"impart": {}}}, 422, "bundle"),
        ({"json": [1]}, 422, "bundle"),
        ({"content": b"PK\x03\x04"}, 400, "bundle"),
        (
            {"content": b"--x\r\nnonsense\r\n\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            400,
            "",
        ),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "boundary"),
    ],
)
async def test_an_upload_that_is_none(gateway: RunningGateway, request_: Any, status: int, word: str) -> None:
    body = problem(await gateway.http.post("/v1/environments", **request_), status)
    assert word in body["detail"]


async def send(gateway: RunningGateway, data: bytes, options: dict[str, Any]) -> httpx.Response:
    form = {"import": json.dumps(options)}
    return await gateway.http.post("/v1/environments", files={"bundle": ("a.csv", data)}, data=form)


async def test_what_is_to_be_imported_is_handed_to_artifacts_with_its_options(gateway: RunningGateway) -> None:
    options = {"format": "table", "scoring": "contains", "fields": {"input": "q"}}
    report = {"format": "table", "source": "a.csv", "comparable": True, "comparable_why": "It is."}
    with_report = {**REGISTERED, "imported": report}
    async with gateway.owner("artifacts.environments.register", lambda body: with_report) as asked:
        body = good(await send(gateway, b"q,answer\n1,2\n", options), 201)
    assert body["imported"] == {**report, "notes": [], "dropped": {}}
    assert asked[0]["filename"] == "a.csv"
    assert asked[0]["import"] == {**options, "scoring": {"scorer": "contains"}}


async def test_each_wrong_option_of_an_import_has_its_place(gateway: RunningGateway) -> None:
    options = {"format": "table", "slug": "A B", "fields": {"inputt": "q"}, "scoring": {"scorer": "f1", "threshold": 2}}
    body = problem(await send(gateway, b"q,answer", options), 422)
    assert [error["loc"] for error in body["errors"]] == [
        ["import", "slug"],
        ["import", "fields", "inputt"],
        ["import", "scoring", "threshold"],
    ]


async def test_the_contract_has_every_format_with_its_options(gateway: RunningGateway) -> None:
    contract = good(await gateway.http.get("/openapi.json"))
    schemas = contract["components"]["schemas"]
    content = contract["paths"]["/v1/environments"]["post"]["requestBody"]["content"]
    assert content["multipart/form-data"]["schema"]["properties"]["import"] == {"$ref": "#/components/schemas/Import"}
    assert content["application/json"]["schema"]["properties"]["import"] == {"$ref": "#/components/schemas/Import"}
    formats = schemas["Import"]["discriminator"]["mapping"]
    assert formats.keys() == FORMATS.keys()
    assert "fields" in schemas[formats["table"].rpartition("/")[2]]["properties"]
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(contract)))
    assert named <= schemas.keys()


async def test_the_same_bundle_under_the_same_key_is_registered_once(gateway: RunningGateway) -> None:
    records: dict[str, Any] = {}

    def claim(body: dict[str, Any]) -> Any:
        record = records.setdefault(body["key"], {"hash": body["hash"], "answer": None})
        if record["hash"] != body["hash"]:
            raise Conflict("this Idempotency-Key came with another body")
        return {"answer": record["answer"]}

    def finish(body: dict[str, Any]) -> Any:
        records[body["key"]]["answer"] = body["answer"]
        return {}

    async with (
        gateway.owner("orchestrator.idempotency.claim", claim) as claims,
        gateway.owner("orchestrator.idempotency.finish", finish),
        gateway.owner("artifacts.environments.register", lambda body: REGISTERED) as asked,
    ):
        headers = {"Idempotency-Key": "once"}

        async def push(data: bytes, **options: str) -> httpx.Response:
            files = {"bundle": ("b.zip", data)}
            return await gateway.http.post("/v1/environments", files=files, data=options, headers=headers)

        first, again = await push(b"zip"), await push(b"zip")
        assert good(first, 201) == good(again, 201)
        problem(await push(b"another"), 409)
        problem(await push(b"zip", **{"import": '{"format": "table"}'}), 409)
    assert len(asked) == 1
    assert claims[0] == {"key": "environments:once", "hash": hashlib.sha256(b"zip").hexdigest()}
