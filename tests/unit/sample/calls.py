"""Calls to the sample endpoint, as its tests make them."""

import json
from typing import Any

import httpx

QUESTION = "Ada buys 3 pens at $2 each and 1,200 mugs at $4.50 each. How many dollars does Ada spend?"
NUMBER = "5,406"


def chat(prompt: str = QUESTION, model: str = "good", **more: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    messages = [{"role": "system", "content": "Be exact."}, {"role": "user", "content": prompt}]
    return {"model": model, "messages": messages, **more}


async def ask(client: httpx.AsyncClient, prompt: str = QUESTION, model: str = "good", **more: Any) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=chat(prompt, model, **more))


def content(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    text = response.json()["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


def chunks(response: httpx.Response) -> list[dict[str, Any]]:
    """The events of a streamed answer, which has to end in `[DONE]`."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


async def behave(client: httpx.AsyncClient, **fields: Any) -> None:
    response = await client.post("/behaviour", json=fields)
    assert response.status_code == 200, response.text
