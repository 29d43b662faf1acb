"""How a call of a sample model is served: answered, refused, or let down as the model's behaviour says."""

import asyncio

from aiohttp import web

from assay.sample_behaviour import GOOD, Behaviour, Fate
from assay.sample_call import Call
from assay.sample_model import Answer
from assay.sample_responses import error_response
from assay.sample_solver import Solver


async def serve(request: web.BaseRequest, call: Call, solver: Solver) -> web.StreamResponse:
    """Answer the call, or don't, and count in its model's tally how it ended. A hung call ends with its client: by cancellation."""
    served = call.served
    if not served.has_room():
        served.tally.refused_429 += 1
        refusal = error_response(429, "Rate limit reached", code="rate_limit_exceeded", kind="rate_limit_error")
        if (after := served.behaviour.retry_after_s) is not None:
            refusal.headers["Retry-After"] = f"{after:g}"
        return refusal
    served.tally.asked[call.digest] += 1
    nth = served.tally.asked[call.digest]
    fate: Fate | None = None
    try:
        if not served.gate.is_set():
            await served.gate.wait()
        behaviour = served.behaviour
        if behaviour is GOOD:
            answer = call.served.model.answer(solver.look_up(call.prompt))
            _count(call, answer)
            return _whole(call, answer.text, GOOD)
        if delay := behaviour.delay_s(call.prompt, nth, served.tally.in_flight):
            await asyncio.sleep(delay)
        fate = behaviour.fate(call.prompt, nth)
        return await _misbehave(request, call, solver, behaviour, fate)
    except (asyncio.CancelledError, ConnectionError):
        if fate not in ("hang", "cut", "malformed"):
            served.tally.abandoned += 1
        raise


async def _misbehave(
    request: web.BaseRequest, call: Call, solver: Solver, behaviour: Behaviour, fate: Fate
) -> web.StreamResponse:
    tally = call.served.tally
    if behaviour.error_400 is not None and behaviour.error_400 in call.prompt:
        tally.errors_400 += 1
        return error_response(
            400, "The prompt was refused by the content filter", code="content_filter", param="prompt"
        )
    if fate == "error_500":
        tally.errors_500 += 1
        if behaviour.html_errors:
            return web.Response(
                text="<html><body><h1>500 Internal Server Error</h1></body></html>",
                status=500,
                content_type="text/html",
            )
        return error_response(500, "The server had an error while processing your request", kind="server_error")
    if fate == "malformed":
        tally.malformed += 1
        broken = b'{"id": "chatcmpl-broken", "choices": [{"index": 0, '
        if call.stream:
            return web.Response(body=b"data: " + broken + b"\n\ndata: [DONE]\n\n", content_type="text/event-stream")
        return web.Response(body=broken, content_type="application/json")
    answer = call.served.model.answer(solver.look_up(call.prompt))
    if fate == "hang":
        tally.hung += 1
        if call.stream and behaviour.hang_after_tokens:
            said = call.events(answer.text, behaviour)[: behaviour.hang_after_tokens + call.chat]
            await _stream(request, said, behaviour.token_ms)
        await asyncio.get_running_loop().create_future()
    if fate == "cut":
        tally.cut += 1
        return await _cut(request, call, answer.text, behaviour)
    if fate == "empty":
        answer = Answer("", answer.verdict)
    response: web.StreamResponse
    if call.stream and behaviour.token_ms:
        response = await _stream(request, call.events(answer.text, behaviour), behaviour.token_ms)
    else:
        response = _whole(call, answer.text, behaviour)
    _count(call, answer)
    return response


def _count(call: Call, answer: Answer) -> None:
    tally = call.served.tally
    tally.answered += 1
    if not answer.text:
        tally.empty += 1
    elif answer.verdict == "right":
        tally.right += 1
        tally.answered_right.add(call.digest)
    elif answer.verdict == "wrong":
        tally.wrong += 1
    else:
        tally.unknown += 1


def _whole(call: Call, text: str, behaviour: Behaviour) -> web.Response:
    """The answer in one piece, as events where a stream was asked for."""
    if call.stream:
        return web.Response(body=b"".join(call.events(text, behaviour)), content_type="text/event-stream")
    return web.Response(body=call.body(text, behaviour), content_type="application/json")


async def _stream(request: web.BaseRequest, events: list[bytes], token_ms: float) -> web.StreamResponse:
    """The events one by one."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        if token_ms:
            await asyncio.sleep(token_ms / 1000)
        await response.write(event)
    return response


async def _cut(request: web.BaseRequest, call: Call, text: str, behaviour: Behaviour) -> web.StreamResponse:
    """Half of the answer, then the end of the connection: the body is shorter than its header says."""
    whole = _whole(call, text, behaviour)
    assert isinstance(whole.body, bytes)
    response = web.StreamResponse(headers={"Content-Type": whole.content_type, "Content-Length": str(len(whole.body))})
    await response.prepare(request)
    await response.write(whole.body[: len(whole.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
