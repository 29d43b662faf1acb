"""What a replica reports."""

from services.predictor.answers import Trouble
from services.predictor.gate import Gate
from services.predictor.tally import Tally


async def test_the_tally_adds_up_calls_in_flight_over_time() -> None:
    tally = Tally()
    gate = Gate(lambda: tally.in_flight)
    assert tally.report("a", gate) is None
    tally.begin(tally._busy_at)
    tally.begin(tally._busy_at + 1.0)
    tally.end(tally._busy_at + 2.0)
    tally.answer(2.0)
    tally.failed(Trouble.UNREACHABLE, "connection refused", first=True)
    tally.failed(Trouble.REFUSED, "slow down", first=True)
    tally.failed(Trouble.OVERLOADED, "HTTP 503", first=False)
    tally.failed(None, "HTTP 400", first=True)
    report = tally.report("a", gate)
    assert report is not None
    assert (report.started, report.ok, report.in_flight, report.refused, report.unreachable) == (2, 1, 1, 2, 1)
    assert (report.answered, report.failing, report.error) == (3, 0, "HTTP 503")
