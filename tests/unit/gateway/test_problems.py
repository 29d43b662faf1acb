"""What a client is told, and what not."""

import json

from pydantic import ValidationError
from pymongo.errors import ServerSelectionTimeoutError

from gateway.problems import from_exception, from_request_validation, respond
from shared.api import ModelCreate
from shared.errors import Conflict, Unavailable
from shared.storage.objects import ObjectStoreError


def test_a_wrong_field_is_named_and_its_value_is_not() -> None:
    body = {"name": "a", "base_url": "http://a/v1", "model": "a", "api_key": ["very-secret"], "price": {"input": "x"}}
    try:
        ModelCreate.model_validate(body)
    except ValidationError as error:
        found = [{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors()]
    problem = from_request_validation(found)
    assert problem.status == 422
    assert [error["loc"] for error in problem.errors] == [["api_key"], ["price", "input"]]
    assert "api_key" in problem.detail
    assert "very-secret" not in json.dumps(problem.as_dict())


def test_broken_json_is_a_bad_request() -> None:
    error = {
        "type": "json_invalid",
        "loc": ("body", 9),
        "msg": "JSON decode error",
        "ctx": {"error": "Expecting value"},
    }
    problem = from_request_validation([error])
    assert problem.status == 400
    assert "Expecting value at character 9" in problem.detail


def test_a_missing_body_is_named() -> None:
    problem = from_request_validation([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
    assert problem.status == 422
    assert "the body" in problem.detail


def test_outages_name_the_part() -> None:
    mongodb = from_exception(ServerSelectionTimeoutError("10.0.0.1:27017: connection refused"))
    assert (mongodb.status, mongodb.detail) == (503, "mongodb does not answer")
    objects = from_exception(ObjectStoreError("the object store does not answer"))
    assert objects.status == 503
    assert "object store" in objects.detail


def test_what_is_unforeseen_tells_nothing() -> None:
    problem = from_exception(RuntimeError("password=very-secret"))
    assert problem.status == 500
    assert "very-secret" not in json.dumps(problem.as_dict())


def test_a_problem_is_itself() -> None:
    problem = Conflict("already there")
    assert from_exception(problem) is problem


def test_an_outage_says_when_to_come_back() -> None:
    answer = respond(Unavailable("mongodb does not answer"), parts={"mongodb": "does not answer"})
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(bytes(answer.body))["parts"] == {"mongodb": "does not answer"}
