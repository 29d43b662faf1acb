"""Signing in with an API key, where keys are configured: the browser then holds a session, never the key.

A session is `<expires>.<HMAC-SHA256 of it under the key's hash>`, in a cookie that no script can read and no other site's page
can make a browser send. It needs no store: every gateway knows the hashes, and a key that is taken out of ASSAY_API_KEYS
ends its sessions.
"""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from gateway.auth import SESSION_COOKIE, SESSION_S, new_session
from gateway.web.render import page

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
async def show_sign_in(request: Request, next: str = "/") -> Response:
    return page(request, "sign_in.html", next=local(next), wrong=False)


@router.post("/sign-in")
async def sign_in(request: Request, key: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/") -> Response:
    session = new_session(request.app.state.keys, key.strip())
    if session is None:
        return page(request, "sign_in.html", status=401, next=local(next), wrong=True)
    answer = RedirectResponse(local(next), 303)
    answer.set_cookie(
        SESSION_COOKIE,
        session,
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/sign-out")
async def sign_out() -> Response:
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(SESSION_COOKIE)
    return answer


def local(address: str) -> str:
    """An address of this site, or `/`: what follows signing in must not lead elsewhere."""
    safe = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if safe else "/"
