"""Which addresses of endpoints may be registered: http(s), and where `shared.networks` lets them lead."""

import asyncio
import re

import httpx

from shared.errors import FieldError, Invalid
from shared.networks import NEVER, Networks, Resolve, as_address, refused_name, resolve

RESOLVE_TIMEOUT_S = 1.0

_USER = re.compile(r"[^/]*//[^/?#]*@")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")


async def check_base_url(base_url: str, networks: Networks, resolve: Resolve = resolve) -> str:
    """The address without a trailing slash; raises `Invalid` saying what is wrong with it and what would be right.

    It is read by what the calls read it with, so that both mean the same host.
    """
    text = base_url.strip()
    if _USER.match(text):
        raise _invalid("must not hold a user or password; give the key as api_key")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise _invalid(f"is not a URL: {error}") from error
    host = url.raw_host.decode("ascii")
    if url.scheme not in ("http", "https") or not host:
        raise _invalid("must be an http or https URL such as http://127.0.0.1:11434/v1")
    if not _HOST.fullmatch(host) or not (url.port is None or 1 <= url.port <= 65535):
        raise _invalid("must name a host, and a port from 1 to 65535, such as http://127.0.0.1:11434/v1")
    if "?" in text or "#" in text:
        raise _invalid("must end with a path such as /v1, without ? or #")
    if url.path.rstrip("/").endswith(("/chat/completions", "/completions")):
        raise _invalid("must end before /chat/completions, such as http://127.0.0.1:11434/v1")
    if refused_name(host):
        raise _invalid(f"leads to {NEVER}")
    for address in await _addresses(host.rstrip("."), url.port or 0, resolve):
        if refusal := networks.refusal(as_address(address)):
            raise _invalid(f"leads to {refusal}")
    return text.rstrip("/")


def same_server(changed: str | None, present: str) -> bool:
    """Whether two addresses that were checked have the same scheme, host and port; None is no change."""
    first, second = httpx.URL(changed or present), httpx.URL(present)
    return (first.scheme, first.raw_host, first.port) == (second.scheme, second.raw_host, second.port)


async def _addresses(host: str, port: int, resolve: Resolve) -> list[str]:
    """What the host stands for. A name that does not resolve now has none: it is asked about again when it is called."""
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            return await resolve(host, port)
    except (TimeoutError, OSError, UnicodeError):
        return []


def _invalid(message: str) -> Invalid:
    error: FieldError = {"loc": ["base_url"], "msg": message}
    return Invalid(f"base_url {message}", [error])
