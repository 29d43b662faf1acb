"""Which addresses are called."""

import ipaddress

import pytest

from shared.networks import Networks, read_networks, resolve
from shared.settings import Settings

NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "::ffff:169.254.169.254",
    "2002:a9fe:a9fe::1",  # 6to4
    "64:ff9b::a9fe:a9fe",  # NAT64
]
PRIVATE = [
    "10.0.0.1",
    "172.16.3.4",
    "192.168.0.9",
    "100.64.0.1",
    "198.18.0.1",
    "fd12:3456::1",
    "::ffff:10.0.0.1",
    "240.0.0.1",
]
LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
PUBLIC = ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"]
EVERYTHING = Networks(allow=read_networks("0.0.0.0/0, ::/0"), loopback=True)


def refusal(networks: Networks, address: str) -> str | None:
    return networks.refusal(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", NEVER)
def test_metadata_and_link_local_addresses_are_never_called(address: str) -> None:
    assert "never called" in (refusal(EVERYTHING, address) or "")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1", "ff02::1"])
def test_what_is_no_host_is_not_called(address: str) -> None:
    assert refusal(EVERYTHING, address) == "no address of a host"


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_called_only_where_it_is_allowed(address: str) -> None:
    assert "ASSAY_ENDPOINT_ALLOW" in (refusal(Networks(loopback=True), address) or "")
    assert refusal(EVERYTHING, address) is None


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_is_for_a_gateway_on_loopback(address: str) -> None:
    assert refusal(Networks(loopback=True), address) is None
    assert "loopback" in (refusal(Networks(), address) or "")
    assert refusal(Networks(allow=read_networks("127.0.0.0/8,::1")), address) is None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called_unless_they_are_denied(address: str) -> None:
    assert refusal(Networks(), address) is None
    assert "ASSAY_ENDPOINT_DENY" in (refusal(Networks(deny=read_networks("0.0.0.0/0,::/0")), address) or "")


def test_what_is_denied_is_not_called_though_it_is_allowed() -> None:
    networks = Networks(allow=read_networks("10.0.0.0/8"), deny=read_networks("10.1.0.0/16"))
    assert refusal(networks, "10.2.0.1") is None
    assert "ASSAY_ENDPOINT_DENY" in (refusal(networks, "10.1.0.1") or "")


@pytest.mark.parametrize("setting", ["endpoint_allow", "endpoint_deny"])
@pytest.mark.parametrize("value", ["10.0.0.1/8", "private", "10.0.0.0/33"])
def test_a_setting_that_is_no_network_is_named(setting: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"(?s){setting}.*{value}"):
        Settings.model_validate({setting: f"127.0.0.1, {value}"})


def test_the_gateways_address_decides_on_loopback() -> None:
    assert Settings(host="127.0.0.1").networks.loopback
    assert not Settings(host="0.0.0.0").networks.loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost"])
async def test_every_way_to_write_an_address_resolves_to_it(host: str) -> None:
    assert "127.0.0.1" in await resolve(host, 80)
