"""Which addresses endpoints may have, asked when a model is registered and again whenever a connection to one is made.

A name may lead somewhere else by then (DNS rebinding), so a connection is made to the very address that was asked about. Link-local
and metadata addresses hand out a machine's credentials to whoever asks from it (server-side request forgery) and are never called.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(address)
    for address in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""A host's addresses by its name and a port. Raises `OSError` where there are none."""


def read_networks(text: str) -> tuple[Network, ...]:
    """From a setting: networks (`10.0.0.0/8`) or addresses, separated by commas. Raises `ValueError` that names the wrong one."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise ValueError(f"{part!r} is no network such as 10.0.0.0/8: {error}") from error
    return tuple(found)


def is_loopback(host: str) -> bool:
    """Whether a host name or address, without port, can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Networks:
    """What may be called: the public internet, what is in `allow` and, with `loopback`, this machine; and nothing of `deny`."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    loopback: bool = False

    def refusal(self, address: Address) -> str | None:
        """Why the address is not called, completing "leads to ..."; None where it is."""
        address = _inner(address)
        if address.is_link_local or address in METADATA_ADDRESSES:
            return "a link-local or metadata address, which is never called"
        if address.is_multicast or address.is_unspecified:
            return "no address of a host"
        if _within(address, self.deny):
            return "an address that ASSAY_ENDPOINT_DENY excludes"
        if _within(address, self.allow) or (address.is_loopback and self.loopback):
            return None
        if address.is_loopback:
            return "a loopback address, which this deployment calls only where ASSAY_ENDPOINT_ALLOW has it"
        if not address.is_global:
            return "a private address, which is called only where ASSAY_ENDPOINT_ALLOW has it, such as 10.0.0.0/8"
        return None


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, Teredo, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if inner := address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1]):
        return inner
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def as_address(text: str) -> Address:
    """From what a resolver gives, which may end in a zone (`fe80::1%eth0`)."""
    return ipaddress.ip_address(text.split("%", 1)[0])


async def resolve(host: str, port: int) -> list[str]:
    """See `Resolve`: what this machine's own resolver says."""
    try:
        return [str(as_address(host))]
    except ValueError:
        pass
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
