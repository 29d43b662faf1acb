"""Which endpoint addresses may be registered: http(s), and nothing that leads to link-local or metadata services.

Those hand out a machine's credentials to whoever asks from it (the classic server-side request forgery).
"""

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

from shared.errors import FieldError, Invalid

RESOLVE_TIMEOUT_S = 2.0

METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(address)
    for address in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def refused(address: Address) -> bool:
    """Whether an address is link-local, a metadata service, or no address of a host at all."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return refused(inner)
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in METADATA_ADDRESSES


async def check_base_url(base_url: str) -> str:
    """The address without a trailing slash; raises `Invalid` saying what is wrong with it and what would be right."""
    try:
        parts = urlsplit(base_url.strip())
        host, _ = parts.hostname, parts.port
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
    if host.rstrip(".").lower() in METADATA_NAMES or any(refused(address) for address in await _addresses(host)):
        raise _invalid("leads to a link-local or metadata address, which is never called")
    return base_url.strip().rstrip("/")


async def _addresses(host: str) -> list[Address]:
    """What the host stands for. A name that does not resolve now has none: it is checked again by the call failing."""
    try:
        return [ipaddress.ip_address(host.split("%", 1)[0])]
    except ValueError:
        pass
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (TimeoutError, OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(entry[4][0]).split("%", 1)[0]) for entry in found]


def _invalid(message: str) -> Invalid:
    error: FieldError = {"loc": ["base_url"], "msg": message}
    return Invalid(f"base_url {message}", [error])
