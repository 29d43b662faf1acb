"""No secret anywhere: keys that are used are looked for in all that is stored, said, logged and answered."""

import asyncio
import io
import itertools
import re
import subprocess
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import nats
from nats.aio.msg import Msg

from shared.api import Evaluation
from shared.settings import Settings
from shared.storage import mongo
from tests.parrot import Handler, Parrot
from tests.running import MARKED_KEY, MARKED_TOKEN, RunningStack

GIVEN_KEY = "sk-marked-and-given-0123456789"
SECRETS = [secret.encode() for secret in (GIVEN_KEY, MARKED_KEY, MARKED_TOKEN)]


class Spiteful(Handler):
    """Says the key that it was sent wherever something can be said."""

    seen: set[str]
    turns: Iterator[int]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Authorization"].removeprefix("Bearer ")
        self.seen.add(key)
        said = f"{'-' * 480} {key} is the key"  # cut in its midst where messages are
        match next(self.turns) % 5:
            case 0:
                self.answer({"error": {"message": said}}, 500)
            case 1:
                self.answer({"error": f"{key} {said}"}, 400)
            case 2:
                self.close_connection = True
                self.wfile.write(f"{key} is no HTTP\r\n\r\n".encode())
            case 3:
                message = {"content": f"{said}: 7", "reasoning_content": key}
                self.answer({"choices": [{"message": message, "finish_reason": key}]})
            case _:
                self.answer({"choices": key, "error": key})


def evaluate(stack: RunningStack) -> list[Evaluation]:
    """A model with a key, one with the name of a variable, and one with the deployment's token for Hugging Face's router, to the end; and
    requests that are refused with a key in them."""
    stack.push_sample_environment()
    Spiteful.seen, Spiteful.turns = set(), itertools.count()
    with Parrot(handler=Spiteful, port=urlsplit(stack.environment["ASSAY_HF_ROUTER_URL"]).port or 0) as parrot:
        limits: Any = {"model": "parrot", "max_attempts": 2, "max_concurrency": 4}
        settings: Any = {"base_url": parrot.base_url, **limits}
        models = [
            stack.client.models.add("given", api_key=GIVEN_KEY, **settings),
            stack.client.models.add("named", api_key_env="MARKED_API_KEY", **settings),
            stack.client.models.add("routed", source="huggingface", **limits),
        ]
        assert all(model.has_api_key for model in models)
        done = stack.wait(stack.evaluate("word-problems", models, limit=20))
        assert Spiteful.seen == {GIVEN_KEY, MARKED_KEY, MARKED_TOKEN}
    for one in done:
        assert one.status == "completed"
        assert one.progress.scored
        assert one.progress.model_error
    stack.client.models.update(models[1].id, api_key=GIVEN_KEY)
    wrong = {"name": "", "base_url": 1, "model": [], "api_key": GIVEN_KEY, "api_key_env": "MARKED_API_KEY"}
    refused = [
        httpx.post(f"{stack.url}/v1/models", json=wrong),
        httpx.post(f"{stack.url}/v1/models", json={"api_key": [GIVEN_KEY]}),
        httpx.post(f"{stack.url}/v1/models", json={"name": "x", "api_key": GIVEN_KEY + "\n"}),
    ]
    assert [answer.status_code for answer in refused] == [422] * 3
    assert all(GIVEN_KEY not in answer.text for answer in refused)
    return done


def answers(stack: RunningStack, done: list[Evaluation]) -> Iterator[tuple[str, bytes]]:
    """What the API and the pages say of the evaluations and their models, by address: each page, and what it leads to."""
    left = ["/", "/models", "/evaluations", "/operations", "/metrics", "/readyz", "/v1/models", "/v1/parked"]
    about = [one.id for one in done] + [one.model for one in done] + [f"/evaluations/{one.number}" for one in done]
    for one in done:
        left += [f"/models/{one.model}", f"/evaluations/{one.number}"]
        left += [f"/v1/models/{one.model}{rest}" for rest in ("", "/versions", "/log")]
        rest = ("", "/results?limit=100", "/results/0", "/events?limit=1000", "/files")
        left += [f"/v1/evaluations/{one.id}{path}" for path in rest]
    seen = set(left)
    with httpx.Client(base_url=stack.url, timeout=30, headers={"Accept": "text/html, */*"}) as client:
        for address in left:
            answer = client.get(address)
            yield address, answer.content
            if "text/html" in answer.headers.get("content-type", "") and len(seen) < 200:
                linked = {link.replace("&amp;", "&") for link in re.findall(r'href="(/[^"#]*)', answer.text)}
                more = sorted(link for link in linked - seen if any(part in link for part in about))
                seen.update(more)
                left += more


def unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, data
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield from unpacked(f"{name}/{member}", archive.read(member))


async def documents(stack: RunningStack) -> list[tuple[str, bytes]]:
    """Every document, as MongoDB has it before it is compressed."""
    client = mongo.connect(Settings(mongo_url=stack.embedded.environment["ASSAY_MONGO_URL"]))  # type: ignore[arg-type]
    database = client["assay"]
    found = []
    for name in await database.list_collection_names():
        found += [(f"collection {name}", batch) async for batch in database[name].find_raw_batches()]
    client.close()
    return found


async def test_no_secret_is_stored_said_logged_or_answered(stack: RunningStack) -> None:
    messages: list[tuple[str, bytes]] = []

    async def heard(message: Msg) -> None:
        headers = repr(message.headers or {}).encode()
        messages.append((f"message {message.subject}", message.subject.encode() + headers + message.data))

    environment = stack.embedded.environment
    # Whatever any part says to any other, on streams, in buckets, commands and their answers, passes a subscription to everything.
    nc = await nats.connect(environment["ASSAY_NATS_URL"], token=environment["ASSAY_NATS_TOKEN"])
    await nc.subscribe(">", cb=heard)
    await nc.flush()
    try:
        done = await asyncio.to_thread(evaluate, stack)
        answered = await asyncio.to_thread(lambda: [*answers(stack, done)])
        await nc.flush()
    finally:
        await nc.close()
    files = [
        part
        for one in done
        for file in stack.client.evaluations.files(one.id)
        for part in unpacked(f"#{one.number}/{file.name}", stack.file(one, file.name))
    ]
    looked_through = {"messages": messages, "answers": answered, "files": files, "documents": await documents(stack)}
    for kind, parts in looked_through.items():
        assert parts, kind
        assert [(where, secret) for where, data in parts for secret in SECRETS if secret in data] == []
        # Nor the beginning of one, where a text was cut.
        assert [where for where, data in parts if GIVEN_KEY[:20].encode() in data] == [], kind
    # All that any process wrote, logs and the stores' own files.
    patterns = [argument for secret in SECRETS for argument in ("-e", secret.decode())]
    found = subprocess.run(["grep", "-rlaF", *patterns, str(stack.data)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    # What is not looked at shows nothing.
    assert {subject.split()[1].split(".")[0] for subject, _ in messages} >= {"$KV", "jobs", "predictions", "events"}
    assert any(b"api_key" in data for _, data in messages)
    assert any(b"***" in data for _, data in files)
