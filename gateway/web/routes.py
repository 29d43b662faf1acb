"""Every page's routes."""

from gateway.web import (
    assets,
    compare,
    dataset,
    environment,
    evaluate,
    evaluation,
    evaluations,
    hub,
    models,
    operations,
    sessions,
)

PAGES = (assets, sessions, hub, environment, evaluate, evaluations, evaluation, dataset, compare, models, operations)
ROUTERS = tuple(page.router for page in PAGES)
