"""`/environments/{slug}/evaluate`: choose models, see what it will take, run.

The page's script starts evaluations through the API. Without a script the form is posted to the page's own address, which
does the same.
"""

import re
from datetime import UTC, datetime
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from gateway.api.evaluations import create_evaluations
from gateway.api.models import list_models
from gateway.auth import RUNNER
from gateway.parts import Parts, PartsOf
from gateway.quotas import used_up
from gateway.web import estimate, evaluation_form
from gateway.web.environment import frame
from gateway.web.evaluation_form import Given
from gateway.web.model_fields import BLANK, SHOWN
from gateway.web.render import page
from shared.api import Model
from shared.contracts import ModelSource, ModelStatus
from shared.errors import Problem
from shared.views import model_view

router = APIRouter(include_in_schema=False)

TABS = {
    ModelSource.PLATFORM: "Platform Models",
    ModelSource.RUNNING: "Running",
    ModelSource.TRAINED: "Trained",
    ModelSource.HUGGINGFACE: "HuggingFace",
}
MOST_MODELS = 1000
"""Shown at once: as many as one request may name."""

_ESTIMATED_FROM = {"id", "name", "status", "engine", "max_concurrency", "requests_per_minute", "pacing", "price"}
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@router.get("/environments/{reference}/evaluate")
async def show_evaluate(request: Request, reference: str, parts: PartsOf) -> Response:
    """`?source=` opens a tab; `?models=` and the form's other fields fill it in."""
    asked = request.query_params
    return await show(request, parts, reference, evaluation_form.read(asked), asked.get("source"))


@router.post("/environments/{reference}/evaluate", dependencies=[RUNNER])
async def run(request: Request, reference: str, parts: PartsOf) -> Response:
    form = await request.form(max_fields=MOST_MODELS + 100)
    given = evaluation_form.read(form)
    sent = form.get("key")
    key = sent if isinstance(sent, str) and _KEY.fullmatch(sent) else None
    try:
        body, plain = evaluation_form.body_of(given, reference)
        created = await create_evaluations(body, plain, Response(), parts, key)
    except Problem as problem:
        if problem.status >= 500:
            raise
        return await show(request, parts, reference, given, str(form.get("source")), problem)
    started = created.evaluations
    where = f"/evaluations/{started[0].number}" if len(started) == 1 else f"/evaluations?group={created.group}"
    return RedirectResponse(where, 303)


async def show(
    request: Request, parts: Parts, reference: str, given: Given, source: str | None, problem: Problem | None = None
) -> Response:
    values = await frame(parts, reference)
    found = await list_models(parts, None, None, MOST_MODELS, None)
    older = set(given.models) - {model.id for model in found.items}
    chosen = parts.database["models"].find({"_id": {"$in": sorted(older)}, "withdrawn_at": None})
    models = [*found.items, *[model_view(row) async for row in chosen]]
    models.sort(key=lambda model: model.status is not ModelStatus.RUNNING)
    ids = {model.id for model in models}
    phases = [phase.name for phase in values["environment"].phases]
    phase = given.texts["phase"] if given.texts["phase"] in phases else phases[0]
    now = datetime.now(UTC)
    environment = values["environment"]
    spent = await used_up(parts.database, environment.slug, environment.phases, models, now)
    return page(
        request,
        "evaluate.html",
        status=problem.status if problem else 200,
        **values,
        models=models,
        more_models=found.next is not None,
        known=[model.model_dump(mode="json", include=_ESTIMATED_FROM) for model in models],
        gone=[model_id for model_id in given.models if model_id not in ids],
        blank=BLANK,
        **SHOWN,
        edited=None,
        given=given,
        phase=phase,
        now=now,
        spent=spent,
        spent_here=spent.get(phase, {}),
        tabs=TABS,
        counts={tab: sum(tab in tabs_of(model) for model in models) for tab in TABS},
        tab=first_tab(source, models, given.models),
        tabs_of=tabs_of,
        basis=await estimate.basis(parts.database, values["environment"]),
        key=uuid4().hex,
        problem=problem,
        errors=evaluation_form.messages(problem),
    )


def tabs_of(model: Model) -> list[ModelSource]:
    """The tabs that a model is in: its source's, Platform where it is published, and Running while it is live."""
    also = {
        ModelSource.PLATFORM: model.published_at is not None,
        ModelSource.RUNNING: model.status is ModelStatus.RUNNING,
    }
    return [model.source, *(tab for tab, is_in in also.items() if is_in and tab is not model.source)]


def first_tab(asked: str | None, models: list[Model], chosen: list[str]) -> ModelSource:
    """The tab that is asked for; else one that shows the first chosen model; else Running, or where there is a model."""
    if asked in set(TABS):
        return ModelSource(asked)
    known = {model.id: model for model in models}
    for model in [known[model_id] for model_id in chosen if model_id in known] + models:
        tabs = tabs_of(model)
        return ModelSource.RUNNING if ModelSource.RUNNING in tabs else tabs[0]
    return ModelSource.RUNNING
