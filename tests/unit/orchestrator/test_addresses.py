"""Which addresses may be registered."""

import ipaddress

import pytest

from services.orchestrator.addresses import check_base_url, refused
from shared.errors import Invalid


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
        await check_base_url(url)
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
        "0.0.0.0",
        "2852039166",  # 169.254.169.254 as one number, which resolvers accept
    ],
)
async def test_link_local_and_metadata_addresses_are_refused(host: str) -> None:
    with pytest.raises(Invalid, match="link-local or metadata"):
        await check_base_url(f"http://{host}/v1")


@pytest.mark.parametrize("url", ["http://127.0.0.1:11434/v1", "https://api.example.com/v1", "http://[::1]:8000/v1"])
async def test_ordinary_addresses_pass_without_their_trailing_slash(url: str) -> None:
    assert await check_base_url(f"{url}/") == url


async def test_a_name_that_does_not_resolve_is_registered_all_the_same() -> None:
    assert await check_base_url("http://no-such-host.invalid/v1") == "http://no-such-host.invalid/v1"


def test_private_and_loopback_addresses_are_allowed() -> None:
    assert not any(
        refused(ipaddress.ip_address(address)) for address in ("127.0.0.1", "10.0.0.1", "192.168.1.1", "::1")
    )
