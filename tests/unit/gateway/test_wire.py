"""A message on the wire (RFC 6455, section 5.2)."""

import pytest

from gateway.wire import text_frame


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_536, b"\x81\x7f" + (65_536).to_bytes(8, "big")),
    ],
)
def test_a_text_is_one_whole_unmasked_frame(size: int, head: bytes) -> None:
    assert text_frame("x" * size) == head + b"x" * size


def test_all_clients_get_the_same_bytes() -> None:
    text = '{"message":"é"}'
    assert text_frame(text) is text_frame(text)
    assert text_frame(text)[2:] == text.encode()
