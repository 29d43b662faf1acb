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

METADATA_NAMES = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.tencentyun.com",
        "api.metadata.cloud.ibm.com",
        "metadata.packet.net",
        "metadata.platformequinix.com",
    }
)
METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "169.254.169.254",  # nearly every cloud
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure
    )
)
_NO_HOST = (ipaddress.ip_network("0.0.0.0/8"), ipaddress.ip_network("255.255.255.255/32"))
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # IANA has given out nothing else of IPv6 for the public internet

# IPv6 addresses that stand for an IPv4 one, which are their last 32 bits
_TRANSLATED = (
    ipaddress.ip_network("::/96"),  # compatible (RFC 4291, 2.5.5.1)
    ipaddress.ip_network("::ffff:0:0/96"),  # mapped
    ipaddress.ip_network("::ffff:0:0:0/96"),  # translated (RFC 2765)
    ipaddress.ip_network("64:ff9b::/96"),  # NAT64 (RFC 6052)
)
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: before the last 32 bits

NEVER = "a link-local or metadata address, which is never called"

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
        return next(filter(None, map(self._refusal, stands_for(address))), None)

    def _refusal(self, address: Address) -> str | None:
        if address.is_link_local or address in METADATA_ADDRESSES:
            return NEVER
        if address.is_multicast or address.is_unspecified or _within(address, _NO_HOST):
            return "no address of a host"
        if _within(address, self.deny):
            return "an address that ASSAY_ENDPOINT_DENY excludes"
        if _within(address, self.allow) or (address.is_loopback and self.loopback):
            return None
        if address.is_loopback:
            return "a loopback address, which this deployment calls only where ASSAY_ENDPOINT_ALLOW has it"
        if not address.is_global or (address.version == 6 and address not in _GLOBAL_UNICAST):
            return "a private address, which is called only where ASSAY_ENDPOINT_ALLOW has it, such as 10.0.0.0/8"
        return None


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def stands_for(address: Address) -> tuple[Address, ...]:
    """The addresses that packets to it may come to, all of which must be allowed: the IPv4 ones that an IPv6 one carries, else itself."""
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback or address.is_unspecified:
        return (address,)
    bits = int(address)
    last = ipaddress.IPv4Address(bits & 0xFFFFFFFF)
    if _within(address, _TRANSLATED):
        return (last,)
    if address.sixtofour:
        return (address.sixtofour,)
    if address.teredo:
        return address.teredo
    if address in _LOCAL_NAT64:
        # With a prefix of 48 bits the IPv4 address lies around bits 64 to 71 (RFC 6052, 2.2), with one of 96 at the end.
        split = ipaddress.IPv4Address((bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF)
        return (address, *(inner for inner in (last, split) if not _within(inner, _NO_HOST)))
    if (bits >> 32) & 0xFFFFFFFF in _ISATAP:
        return (address, last)
    return (address,)


def refused_name(host: str) -> bool:
    """Whether a host's name is that of a cloud's metadata service, wherever it leads."""
    return host.rstrip(".").lower() in METADATA_NAMES


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
