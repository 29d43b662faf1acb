"""Where no endpoint may lead, in every way to write it: refused when it is registered, and again when it is connected to.

Whatever calls an endpoint (jobs, a judge, probes, the list of models, discovery, the router) does it through `Connections`.
"""

import asyncio
import ipaddress

import httpx
import pytest

from services.orchestrator.addresses import check_base_url
from services.predictor.connections import ConnectFailed, Connections
from services.predictor.probe import probe
from shared.contracts import ModelStatus
from shared.errors import Invalid
from shared.networks import Networks, read_networks
from tests.unit.predictor.servers import OK, read_request, serving
from tests.unit.predictor.test_endpoint import endpoint

ALL = Networks(allow=read_networks("0.0.0.0/0, ::/0"), loopback=True)
"""Even an operator who allows everything."""
HERE = Networks(loopback=True)
PUBLIC = Networks()

NEVER = "a link-local or metadata address"
NO_HOST = "no address of a host"
PRIVATE = "a private address"
LOOPBACK = "a loopback address"

TABLE: list[tuple[str, Networks, str]] = [
    # Link-local, and the metadata services of clouds
    ("169.254.169.254", ALL, NEVER),
    ("169.254.170.2", ALL, NEVER),
    ("[fe80::1]", ALL, NEVER),
    ("[fe80::a9fe:a9fe]", ALL, NEVER),
    ("[fd00:ec2::254]", ALL, NEVER),
    ("[fd20:ce::254]", ALL, NEVER),
    ("[fd00:42::42]", ALL, NEVER),
    ("100.100.100.200", ALL, NEVER),
    ("192.0.0.192", ALL, NEVER),
    ("168.63.129.16", ALL, NEVER),
    ("metadata", ALL, NEVER),
    ("metadata.google.internal", ALL, NEVER),
    ("Metadata.Google.Internal.", ALL, NEVER),
    ("metadata.goog", ALL, NEVER),
    ("instance-data.ec2.internal", ALL, NEVER),
    ("metadata.tencentyun.com", ALL, NEVER),
    # The same in other spellings that resolvers take
    ("2852039166", ALL, NEVER),
    ("0xa9fea9fe", ALL, NEVER),
    ("0xA9.0xFE.0xA9.0xFE", ALL, NEVER),
    ("169.254.43518", ALL, NEVER),
    ("169.16689662", ALL, NEVER),
    # IPv6 addresses that stand for it
    ("[::ffff:169.254.169.254]", ALL, NEVER),
    ("[::ffff:a9fe:a9fe]", ALL, NEVER),
    ("[::169.254.169.254]", ALL, NEVER),
    ("[::ffff:0:169.254.169.254]", ALL, NEVER),
    ("[64:ff9b::169.254.169.254]", ALL, NEVER),
    ("[64:ff9b:1::169.254.169.254]", ALL, NEVER),
    ("[64:ff9b:1:a9fe:a9:fe00::]", ALL, NEVER),
    ("[2002:a9fe:a9fe::1]", ALL, NEVER),
    ("[2001:0:5db8:d822:0:0:5601:5601]", ALL, NEVER),  # Teredo's client, its bits inverted
    ("[2001:0:a9fe:a9fe::a247:27dd]", ALL, NEVER),  # Teredo's server
    ("[2001:4860::5efe:a9fe:a9fe]", ALL, NEVER),  # ISATAP
    # What is no host
    ("0.0.0.0", ALL, NO_HOST),
    ("0", ALL, NO_HOST),
    ("0.1.2.3", ALL, NO_HOST),
    ("[::]", ALL, NO_HOST),
    ("[::ffff:0.0.0.0]", ALL, NO_HOST),
    ("255.255.255.255", ALL, NO_HOST),
    ("224.0.0.1", ALL, NO_HOST),
    ("239.255.255.250", ALL, NO_HOST),
    ("[ff02::1]", ALL, NO_HOST),
    # Private, unless it is allowed
    ("10.0.0.1", HERE, PRIVATE),
    ("172.16.3.4", HERE, PRIVATE),
    ("192.168.1.1", HERE, PRIVATE),
    ("0xc0a80101", HERE, PRIVATE),
    ("100.64.0.1", HERE, PRIVATE),
    ("198.18.0.1", HERE, PRIVATE),
    ("240.0.0.1", HERE, PRIVATE),
    ("[fc00::1]", HERE, PRIVATE),
    ("[fd12:3456::1]", HERE, PRIVATE),
    ("[fec0::1]", HERE, PRIVATE),
    ("[4000::1]", HERE, PRIVATE),
    ("[::ffff:10.0.0.1]", HERE, PRIVATE),
    ("[::10.0.0.1]", HERE, PRIVATE),
    ("[64:ff9b::10.0.0.1]", HERE, PRIVATE),
    ("[64:ff9b:1::8.8.8.8]", HERE, PRIVATE),
    ("[2002:a00:1::1]", HERE, PRIVATE),
    # This machine, for a gateway that serves others
    ("127.0.0.1", PUBLIC, LOOPBACK),
    ("127.1", PUBLIC, LOOPBACK),
    ("2130706433", PUBLIC, LOOPBACK),
    ("0x7f.1", PUBLIC, LOOPBACK),
    ("localhost", PUBLIC, LOOPBACK),
    ("LOCALHOST", PUBLIC, LOOPBACK),
    ("[::1]", PUBLIC, LOOPBACK),
    ("[::ffff:127.0.0.1]", PUBLIC, LOOPBACK),
    ("[::7f00:1]", PUBLIC, LOOPBACK),
    ("[2002:7f00:1::1]", PUBLIC, LOOPBACK),
]


@pytest.mark.parametrize(("host", "networks", "why"), TABLE, ids=[row[0] for row in TABLE])
async def test_it_is_refused_when_it_is_registered_and_when_it_is_connected_to(
    host: str, networks: Networks, why: str
) -> None:
    url = f"http://{host}:8000/v1"
    with pytest.raises(Invalid, match=f"leads to {why}") as registered:
        await check_base_url(url, networks)
    assert registered.value.errors[0]["loc"] == ["base_url"]
    with pytest.raises(ConnectFailed, match=f"leads to {why}"):
        await Connections(httpx.URL(url), {}, 5.0, networks).exchange(b"GET", b"/v1/models", limit=100)
    found = await probe(endpoint(url, networks=networks), 5.0, complete=True)
    assert found.status is ModelStatus.UNREACHABLE
    assert f"leads to {why}" in found.detail


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254./v1",
        "http://user@8.8.8.8/v1",
        "http://@8.8.8.8/v1",
        "http://8.8.8.8\\@169.254.169.254/v1",
        "http://8.8.8.8#@169.254.169.254/v1",
        "http://8.8.8.8?@169.254.169.254/v1",
        "http://169.254.169.254 /v1",
        "http://169.254\n.169.254/v1",
        "http://8.8.8.8/v1\r\nHost: 169.254.169.254",
        "http://%31%36%39.254.169.254/v1",
        "http://\uff11\uff16\uff19.254.169.254/v1",
        "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/v1",
        "http://0251.0376.0251.0376/v1",
        "http://[fe80::1%25eth0]/v1",
        "http://[::ffff:169.254.169.254%251]/v1",
        "http://[v1.x]/v1",
        "http://8.8.8.8:0/v1",
        "http://8.8.8.8:80:80/v1",
        "gopher://8.8.8.8/v1",
        "file:///etc/passwd",
    ],
)
async def test_what_two_readers_could_read_in_two_ways_is_no_address(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        await check_base_url(url, ALL)
    assert caught.value.errors[0]["loc"] == ["base_url"]


@pytest.mark.parametrize(
    ("addresses", "why"),
    [
        (["169.254.169.254"], NEVER),
        (["8.8.8.8", "169.254.169.254"], NEVER),
        (["10.0.0.1"], PRIVATE),
        (["8.8.8.8", "::ffff:10.0.0.1"], PRIVATE),
        (["fe80::1%eth0"], NEVER),
    ],
)
async def test_a_name_is_refused_wherever_any_of_its_addresses_may_not_be(addresses: list[str], why: str) -> None:
    async def leads_there(host: str, port: int) -> list[str]:
        return addresses

    with pytest.raises(Invalid, match=why):
        await check_base_url("http://model.example/v1", HERE, leads_there)
    connections = Connections(httpx.URL("http://model.example/v1"), {}, 5.0, HERE, leads_there)
    with pytest.raises(ConnectFailed, match=why):
        await connections.exchange(b"GET", b"/v1/models", limit=100)


async def test_a_name_that_was_registered_and_leads_elsewhere_later_is_not_followed() -> None:
    answers = [["8.8.8.8"], ["169.254.169.254"], ["10.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    url = "http://model.example/v1"
    assert await check_base_url(url, HERE, rebinding) == url
    connections = Connections(httpx.URL(url), {}, 5.0, HERE, rebinding)
    for why in (NEVER, PRIVATE):
        with pytest.raises(ConnectFailed, match=why):
            await connections.exchange(b"GET", b"/v1/models", limit=100)


async def test_a_redirect_is_not_followed() -> None:
    asked: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await read_request(reader))[0])
        writer.write(OK)

    async with serving(elsewhere) as target:

        async def redirecting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            location = target.encode()
            writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % location)

        async with serving(redirecting) as url:
            found = await probe(endpoint(url), 5.0, complete=True)
    assert found.status is ModelStatus.UNREACHABLE
    assert "redirects are not followed" in found.detail
    assert asked == []


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:2800:220:1::1", "64:ff9b::808:808", "2002:808:808::1"])
def test_the_public_internet_is_called(address: str) -> None:
    assert PUBLIC.refusal(ipaddress.ip_address(address)) is None
