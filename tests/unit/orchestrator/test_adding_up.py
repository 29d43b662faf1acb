"""When `results` need not be counted."""

import pytest

from services.orchestrator.recovery import adds_up


def test_what_is_out_is_in_the_queues() -> None:
    assert adds_up(sent=1_000, done=900, total=5_000, waiting=100)


@pytest.mark.parametrize(
    ("sent", "done", "total", "waiting"),
    [
        pytest.param(1_000, 900, 5_000, 40, id="a hint was lost, or is on its way"),
        pytest.param(1_000, 900, 5_000, 140, id="the broker has ghosts or repeats"),
        pytest.param(1_000, 900, 5_000, 0, id="nothing is out any more"),
        pytest.param(1_000, 1_000, 5_000, 0, id="everything that was sent has landed"),
        pytest.param(5_000, 5_000, 5_000, 0, id="the end, which only a count decides"),
        pytest.param(900, 1_000, 5_000, 0, id="more hints than samples"),
    ],
)
def test_anything_else_is_counted(sent: int, done: int, total: int, waiting: int) -> None:
    assert not adds_up(sent, done, total, waiting)
