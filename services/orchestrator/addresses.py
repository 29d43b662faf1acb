"""Which addresses of endpoints may be registered: http(s), and where `shared.networks` lets them lead."""

import asyncio
from urllib.parse import urlsplit

from shared.errors import FieldError, Invalid
from shared.networks import METADATA_NAMES, Networks, as_address, resolve

RESOLVE_TIMEOUT_S = 1.0


async def check_base_url(base_url: str, networks: Networks) -> str:
    """The address without a trailing slash; raises `Invalid` saying what is wrong with it and what would be right."""
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _invalid(f"is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise _invalid("must be an http or https URL such as http://127.0.0.1:11434/v1")
    if parts.username or parts.password:
        raise _invalid("must not hold a user or password; give the key as api_key")
    if parts.query or parts.fragment:
        raise _invalid("must end with a path such as /v1, without ? or #")
    if parts.path.rstrip("/").endswith(("/chat/completions", "/completions")):
        raise _invalid("must end before /chat/completions, such as http://127.0.0.1:11434/v1")
    if host.rstrip(".").lower() in METADATA_NAMES:
        raise _invalid("leads to a link-local or metadata address, which is never called")
    for address in await _addresses(host, port or 0):
        if refusal := networks.refusal(as_address(address)):
            raise _invalid(f"leads to {refusal}")
    return base_url.strip().rstrip("/")


async def _addresses(host: str, port: int) -> list[str]:
    """What the host stands for. A name that does not resolve now has none: it is asked about again when it is called."""
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            return await resolve(host, port)
    except (TimeoutError, OSError, UnicodeError):
        return []


def _invalid(message: str) -> Invalid:
    error: FieldError = {"loc": ["base_url"], "msg": message}
    return Invalid(f"base_url {message}", [error])
