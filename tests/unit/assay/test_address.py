"""Where the gateway is looked for."""

import pytest

from assay import InvalidInput
from assay.address import Address


@pytest.mark.parametrize(
    ("url", "environ", "found"),
    [
        (None, {}, "http://127.0.0.1:8080"),
        (None, {"ASSAY_PORT": "9000"}, "http://127.0.0.1:9000"),
        (None, {"ASSAY_PORT": "9000", "ASSAY_URL": "https://assay.example/"}, "https://assay.example"),
        ("http://127.0.0.1:1/v1", {"ASSAY_URL": "http://127.0.0.1:2"}, "http://127.0.0.1:1"),
    ],
)
def test_what_is_given_comes_before_the_environment(url: str | None, environ: dict[str, str], found: str) -> None:
    assert Address.resolve(url, None, environ).url == found


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "ftp://x", "http://", "http://127.0.0.1:99999", "http://127.0.0.1:0"]
)
def test_what_is_no_address_is_named_with_its_source(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"ASSAY_URL: .* is not an address such as http://127.0.0.1:8080"):
        Address.resolve(None, None, {"ASSAY_URL": url})


def test_a_wrong_port_is_named() -> None:
    with pytest.raises(InvalidInput, match="ASSAY_PORT"):
        Address.resolve(None, None, {"ASSAY_PORT": "many"})


def test_a_key_that_no_header_carries_is_refused_without_showing_it() -> None:
    with pytest.raises(InvalidInput) as raised:
        Address.resolve(None, "schlüssel\n", {})
    assert "schlüssel" not in str(raised.value)


def test_websockets_follow_the_scheme() -> None:
    assert (
        Address("https://a.example").websocket("/events/ws", {"after": "1 2"})
        == "wss://a.example/v1/events/ws?after=1+2"
    )


@pytest.mark.parametrize(
    ("url", "loopback"), [("http://localhost:1", True), ("http://[::1]:1", True), ("http://10.0.0.1", False)]
)
def test_only_this_machine_is_loopback(url: str, loopback: bool) -> None:
    assert Address(url).loopback is loopback
