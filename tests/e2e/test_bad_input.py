"""Each wrong input is refused with problem+json that says what and where, and leaves nothing behind."""

import io
import zipfile
from typing import Any

import httpx
import pytest

from tests.running import WORD_PROBLEMS, RunningStack

MANIFEST = """
slug: broken
title: Broken
prompt: {template: "{{ question }}"}
phases: [{name: dev, data: dev.jsonl, fields: {id: id, input: question, target: answer}}]
scoring: {scorer: numeric}
"""
ROWS = '{"id": "a", "question": "1+1?", "answer": "2"}\n{"id": "b", "question": "2+2?", "answer": "4"}\n'


def bundle(manifest: str | None = MANIFEST, rows: str | None = ROWS, **files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        if manifest is not None:
            archive.writestr("environment.yaml", manifest)
        if rows is not None:
            archive.writestr("dev.jsonl", rows)
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def zip_of(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("environment.yaml", MANIFEST)
        archive.writestr(name, data)
    return out.getvalue()


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


def said(body: dict[str, Any]) -> str:
    """Everything that a reader of the problem sees."""
    return f"{body['detail']} " + " ".join(f"{error['loc']} {error['msg']}" for error in body.get("errors", []))


BAD_BUNDLES: dict[str, tuple[bytes, list[str]]] = {
    "not a zip": (b"hello", ["zip"]),
    "no manifest": (bundle(manifest=None), ["environment.yaml"]),
    "broken YAML": (bundle(manifest="slug: [1"), ["environment.yaml", "line"]),
    "not a mapping": (bundle(manifest="- 1"), ["environment.yaml"]),
    "an unknown key": (bundle(manifest=MANIFEST + "scorring: 1\n"), ["scorring", "scoring"]),
    "a missing data file": (bundle(rows=None), ["dev.jsonl"]),
    "a broken line": (bundle(rows=ROWS + "{nope\n"), ["dev.jsonl", "3"]),
    "a field that items lack": (bundle(rows='{"id": "a", "question": "?"}\n'), ["answer", "1"]),
    "duplicate ids": (bundle(rows=ROWS + ROWS), ["'a'", "1", "3"]),
    "an unknown scorer": (bundle(manifest=MANIFEST.replace("numeric", "numerics")), ["scorer", "numeric"]),
    "an undefined name": (bundle(manifest=MANIFEST.replace("{{ question }}", "{{ qestion }}")), ["qestion"]),
    "an endless template": (
        bundle(
            manifest=MANIFEST.replace(
                "{{ question }}",
                "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
            )
        ),
        ["template", "endless loop"],
    ),
    "a target without a number": (
        bundle(rows='{"id": "a", "question": "?", "answer": "four"}\n'),
        ["answer", "number"],
    ),
    "no items": (bundle(rows=""), ["dev.jsonl"]),
    "zip slip": (zip_of("../evil.txt", b"x"), ["../evil.txt"]),
    "an absolute path": (zip_of("/etc/evil", b"x"), ["/etc/evil"]),
    "a bomb": (zip_of("dev.jsonl", b"0" * 200_000_000), ["dev.jsonl"]),
}


@pytest.mark.parametrize("name", BAD_BUNDLES)
def test_a_bad_bundle(stack: RunningStack, name: str) -> None:
    data, words = BAD_BUNDLES[name]
    answer = httpx.post(f"{stack.url}/v1/environments", files={"bundle": ("b.zip", data)}, timeout=60)
    assert answer.status_code in (413, 422), answer.text
    text = said(problem(answer, answer.status_code))
    for word in words:
        assert word in text
    slugs = [environment.slug for environment in stack.client.environments.list()]
    assert "broken" not in slugs


def test_links_in_a_bundle(stack: RunningStack) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("environment.yaml", MANIFEST)
        link = zipfile.ZipInfo("dev.jsonl")
        link.create_system = 3
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    answer = httpx.post(f"{stack.url}/v1/environments", files={"bundle": ("b.zip", out.getvalue())}, timeout=60)
    assert "dev.jsonl" in said(problem(answer, 422))


def test_the_same_bundle_twice_is_the_same_version(stack: RunningStack) -> None:
    first = stack.client.environments.push(WORD_PROBLEMS)
    again = stack.client.environments.push(WORD_PROBLEMS)
    assert first.version == again.version
    detail = stack.client.environments.get("word-problems")
    assert [entry.version for entry in detail.versions].count(first.version) == 1


def test_no_bundle_at_all(stack: RunningStack) -> None:
    assert "bundle" in said(problem(httpx.post(f"{stack.url}/v1/environments", files={"file": ("b.zip", b"x")}), 422))


BAD_REQUESTS: dict[str, tuple[str, str, Any, int, str]] = {
    "unknown environment": ("POST", "/v1/evaluations", {"environment": "nope", "models": ["m"]}, 404, "nope"),
    "unknown model": ("POST", "/v1/evaluations", {"environment": "word-problems", "models": ["mnope"]}, 404, "mnope"),
    "no models": ("POST", "/v1/evaluations", {"environment": "word-problems", "models": []}, 422, "models"),
    "unknown field": ("POST", "/v1/evaluations", {"environment": "x", "models": ["m"], "modles": 1}, 422, "modles"),
    "limit of nought": ("POST", "/v1/evaluations", {"environment": "x", "models": ["m"], "limit": 0}, 422, "limit"),
    "unknown evaluation": ("GET", "/v1/evaluations/e0000", None, 404, "e0000"),
    "unknown number": ("GET", "/v1/evaluations/999999", None, 404, "999999"),
    "unknown file's evaluation": ("GET", "/v1/evaluations/999999/files/a", None, 404, "999999"),
    "events of nothing": ("GET", "/v1/evaluations/e0000/events", None, 404, "e0000"),
    "cancel of nothing": ("POST", "/v1/evaluations/e0000/cancel", None, 404, "e0000"),
    "unknown environment's items": ("GET", "/v1/environments/nope/items", None, 404, "nope"),
    "unknown model's probe": ("POST", "/v1/models/mnope/probe", None, 404, "mnope"),
    "unknown route": ("GET", "/v1/nope", None, 404, ""),
    "wrong method": ("DELETE", "/v1/environments", None, 405, ""),
    "bad cursor": ("GET", "/v1/evaluations?cursor=%21%21", None, 400, "cursor"),
    "bad limit": ("GET", "/v1/evaluations?limit=5000", None, 422, "limit"),
    "bad status": ("GET", "/v1/evaluations?status=asleep", None, 422, "status"),
    "bad after": ("GET", "/v1/events?after=soon", None, 400, "after"),
    "not a URL": ("POST", "/v1/models", {"name": "a", "base_url": "ftp://x", "model": "a"}, 422, "base_url"),
    "metadata": (
        "POST",
        "/v1/models",
        {"name": "a", "base_url": "http://169.254.169.254/v1", "model": "a"},
        422,
        "base_url",
    ),
    "bad source": (
        "POST",
        "/v1/models",
        {"name": "a", "source": "x", "base_url": "http://a/v1", "model": "a"},
        422,
        "source",
    ),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request(stack: RunningStack, name: str) -> None:
    stack.push_sample_environment()
    method, path, body, status, word = BAD_REQUESTS[name]
    before = len(list(stack.client.models.list())), len(list(stack.client.evaluations.list()))
    answer = httpx.request(method, stack.url + path, json=body)
    assert word in said(problem(answer, status))
    assert before == (len(list(stack.client.models.list())), len(list(stack.client.evaluations.list())))


def test_broken_json(stack: RunningStack) -> None:
    headers = {"Content-Type": "application/json"}
    problem(httpx.post(f"{stack.url}/v1/models", content=b'{"name": ', headers=headers), 400)


def test_a_wrong_field_is_named_without_its_value(stack: RunningStack) -> None:
    body = {"name": "a", "base_url": "http://127.0.0.1:1/v1", "model": "a", "api_key": ["sk-very-secret"]}
    answer = httpx.post(f"{stack.url}/v1/models", json=body)
    assert problem(answer, 422)["errors"][0]["loc"][-1] == "api_key"
    assert "sk-very-secret" not in answer.text


def test_an_idempotency_key_gives_the_first_answer_again_and_no_other(stack: RunningStack) -> None:
    stack.push_sample_environment()
    model = stack.add_model("sample-95")
    body = {"environment": "word-problems", "models": [model.id], "limit": 3}
    headers = {"Idempotency-Key": "the-same"}
    first = httpx.post(f"{stack.url}/v1/evaluations", json=body, headers=headers)
    again = httpx.post(f"{stack.url}/v1/evaluations", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    other = httpx.post(f"{stack.url}/v1/evaluations", json={**body, "limit": 4}, headers=headers)
    assert "Idempotency-Key" in said(problem(other, 409))
    # A refused request has used up no key.
    wrong = {**body, "environment": "nope"}
    problem(httpx.post(f"{stack.url}/v1/evaluations", json=wrong, headers={"Idempotency-Key": "other"}), 404)
    assert httpx.post(f"{stack.url}/v1/evaluations", json=body, headers={"Idempotency-Key": "other"}).status_code == 202
