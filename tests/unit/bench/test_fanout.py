"""What the websocket clients of the benchmark understand, and how what they got is judged."""

from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from bench.fanout import compare, quantile, resident_mb
from bench.fixtures import BenchError
from bench.listeners import TEXT, Malformed, cursor_of, split_frames
from gateway.entry import entry_of
from gateway.wire import text_frame

OWN = [3, 5, 8]
EVERYTHING = [3, 4, 5, 6, 7, 8]
PUBLISHED = {position: float(position) for position in (*EVERYTHING, 9)}


def client(*cursors: int, delay_s: float = 0.25, code: int | None = 1000) -> dict[str, Any]:
    return {"cursors": list(cursors), "received": [cursor + delay_s for cursor in cursors], "code": code}


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1000, 70_000])
def test_frames_are_taken_apart_wherever_they_were_cut(size: int) -> None:
    payload = b"x" * size
    data = text_frame(payload.decode()) + Frame(Opcode.PING, b"4321").serialize(mask=False)
    for cut in {0, 1, 2, 3, len(data) // 2, len(data) - 1}:
        first, rest = split_frames(data[:cut])
        second, rest = split_frames(rest + data[cut:])
        assert (first + second, rest) == ([(TEXT, payload), (0x89, b"4321")], b"")


def test_a_frame_that_is_not_understood_is_no_silence() -> None:
    compressed = bytes([0xC1, 1]) + b"x"
    fragment = bytes([0x01, 1]) + b"x"
    for data in (compressed, fragment):
        with pytest.raises(Malformed):
            split_frames(data)


def test_the_cursor_is_at_the_end_of_an_event() -> None:
    event = {"type": "assay.evaluation.log", "data": {"message": '"cursor":"7"}'}}
    assert cursor_of(entry_of(42, "e1", event).text.encode()) == 42


def test_clients_that_got_everything() -> None:
    found = compare([(client(*OWN), OWN), (client(*EVERYTHING, 9, code=None), EVERYTHING)], OWN, PUBLISHED, since=5.0)
    assert (found.clients, found.events, found.deliveries) == (2, 3, 9)
    assert (found.missed, found.twice, found.badly_closed) == (0, 0, 0)
    assert found.delays_s == [0.25] * 6


def test_what_is_missing_or_repeated_is_counted() -> None:
    wanted = [(client(3, 8, 8), OWN), (client(3, 5, code=1013), OWN), (client(3, 4, 5, 7, 8), EVERYTHING)]
    found = compare(wanted, OWN, PUBLISHED, since=0.0)
    assert (found.missed, found.twice, found.badly_closed) == (3, 1, 1)


def test_a_share_of_what_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [quantile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert quantile([7.0], 0.5) == 7.0
    with pytest.raises(BenchError):
        quantile([], 0.5)


def test_memory_is_read_from_the_process_status() -> None:
    assert resident_mb("Name:\tpython\nVmRSS:\t   20480 kB\nThreads:\t3\n") == 20.0
