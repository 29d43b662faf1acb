"""Every page there is, by the route that serves it, with addresses that show something."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastapi.routing import APIRoute

from gateway.web.routes import ROUTERS
from tests.running import RunningStack

NO_PAGES = frozenset({"/static/{version}/{name}", "/favicon.ico"})
"""GET routes that serve no page."""

PLACES: dict[str, Sequence[str]] = {
    "/": ("/", "/?q=word", "/?tag=math&tag=reasoning"),
    "/sign-in": ("/sign-in",),
    "/environments/{reference}": ("/environments/{slug}",),
    "/environments/{reference}/phases": ("/environments/{slug}/phases",),
    "/environments/{reference}/versions": ("/environments/{slug}/versions",),
    "/environments/{reference}/leaderboard": ("/environments/{slug}/leaderboard",),
    "/environments/{reference}/evaluations": ("/environments/{slug}/evaluations",),
    "/environments/{reference}/evaluate": (
        "/environments/{slug}/evaluate",
        "/environments/{slug}/evaluate?models={model}",
    ),
    "/evaluations": ("/evaluations",),
    "/evaluations/{reference}": ("/evaluations/{evaluation}",),
    "/evaluations/{reference}/log": ("/evaluations/{evaluation}/log",),
    "/evaluations/{reference}/cases": (
        "/evaluations/{evaluation}/cases",
        "/evaluations/{evaluation}/cases?correct=false&sort=-latency_ms",
    ),
    "/evaluations/{reference}/cases/{index}": ("/evaluations/{evaluation}/cases/0",),
    "/evaluations/{reference}/files": ("/evaluations/{evaluation}/files",),
    "/evaluations/{reference}/dataset": ("/evaluations/{evaluation}/dataset",),
    "/compare": ("/compare", "/compare?evaluations={evaluation},{other}"),
    "/models": ("/models",),
    "/models/{model_id}": ("/models/{model}",),
    "/operations": ("/operations",),
}
"""By route: addresses in which `{slug}`, `{evaluation}`, `{other}` and `{model}` stand for those of a seed."""


@dataclass(frozen=True)
class Seed:
    """What the pages show: an environment, two completed evaluations of it, and the first one's model."""

    slug: str
    evaluation: int
    other: int
    model: str

    def addresses(self) -> list[str]:
        values = {"slug": self.slug, "evaluation": self.evaluation, "other": self.other, "model": self.model}
        return [address.format(**values) for addresses in PLACES.values() for address in addresses]


def routes() -> Iterable[str]:
    """The routes of all pages."""
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and route.path not in NO_PAGES:
                yield route.path


def seed_stack(stack: RunningStack) -> Seed:
    slug = stack.push_sample_environment()
    models = [stack.add_model("sample-95"), stack.add_model("sample-60")]
    ended = stack.wait(stack.evaluate(slug, models, phase="dev", limit=30))
    return Seed(slug, ended[0].number, ended[1].number, models[0].id)
