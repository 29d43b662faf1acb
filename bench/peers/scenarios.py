"""What is measured of every tool, the most telling first."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CONNECTIONS = 64
CALL_TIMEOUT_S = 10
LATENCY_MS = 500
MODEL = "bench-90"
"""The endpoint's model: right in 90 of 100 answers, so that an accuracy says something."""

MANY_WITHIN_S = 150.0
"""The large set is left to tools that finish it in this time at the rate they have with the small one."""


FEW = 16


@dataclass(frozen=True)
class Scenario:
    """`few`: a handful of items; `large`: eight times the items. `killed`: with SIGKILL at half of the calls, and started again."""

    name: str
    title: str
    behaviour: Mapping[str, float] = field(default_factory=dict)
    few: bool = False
    large: bool = False
    killed: bool = False


WARM = Scenario("warm", "to warm up", few=True)
"""Not measured: nobody's first start from a cold disk is its speed."""
SPEED = Scenario("speed", "no latency")
MANY = Scenario("many", "eight times the items", large=True)
LATENCY = Scenario("latency", f"{LATENCY_MS} ms a call", {"latency_ms": LATENCY_MS})
ERRORS_10 = Scenario("errors-10", "10 % of calls get a 500", {"error_500_rate": 0.1})
HANGS = Scenario("hangs", "0.5 % of calls hang", {"hang_rate": 0.005})
KILL = Scenario("kill", "SIGKILL in the middle", {"latency_ms": 100}, killed=True)
ERRORS_2 = Scenario("errors-2", "2 % of calls get a 500", {"error_500_rate": 0.02})

ALL = {scenario.name: scenario for scenario in (SPEED, MANY, LATENCY, ERRORS_10, HANGS, KILL, ERRORS_2)}


@dataclass(frozen=True)
class Sizes:
    """Items of the small and of the large set, and the seconds that one measurement may take."""

    small: int
    large: int
    bound_s: float

    def of(self, scenario: Scenario) -> int:
        if scenario.few:
            return FEW
        return self.large if scenario.large else self.small
