"""Which addresses may be registered."""

import ipaddress

import pytest

from services.orchestrator.addresses import check_base_url
from shared.errors import Invalid
from shared.networks import Networks

HERE = Networks(loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/v1",
        "127.0.0.1:8000/v1",
        "http://",
        "http:///v1",
        "http://127.0.0.1:99999/v1",
        "http://[::1/v1",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1/v1",
        "http://127.0.0.1/v1?key=1",
        "http://127.0.0.1:8000/v1/chat/completions",
    ],
)
async def test_what_is_no_base_url_is_refused_with_the_field_and_without_its_value(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        await check_base_url(url, HERE)
    assert caught.value.errors[0]["loc"] == ["base_url"]
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.1.1",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "100.100.100.200",
        "2852039166",  # 169.254.169.254 as one number, which resolvers accept
    ],
)
async def test_link_local_and_metadata_addresses_are_refused(host: str) -> None:
    with pytest.raises(Invalid, match="link-local or metadata"):
        await check_base_url(f"http://{host}/v1", HERE)


@pytest.mark.parametrize("url", ["http://127.0.0.1:11434/v1", "https://api.example.com/v1", "http://[::1]:8000/v1"])
async def test_ordinary_addresses_pass_without_their_trailing_slash(url: str) -> None:
    assert await check_base_url(f"{url}/", HERE) == url


async def test_a_name_that_does_not_resolve_is_registered_all_the_same() -> None:
    assert await check_base_url("http://no-such-host.invalid/v1", HERE) == "http://no-such-host.invalid/v1"


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("0.0.0.0", "no address of a host"),
        ("10.1.2.3", "a private address"),
        ("192.168.1.1", "a private address"),
        ("[fd12::1]", "a private address"),
        ("[64:ff9b::a00:1]", "a private address"),  # 10.0.0.1 through NAT64
    ],
)
async def test_where_an_address_leads_is_said(host: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as caught:
        await check_base_url(f"http://{host}/v1", HERE)
    assert caught.value.errors[0]["loc"] == ["base_url"]


async def test_an_operator_lets_private_addresses_in() -> None:
    networks = Networks(allow=(ipaddress.ip_network("10.0.0.0/8"),))
    assert await check_base_url("http://10.1.2.3/v1", networks) == "http://10.1.2.3/v1"
    with pytest.raises(Invalid, match="a loopback address"):
        await check_base_url("http://127.0.0.1/v1", networks)
