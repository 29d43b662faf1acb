"""The blocking client against a fake gateway: what it sends, how it pages, retries, and what it raises."""

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from assay import (
    ApiError,
    ChecksumMismatch,
    Client,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Gone,
    Invalid,
    InvalidInput,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from tests.unit.assay.fakes import Gateway, environment, evaluation, model, page, problem

URL = "http://127.0.0.1:1"


def client(gateway: Gateway, **options: Any) -> Client:
    return Client(URL, transport=gateway.transport, backoff=(0, 0), **options)


def test_lists_follow_the_cursor_only_as_far_as_they_are_read() -> None:
    pages = page(model(id="a"), model(id="b"), following="c1"), page(model(id="c"))
    gateway = Gateway().on("GET /models", *pages)
    with client(gateway) as connected:
        models = connected.models.list(source="running")
        assert [next(models).id, next(models).id] == ["a", "b"]
        assert len(gateway.requests) == 1
        assert [found.id for found in models] == ["c"]
    first, second = (dict(request.url.params) for request in gateway.requests)
    assert first["source"] == "running"
    assert second == {**first, "cursor": "c1"}


def test_the_leaderboard_is_read_to_its_end() -> None:
    row = {
        "rank": 1, "evaluation": "e1", "number": 1, "model": "m1", "model_name": "alpha", "environment_version": "v",
        "overall_score": 1, "accuracy": 1, "accuracy_ci95": None, "coverage": 1, "total": 4, "finished_at": None,
    }  # fmt: skip
    head = {"environment": "sums", "phase": "dev", "version": "v", "columns": []}
    answers = {**head, **page(row, following="c")}, {**head, **page({**row, "number": 2})}
    with client(Gateway().on("GET /environments/sums/leaderboard", *answers)) as connected:
        answer = connected.environments.leaderboard("sums", "dev")
    assert [found.number for found in answer.items] == [1, 2]
    assert answer.next is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ApiError), (401, Unauthorized), (403, Forbidden), (404, NotFound), (409, Conflict), (410, Gone),
        (413, TooLarge), (422, Invalid), (500, ApiError), (503, Unavailable),
    ],
)  # fmt: skip
def test_a_refusal_is_raised_with_its_details(status: int, kind: type[ApiError]) -> None:
    errors = [{"loc": ["models", 0], "msg": "no such model"}]
    with (
        client(Gateway().on("GET /models/m1", problem(status, "why", errors))) as connected,
        pytest.raises(kind) as raised,
    ):
        connected.models.get("m1")
    assert (raised.value.status, raised.value.detail, raised.value.errors) == (status, "why", errors)


def test_a_proxys_page_is_a_refusal_too() -> None:
    with (
        client(Gateway().on("GET /models/m1", httpx.Response(413, text="<html>"))) as connected,
        pytest.raises(TooLarge, match="Request Entity Too Large"),
    ):
        connected.models.get("m1")


def test_a_lost_answer_is_asked_for_again_with_the_same_key() -> None:
    lost = httpx.RemoteProtocolError("gone")
    gateway = Gateway().on("POST /models", lost, problem(503, "restarting"), model())
    with client(gateway) as connected:
        connected.models.add("alpha", base_url="http://127.0.0.1:9/v1", model="a")
        connected.models.add("alpha", base_url="http://127.0.0.1:9/v1", model="a")
    *first, second = (request.headers["Idempotency-Key"] for request in gateway.sent("POST /models"))
    assert len(first) == 3
    assert len(set(first)) == 1
    assert second != first[0]


def test_only_what_is_given_is_sent() -> None:
    gateway = Gateway().on("POST /models", model()).on("PATCH /models/m1", model())
    with client(gateway) as connected:
        connected.models.add("alpha", base_url="http://x/v1", model="a", max_concurrency=4)
        connected.models.update("m1", api_key=None)
    given = {"name": "alpha", "base_url": "http://x/v1", "model": "a", "max_concurrency": 4}
    assert gateway.body("POST /models") == given
    assert gateway.body("PATCH /models/m1") == {"api_key": None}


def test_a_refusal_is_not_retried() -> None:
    gateway = Gateway().on("POST /evaluations", problem(422, "no such phase"))
    with client(gateway) as connected, pytest.raises(Invalid):
        connected.evaluations.start("sums", ["m1"], phase="nope")
    assert len(gateway.requests) == 1


def test_no_gateway_says_how_to_start_one() -> None:
    gateway = Gateway().on("GET /models/m1", httpx.ConnectError("refused"))
    with (
        client(gateway) as connected,
        pytest.raises(
            ConnectionFailed, match=r"no Assay gateway answers at http://127.0.0.1:1; start one with `assay up`"
        ),
    ):
        connected.models.get("m1")
    assert len(gateway.requests) == 3


def test_a_repeated_delete_that_finds_nothing_was_done() -> None:
    gateway = Gateway().on("DELETE /models/m1", httpx.ReadError("lost"), problem(404, "unknown model"))
    with client(gateway) as connected:
        connected.models.delete("m1")
        assert len(gateway.requests) == 2
        with pytest.raises(NotFound):
            connected.models.delete("m1")


def test_something_else_at_the_address_is_recognised() -> None:
    with (
        client(Gateway().on("GET /models/m1", httpx.Response(200, text="<html>hello"))) as connected,
        pytest.raises(UnexpectedAnswer, match="did not answer as an Assay gateway"),
    ):
        connected.models.get("m1")


@pytest.mark.parametrize("name", ["", "..", "\n"])
def test_what_names_nothing_is_refused_before_it_is_sent(name: str) -> None:
    gateway = Gateway()
    with client(gateway) as connected, pytest.raises(InvalidInput):
        connected.evaluations.get(name)
    assert gateway.requests == []


@pytest.mark.parametrize("name", ["#1", "1", 1])
def test_an_evaluation_is_named_by_its_number(name: str | int) -> None:
    with client(Gateway().on("GET /evaluations/1", evaluation())) as connected:
        assert connected.evaluations.get(name).id == "e1"


def test_a_key_is_sent_and_never_shown() -> None:
    gateway = Gateway().on("GET /models/m1", problem(401, "unknown key"))
    with client(gateway, api_key="s3cret") as connected:
        with pytest.raises(Unauthorized) as raised:
            connected.models.get("m1")
        assert "s3cret" not in f"{raised.value!r} {connected.address!r}"
    assert gateway.requests[0].headers["Authorization"] == "Bearer s3cret"


def test_a_bundle_is_uploaded_whole_in_each_attempt(tmp_path: Path) -> None:
    (tmp_path / "environment.yaml").write_text("slug: sums\n")
    gateway = Gateway().on("POST /environments", httpx.WriteError("lost"), httpx.Response(201, json=environment()))
    with client(gateway) as connected:
        assert connected.environments.push(tmp_path).slug == "sums"
    first, second = (request.content for request in gateway.requests)
    assert b'name="bundle"' in first
    assert first.count(b"environment.yaml") == second.count(b"environment.yaml") == 2


REPORT = {"format": "table", "source": "rows.csv", "comparable": False, "comparable_why": "It is another prompt."}
IMPORTED = environment(scoring={"scorer": "numeric"}, imported={**REPORT, "notes": ["One."], "dropped": {"files": 2}})


def test_what_is_imported_goes_with_its_options(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n")
    gateway = Gateway().on("POST /environments", httpx.WriteError("lost"), httpx.Response(201, json=IMPORTED))
    with client(gateway) as connected:
        found = connected.environments.import_("table", tmp_path / "rows.csv", fields={"input": "a"})
    assert found.imported is not None
    assert found.imported.comparable_why == "It is another prompt."
    for request in gateway.requests:
        assert b'filename="rows.csv"' in request.content
        assert b'{"format": "table", "fields": {"input": "a"}}' in request.content


def test_an_import_of_nothing_is_json(tmp_path: Path) -> None:
    gateway = Gateway().on("POST /environments", httpx.Response(201, json=IMPORTED))
    with client(gateway) as connected:
        connected.environments.import_("huggingface", dataset="openai/gsm8k")
        with pytest.raises(InvalidInput, match="must be JSON"):
            connected.environments.import_("table", tmp_path, fields={"input": {1, 2}})
        with pytest.raises(InvalidInput, match="does not exist"):
            connected.environments.import_("table", tmp_path / "none")
    (request,) = gateway.requests
    assert json.loads(request.content) == {"import": {"format": "huggingface", "dataset": "openai/gsm8k"}}


def listed(content: bytes, name: str = "a.txt") -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "kind": "text", "size": len(content), "sha256": digest, "content_type": "text/plain"}


FILES, FILE = "GET /evaluations/e1/files", "GET /evaluations/e1/files/a.txt"


def test_a_download_is_verified_and_leaves_only_itself(tmp_path: Path) -> None:
    gateway = Gateway().on(FILES, page(listed(b"new"))).on(FILE, httpx.Response(200, content=b"new"))
    with client(gateway) as connected:
        path = connected.evaluations.download("e1", "a.txt", to=tmp_path)
    assert path.read_bytes() == b"new"
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_replaced_meanwhile_is_listed_and_fetched_again(tmp_path: Path) -> None:
    gateway = Gateway().on(FILES, page(listed(b"old")), page(listed(b"new")))
    gateway.on(FILE, lambda _: httpx.Response(200, content=b"new"))
    with client(gateway) as connected:
        assert connected.evaluations.download("e1", "a.txt", to=tmp_path / "b.txt").read_bytes() == b"new"
    assert len(gateway.sent(FILES)) == 2


def test_a_wrong_download_leaves_what_was_there(tmp_path: Path) -> None:
    there = tmp_path / "a.txt"
    there.write_bytes(b"before")
    gateway = Gateway().on(FILES, page(listed(b"right"))).on(FILE, lambda _: httpx.Response(200, content=b"wrong"))
    with client(gateway) as connected, pytest.raises(ChecksumMismatch, match=r"a\.txt: 5 bytes"):
        connected.evaluations.download("e1", "a.txt", to=there)
    assert there.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [there]


def test_a_missing_file_says_which_there_are(tmp_path: Path) -> None:
    with (
        client(Gateway().on(FILES, page(listed(b"x", "b.txt")))) as connected,
        pytest.raises(NotFound, match=r"no file 'a\.txt'; there are: b\.txt"),
    ):
        connected.evaluations.download("e1", "a.txt", to=tmp_path)


def test_a_files_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    with (
        client(Gateway().on(FILES, page(listed(b"x", "../a.txt")))) as connected,
        pytest.raises(InvalidInput, match="not a plain file name"),
    ):
        connected.evaluations.download("e1", "../a.txt", to=tmp_path)
