"""Every page's routes."""

from gateway.web import (
    assets,
    cases,
    compare,
    dataset,
    environment,
    evaluate,
    evaluation,
    evaluations,
    files,
    hub,
    leaderboard,
    models,
    operations,
    sessions,
    versions,
)

PAGES = (
    assets,
    sessions,
    hub,
    environment,
    versions,
    leaderboard,
    evaluate,
    evaluations,
    evaluation,
    cases,
    files,
    dataset,
    compare,
    models,
    operations,
)
ROUTERS = tuple(page.router for page in PAGES)
