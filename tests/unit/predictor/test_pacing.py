"""The control law on simulated endpoints, judged by what these saw, and its single decisions."""

import random

import pytest

from services.predictor.pacing import FIRST_TRY_S, GONE_S, Interval, Law, Phase, Window, decide, law_for
from shared.contracts import ModelEndpoint, PacingReport
from tests.unit.predictor.simulation import Simulation, batching, bending, refusing, unreliable


def auto(ceiling: int = 256, limit: int = 8) -> Law:
    return Law(mode="auto", ceiling=ceiling, limit=limit, phase=Phase.START)


def fixed(number: int) -> Law:
    return Law(mode="fixed", ceiling=number, limit=number, phase=Phase.HOLD)


def model(max_concurrency: object, **settings: object) -> ModelEndpoint:
    base = {"id": "m1", "name": "m", "base_url": "http://x/v1", "model": "m", "timeout_s": 60, "connect_timeout_s": 5}
    return ModelEndpoint.model_validate({**base, "max_attempts": 5, "max_concurrency": max_concurrency, **settings})


@pytest.mark.parametrize("retry_after_s", [None, 1.0])
@pytest.mark.parametrize("latency_s", [0.05, 0.2, 1.0])
def test_auto_settles_just_under_where_an_endpoint_refuses(latency_s: float, retry_after_s: float | None) -> None:
    simulation = Simulation(auto(), refusing(40, latency_s), retry_after_s=retry_after_s)
    served = simulation.run(120)
    assert 36 <= simulation.law.limit <= 40
    # The best fixed setting is 40 calls at once.
    assert served.rate(10, 120) >= 0.9 * 40 / latency_s
    assert served.refused_share(since=10) < 0.02


@pytest.mark.parametrize("latency_s", [0.05, 0.2, 1.0])
def test_auto_settles_near_where_latency_bends(latency_s: float) -> None:
    simulation = Simulation(auto(), bending(48, latency_s))
    served = simulation.run(120)
    assert 44 <= simulation.law.limit <= 64
    assert served.rate(10, 120) >= 0.9 * 48 / latency_s
    assert max(limit for at, limit in served.limits if at > 30) <= 72


def test_auto_climbs_on_where_latency_grows_and_the_rate_still_does() -> None:
    simulation = Simulation(auto(), batching(half=64))
    served = simulation.run(120)
    # At most 320 a second could be had, with latency without end; two thirds of that at about three times the latency.
    assert served.rate(60, 120) > 190
    assert 80 <= simulation.law.limit < 256


def test_auto_goes_to_the_ceiling_where_nothing_holds_it_back_and_no_further() -> None:
    simulation = Simulation(auto(ceiling=100), refusing(10_000))
    served = simulation.run(30)
    assert max(limit for _, limit in served.limits) == 100
    assert served.rate(10, 30) > 0.9 * 100 / 0.2


def test_a_second_controller_goes_on_from_what_the_first_has_stored() -> None:
    first = Simulation(auto(), refusing(40))
    first.run(30)
    stored = first.law.model_dump(mode="json")
    second = Simulation(law_for(model("auto"), stored), refusing(40), now=30)
    served = second.run(30)
    assert min(limit for _, limit in served.limits) >= 36
    assert served.rate(30, 60) > 0.9 * 200


def test_auto_follows_an_endpoint_that_gets_smaller_and_larger() -> None:
    room = [40]
    latency = random.Random(1)

    def endpoint(in_flight: int, rng: random.Random) -> float | None:
        return None if in_flight > room[0] else 0.2 * latency.uniform(0.75, 1.25)

    simulation = Simulation(auto(), endpoint)
    simulation.run(30)
    room[0] = 10
    served = simulation.run(30)
    assert simulation.law.limit <= 10
    assert served.refused_share(since=50) < 0.02
    room[0] = 40
    simulation.run(300)
    assert simulation.law.limit > 30


def test_a_number_is_used_as_it_is_and_cut_only_on_refusals() -> None:
    calm = Simulation(fixed(64), bending(16))
    assert {limit for _, limit in calm.run(30).limits} == {64}
    refused = Simulation(fixed(64), refusing(40))
    served = refused.run(60)
    assert 36 <= refused.law.limit <= 40
    assert served.refused_share(since=10) < 0.02


def test_a_number_is_recovered_once_nothing_is_refused_any_more() -> None:
    room = [10]
    simulation = Simulation(fixed(32), lambda in_flight, rng: None if in_flight > room[0] else 0.1)
    simulation.run(20)
    assert simulation.law.limit <= 10
    room[0] = 1000
    simulation.run(120)
    assert simulation.law.limit == 32


def test_refusals_that_a_lower_limit_does_not_lessen_are_not_its_fault() -> None:
    simulation = Simulation(fixed(64), unreliable(0.05))
    served = simulation.run(60)
    assert simulation.law.limit == 64
    assert served.rate(10, 60) > 0.8 * 64 / 0.2


def test_an_episode_is_one_decrease_towards_what_was_served() -> None:
    interval = Interval(seconds=0.25, ok=40, refused=24, in_flight=40, latency_s=0.2, served=40)
    law = decide(auto(limit=64), interval, 100.0)
    assert law.limit == 36
    assert law.refused_at == 42
    proved = auto(limit=64).model_copy(update={"base_limit": 32})
    assert decide(proved, interval.model_copy(update={"served": 30}), 100.0).limit == 32
    assert decide(auto(limit=64), interval.model_copy(update={"served": 64}), 100.0).limit == 57
    assert decide(auto(limit=64), interval.model_copy(update={"served": 1}), 100.0).limit == 32
    assert decide(auto(limit=64), interval.model_copy(update={"served": None}), 100.0).limit == 48


def test_many_timeouts_are_overload_and_a_few_are_not() -> None:
    few = Interval(seconds=10, ok=99, timeouts=2, in_flight=16, latency_s=0.2)
    assert decide(fixed(16), few, 0.0).limit == 16
    many = Interval(seconds=10, ok=80, timeouts=20, in_flight=16, latency_s=0.2)
    assert decide(fixed(16), many, 0.0).limit == 12


def test_a_try_that_is_refused_goes_back_and_waits_twice_as_long() -> None:
    held = Law(
        mode="auto",
        ceiling=256,
        limit=42,
        phase=Phase.TRY,
        base_limit=40,
        base_rate=200,
        refused_at=44,
        pause=FIRST_TRY_S,
    )
    law = decide(held, Interval(seconds=0.25, ok=50, refused=2, in_flight=41, latency_s=0.2), 100.0)
    assert (law.limit, law.phase, law.refused_at) == (40, Phase.HOLD, 42)
    assert law.next_try == 100.0 + 2 * FIRST_TRY_S


def test_nothing_is_concluded_from_a_limit_that_no_work_fills() -> None:
    interval = Interval(seconds=2, ok=10, in_flight=3, latency_s=0.2)
    assert decide(auto(limit=16), interval, 0.0, used=False).limit == 16


def test_changed_settings_begin_anew_and_the_same_ones_go_on() -> None:
    found = auto(limit=40).model_copy(update={"phase": Phase.HOLD, "refused_at": 42})
    stored = found.model_dump(mode="json")
    assert law_for(model("auto"), stored) == found
    assert law_for(model(24), stored) == fixed(24)
    lower = law_for(model("auto", concurrency_ceiling=20), stored)
    assert (lower.limit, lower.ceiling) == (20, 20)
    assert law_for(model("auto")).limit == 8
    assert law_for(model(64), fixed(16).model_dump(mode="json")) == fixed(64)


def report(replica: str) -> PacingReport:
    """A quarter second of 8 calls at once, 0.1 s each."""
    return PacingReport(replica=replica, span_s=0.25, started=20, ok=20, ok_s=2.0, busy_s=2.0)


def test_an_interval_is_judged_once_every_replica_has_told_its_part() -> None:
    window = Window()
    for replica in ("a", "b"):
        window.add(report(replica), 1.0)
    window.restart(1.0, lowered=False)
    for at in (1.6, 1.85):
        window.add(report("a"), at)
    window.add(report("b"), 1.7)
    assert not window.ready(auto(limit=16), 0.0)
    window.add(report("b"), 1.95)
    assert window.ready(auto(limit=16), 0.0)
    assert window.interval().in_flight == 16


def test_a_replica_that_is_gone_is_not_waited_for() -> None:
    window = Window()
    for replica in ("a", "b"):
        window.add(report(replica), 1.0)
    window.restart(1.0, lowered=False)
    for at in (1.6, 1.8, 1.0 + GONE_S):
        window.add(report("a"), at)
    assert window.ready(auto(limit=16), 0.0)


def test_nothing_is_concluded_while_slots_are_held_by_a_predictor_that_has_died() -> None:
    law = Law(
        mode="auto", ceiling=256, limit=40, phase=Phase.CLIMB, base_limit=36, base_rate=340.0, base_in_flight=35.0
    )
    half = Interval(seconds=1.5, ok=200, in_flight=15.5, latency_s=0.1)
    waiting = decide(law, half, 100.0)
    assert (waiting.limit, waiting.phase) == (40, Phase.CLIMB)
    whole = Interval(seconds=1.5, ok=560, in_flight=38.5, latency_s=0.1)
    assert decide(waiting, whole, 102.0).limit > 40
    for _ in range(7):
        law = decide(law, half, 100.0)
    assert (law.limit, law.phase) == (36, Phase.HOLD)


def test_after_a_doubling_a_cut_waits_for_all_that_was_refused() -> None:
    window = Window()
    for replica in ("a", "b"):
        window.add(report(replica), 1.0)
    window.restart(1.0, lowered=False)
    window.add(report("a").model_copy(update={"refused": 2, "beside": 31}), 1.25)
    assert not window.ready(auto(limit=64), 0.0)
    window.add(report("b").model_copy(update={"refused": 10, "beside": 18}), 1.4)
    window.add(report("a").model_copy(update={"refused": 10, "beside": 22}), 1.5)
    assert window.ready(auto(limit=64), 0.0)
    assert window.interval().served == 40
