"""Who may do what: API keys with roles, a browser's sessions, and where there are no keys, what keeps foreign web pages out.

Without keys only a loopback address is served, but a web page open in a browser on the machine reaches that too: by a form or
websocket of another origin, or by a host name that it points at 127.0.0.1 (DNS rebinding). So the name that was asked for must
be a loopback one, and a browser's `Origin` must be the gateway's own.
"""

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from gateway.problems import Forbidden, Unauthorized, respond
from shared.errors import AssayError, Problem
from shared.networks import is_loopback
from shared.settings import Settings

SUBPROTOCOL = "assay.events"
_KEY_SUBPROTOCOL = "assay.bearer."
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

SESSION_COOKIE = "assay_session"
SESSION_S = 7 * 86400

OPEN = frozenset(
    {
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/schemas/environment.json",
        "/sign-in",
        "/sign-out",
        "/favicon.ico",
    }
)
"""What needs no key, beside `/static/`."""


class SetupError(AssayError):
    """The gateway refuses to start; the message says which setting is wrong."""


class Role(IntEnum):
    """Each may do what the ones before it may."""

    VIEWER = 1
    RUNNER = 2
    ADMIN = 3


class Keyring:
    """The configured keys, as hashes only."""

    def __init__(self, configured: str) -> None:
        """`configured` is `role:key,role:key`; raises `SetupError` that names the entry by its place, never by its key."""
        self._hashes: list[tuple[bytes, Role]] = []
        entries = configured.split(",") if configured.strip() else []
        for place, entry in enumerate(entries, 1):
            role, _, key = entry.strip().partition(":")
            if role.upper() not in Role.__members__ or not key.strip():
                raise SetupError(
                    f"ASSAY_API_KEYS: entry {place} must be role:key, with viewer, runner or admin as the role"
                )
            self._hashes.append((_hash(key.strip()), Role[role.upper()]))

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def role(self, key: str) -> Role | None:
        """The role of a key. Compares with every hash in constant time, so that how long it takes says nothing."""
        found = None
        given = _hash(key)
        for known, role in self._hashes:
            if hmac.compare_digest(given, known):
                found = role
        return found

    def role_of_session(self, session: str, now: float) -> Role | None:
        """The role of the key that a session stands for; None where it is over, forged, or its key is no longer known."""
        expires, _, signature = session.partition(".")
        if not (expires.isascii() and expires.isdecimal() and len(expires) < 16 and now < int(expires)):
            return None
        found = None
        for known, role in self._hashes:
            if hmac.compare_digest(_sign(known, expires).encode(), signature.encode()):
                found = role
        return found


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _sign(key_hash: bytes, expires: str) -> str:
    return hmac.new(key_hash, b"assay session " + expires.encode(), hashlib.sha256).hexdigest()


def new_session(keys: Keyring, key: str) -> str | None:
    """A session for a browser that has shown a key: `<expires>.<signature>`; None where the key is not known."""
    if keys.role(key) is None:
        return None
    expires = str(int(time.time()) + SESSION_S)
    return f"{expires}.{_sign(_hash(key), expires)}"


def check_settings(settings: Settings) -> Keyring:
    """The keys; raises `SetupError` for bad ones, and for none where not only this machine would be served."""
    keys = Keyring(settings.api_keys.get_secret_value())
    if not keys and not is_loopback(settings.host):
        raise SetupError(
            f"ASSAY_HOST is {settings.host!r} and no ASSAY_API_KEYS are set: without keys only a loopback address "
            "such as 127.0.0.1 is served"
        )
    return keys


def foreign(method: str | None, headers: Headers) -> str | None:
    """Why a request may come from a foreign web page, or None. `method` is None for a websocket."""
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        return "without API keys the gateway answers only to a loopback name such as localhost; Host is another"
    if of_another_page(method, headers):
        return "without API keys the gateway takes this only from its own pages; Origin is another"
    return None


def of_another_page(method: str | None, headers: Headers) -> bool:
    """Whether a page of another origin sends what may change or reveal something (`method` is None for a websocket)."""
    origin, host = headers.get("origin"), headers.get("host", "")
    return method not in _SAFE_METHODS and origin is not None and origin.partition("://")[2].lower() != host.lower()


def given_key(headers: Headers, subprotocols: list[str]) -> str | None:
    """The key of a request: `Authorization: Bearer`, or the subprotocol `assay.bearer.<key>` of a browser's websocket."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    for subprotocol in subprotocols:
        if subprotocol.startswith(_KEY_SUBPROTOCOL):
            return subprotocol.removeprefix(_KEY_SUBPROTOCOL)
    return None


def chosen_subprotocol(offered: list[str]) -> str | None:
    """What a websocket is accepted with: a browser gives up where none of those it offered is chosen."""
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    return next((name for name in offered if name.startswith(_KEY_SUBPROTOCOL)), None)


class Guard:
    """ASGI middleware: lets nobody in without a key or a session, before anything of the body is read, and notes the role."""

    def __init__(self, app: ASGIApp, keys: Keyring) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            state = scope.setdefault("state", {})
            try:
                state["role"], state["signed_in"] = self._admit(scope)
            except Problem as problem:
                path = scope["path"]
                if path in OPEN or path.startswith("/static/"):
                    state["role"], state["signed_in"] = None, False
                elif isinstance(problem, Unauthorized) and wants_page(scope):
                    query = scope["query_string"].decode("latin-1")
                    here = quote(f"{path}?{query}" if query else path, safe="/")
                    await RedirectResponse(f"/sign-in?next={here}", 303)(scope, receive, send)
                    return
                else:
                    await _refuse(respond(problem), scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> tuple[Role, bool]:
        """The role, and whether it comes from a session."""
        headers = Headers(scope=scope)
        if not self._keys:
            if reason := foreign(scope.get("method"), headers):
                raise Forbidden(reason)
            return Role.ADMIN, False
        key = given_key(headers, scope.get("subprotocols", []))
        if key is not None:
            role = self._keys.role(key)
            if role is None:
                raise Unauthorized("this API key is not known")
            return role, False
        session = cookie_parser(headers.get("cookie", "")).get(SESSION_COOKIE)
        role = self._keys.role_of_session(session, time.time()) if session else None
        if role is None:
            raise Unauthorized("an API key is needed: Authorization: Bearer <key>")
        if of_another_page(scope.get("method"), headers):
            raise Forbidden("a session is taken only from the gateway's own pages; Origin is another")
        return role, True


def wants_page(scope: Scope) -> bool:
    """Whether a person's browser asks for a page, rather than a program for the API."""
    return (
        scope["type"] == "http"
        and not scope["path"].startswith("/v1")
        and "text/html" in Headers(scope=scope).get("accept", "")
    )


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(response)
    else:
        await response(scope, receive, send)


_bearer = HTTPBearer(auto_error=False, description="An API key of ASSAY_API_KEYS. Not needed where none is configured.")


def current_role(connection: HTTPConnection) -> Role:
    role: Role = connection.state.role
    return role


CurrentRole = Annotated[Role, Depends(current_role)]


def sees_targets(role: Role, hiding: Mapping[str, Any]) -> bool:
    """Whether a role may see gold answers, and what tells them, of a phase or of an evaluation of it, by its document."""
    return role >= Role.ADMIN or not hiding.get("hide_targets")


def need(role: Role) -> Callable[..., Awaitable[None]]:
    """A dependency that lets only this role and those above it through."""

    async def check(
        request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
    ) -> None:
        if current_role(request) < role:
            raise Forbidden(
                f"this needs the role {role.name.lower()}; the key's is {current_role(request).name.lower()}"
            )

    return check


VIEWER, RUNNER, ADMIN = (Depends(need(role)) for role in Role)
