"""What an evaluation's owner sees of its judge's questions, on a real broker; and which judge an evaluation gets, on a real database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from services.orchestrator import creation, recovery
from shared import subjects
from shared.api import EvaluationCreate
from shared.contracts import message_id
from shared.errors import Invalid, NotFound
from shared.service import Service
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.mongo import Database, Document

JUDGED = {"scorer": "judge", "rubric": "{{ output }}"}


@pytest.fixture
async def service(stores: Settings) -> AsyncIterator[Service]:
    service = Service("judgetest", stores)
    await service.connect()
    yield service
    await service.broker.stop()


@pytest.fixture
async def database(stores: Settings) -> AsyncIterator[Database]:
    name = f"judge-{uuid4().hex[:8]}"
    client = mongo.connect(stores)
    await mongo.provision(client[name])
    yield client[name]
    await client.drop_database(name)
    client.close()


def evaluation(**fields: Any) -> Document:
    own = {"_id": f"e{uuid4().hex}", "model": "m1", "judge": "m1", "round": 0, "samples_per_item": 1}
    return {**own, "scoring": JUDGED, **fields}


async def question(service: Service, document: Document, index: int) -> None:
    sent = f"{message_id(document['_id'], index, 0, 0, 0)}:judge:0"
    subject = subjects.judge_job(document["judge"], document["_id"])
    await service.js.publish(subject, b"{}", headers={"Nats-Msg-Id": sent})


async def test_a_question_to_the_judge_is_out_and_swept_at_the_end(service: Service, database: Database) -> None:
    document = evaluation()
    assert await recovery.waiting(service.js, document) == 0
    for index in range(3):
        await question(service, document, index)
    # Once, though the owner looks at these queues twice.
    assert await recovery.waiting(service.js, document) == 3
    assert await recovery.dispatched(database, service.js, document) == 3
    await recovery.sweep(service.js, document)
    assert await recovery.waiting(service.js, document) == 0


async def test_questions_of_a_model_that_judges_itself_are_told_from_its_jobs(service: Service) -> None:
    document = evaluation()
    await service.js.publish(subjects.job("m1", document["_id"]), b"{}")
    await question(service, document, 0)
    assert await recovery.waiting(service.js, document) == 2
    assert await recovery.waiting(service.js, {**document, "judge": None}) == 1
    await recovery.sweep(service.js, document)


async def create(database: Database, scoring: dict[str, Any], judge: str | None) -> Document:
    slug = f"s{uuid4().hex[:8]}"
    manifest = {
        "slug": slug,
        "title": "S",
        "prompt": {"template": "{{ input }}"},
        "phases": [{"name": "dev", "data": "dev.jsonl"}],
        "scoring": scoring,
    }
    await database["environments"].insert_one(
        {
            "_id": f"{slug}@v",
            "slug": slug,
            "version": "v",
            "title": "S",
            "manifest": manifest,
            "phases": [{"name": "dev", "items": 2}],
            "created_at": datetime.now(UTC),
        }
    )
    for model_id, name in (("m1", "answers"), ("m2", "judges")):
        model = {"name": name, "source": "running", "base_url": "http://127.0.0.1:9/v1", "model": name}
        limits = {"max_concurrency": 4, "timeout_s": 60, "connect_timeout_s": 5, "max_attempts": 5, "api_key": "secret"}
        await database["models"].replace_one(
            {"_id": model_id}, {**model, **limits, "created_at": datetime.now(UTC)}, upsert=True
        )
    (document,) = await creation.create_evaluations(
        database, EvaluationCreate(environment=slug, models=["m1"], judge=judge), None
    )
    return document


async def test_the_judge_is_the_one_asked_for_or_the_manifests(database: Database) -> None:
    asked = await create(database, JUDGED, "m2")
    named = await create(database, {**JUDGED, "model": "judges"}, None)
    for document in (asked, named):
        assert (document["judge"], document["judge_name"]) == ("m2", "judges")
        assert document["judge_settings"]["model"] == "judges"
        assert "secret" not in str(document["judge_settings"])
    itself = await create(database, {**JUDGED, "model": "judges"}, "m1")
    assert itself["judge"] == "m1"
    plain = await create(database, {"scorer": "numeric"}, None)
    assert plain["judge"] is None


@pytest.mark.parametrize(
    ("scoring", "judge", "kind", "words"),
    [
        (JUDGED, None, Invalid, "choose one as judge"),
        (JUDGED, "m9", NotFound, "there is no model m9 to judge"),
        ({**JUDGED, "model": "gone"}, None, NotFound, "there is no model named gone"),
        ({"scorer": "numeric"}, "m2", Invalid, "scorer is numeric, which asks no judge"),
    ],
)
async def test_without_a_judge_it_is_said_how_to_give_one(
    database: Database, scoring: dict[str, Any], judge: str | None, kind: type[Invalid | NotFound], words: str
) -> None:
    with pytest.raises(kind) as caught:
        await create(database, scoring, judge)
    assert words in caught.value.detail
    assert caught.value.errors[0]["loc"] == ["judge"]
