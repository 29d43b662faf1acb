"""`/compare?evaluations=1,2,3`: evaluations of one environment and phase beside each other, and the items they differ on."""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gateway.auth import CurrentRole, sees_targets
from gateway.compared import count_patterns, find_compared, find_differing, items_in_all, wrong
from gateway.differences import MOST, Counts, differing, only
from gateway.log import split
from gateway.lookups import find_environment
from gateway.paging import Cursor, decode, encode
from gateway.parts import Parts, PartsOf
from gateway.web.render import page
from gateway.web.scores import makes_no_claims
from gateway.web.side_by_side import Axis, axis_of, metric_rows, setting_rows
from shared.errors import Invalid, NotFound, Problem
from shared.manifest import Manifest
from shared.storage.mongo import Document

router = APIRouter(include_in_schema=False)

ROWS = 25
LETTERS = "ABCDEFGH"

CHOICES = 100
"""The newest evaluations, from which one chooses."""


@router.get("/compare")
async def show_compare(
    request: Request,
    parts: PartsOf,
    role: CurrentRole,
    evaluations: Annotated[list[str] | None, Query()] = None,
    show: str = "differ",
    cursor: Cursor = None,
) -> Response:
    """`evaluations` are numbers or ids, several in one or one each; `show` is `differ`, or the number of the one that alone is right."""
    references = list(dict.fromkeys(split(evaluations or [])))
    if not references:
        return await choose(request, parts, None)
    try:
        chosen = await find_compared(parts.database, references)
        wanted = patterns_of(show, [one["number"] for one in chosen])
    except (Invalid, NotFound) as problem:
        return await choose(request, parts, problem)
    targets = all(sees_targets(role, one) for one in chosen)
    after = -1 if cursor is None else decode(cursor, int)[0]
    environment, counts, (rows, following) = await asyncio.gather(
        find_environment(parts.database, chosen[0]["environment"]),
        count_patterns(parts.database, chosen),
        find_differing(parts.database, chosen, wanted, after, ROWS, targets=targets),
    )
    items = items_in_all(chosen)
    columns = Manifest.model_validate(environment["manifest"]).leaderboard.columns
    differing_settings, same_settings = setting_rows(chosen)
    asked = {"evaluations": ",".join(str(one["number"]) for one in chosen)}
    of_phase = {"slug": chosen[0]["slug"], "phase": chosen[0]["phase"]}
    return page(
        request,
        "compare.html",
        title=environment["title"],
        phase=chosen[0]["phase"],
        slug=chosen[0]["slug"],
        evaluations=list(zip(LETTERS, chosen, strict=False)),
        intervals=intervals_of(chosen),
        metrics=metric_rows(chosen, columns),
        settings=differing_settings,
        same_settings=same_settings,
        claims=not any(makes_no_claims(one["metrics"] or {}) for one in chosen),
        counts=counts,
        segments=segments_of(counts),
        items=items,
        shown=show,
        filters=[
            (address(asked, show=key), key, *rest)
            for key, *rest in filters_of(chosen, counts if counts.looked_at == items else None)
        ],
        rows=rows,
        is_first=cursor is None,
        first=address(asked, show=show),
        next=None if following is None else address(asked, show=show, cursor=encode(following)),
        groups=await choices(parts, of_phase),
        chosen={one["number"] for one in chosen},
        most=MOST,
    )


async def choose(request: Request, parts: Parts, problem: Problem | None) -> Response:
    """The page that lets one pick, with what was wrong with what was asked."""
    status = problem.status if problem else 200
    groups = [group for group in await choices(parts, {}) if len(group["evaluations"]) > 1]
    return page(
        request, "compare_choose.html", status=status, problem=problem, groups=groups, chosen=frozenset(), most=MOST
    )


async def choices(parts: Parts, query: dict[str, Any]) -> list[dict[str, Any]]:
    """The newest evaluations by environment and phase: those that can be compared with each other."""
    fields = (
        "number",
        "slug",
        "phase",
        "environment_title",
        "model_name",
        "status",
        "progress",
        "metrics",
        "created_at",
    )
    newest = parts.database["evaluations"].find(query, dict.fromkeys(fields, 1)).sort("number", -1).limit(CHOICES)
    found = sorted([row async for row in newest], key=_group_key)
    groups = [list(rows) for _, rows in groupby(found, key=_group_key)]
    return [
        {"title": rows[0]["environment_title"], "phase": rows[0]["phase"], "evaluations": _newest_first(rows)}
        for rows in sorted(groups, key=lambda rows: -max(row["number"] for row in rows))
    ]


def _group_key(evaluation: Document) -> tuple[str, str]:
    return evaluation["slug"], evaluation["phase"]


def _newest_first(rows: list[Document]) -> list[Document]:
    return sorted(rows, key=lambda row: -row["number"])


def address(asked: dict[str, str], **more: str) -> str:
    return f"/compare?{urlencode({**asked, **more}, safe=',')}#items"


def patterns_of(show: str, numbers: Sequence[int]) -> list[int]:
    """The patterns that a filter shows; raises `Invalid` for one that is none."""
    if show == "differ":
        return differing(len(numbers))
    names = [str(number) for number in numbers]
    if show in names:
        return [only(names.index(show))]
    raise wrong(f"show must be one of {', '.join(['differ', *names])}; it is {show[:40]}", "show")


def filters_of(evaluations: Sequence[Document], counts: Counts | None) -> list[tuple[str, str, int | None]]:
    """`(show, title, items)` of each filter, the last None where not all items are counted."""
    found: list[tuple[str, str, int | None]] = [("differ", "All that differ", counts.differ if counts else None)]
    for place, one in enumerate(evaluations):
        items = counts.only(place) if counts else None
        found.append((str(one["number"]), f"Only {LETTERS[place]} right", items))
    return found


def segments_of(counts: Counts) -> list[tuple[str, str, int, float, float]]:
    """The parts of all compared items: `(style, title, items, start, width)`, the last two as fractions."""
    if counts.number == 2:
        found = [
            ("right", "Both right", counts.all_right),
            ("only-a", "Only A right", counts.only(0)),
            ("only-b", "Only B right", counts.only(1)),
            ("wrong", "Both wrong", counts.none_right),
        ]
    else:
        found = [
            ("right", "All right", counts.all_right),
            ("only-a", "Some right", counts.differ),
            ("wrong", "None right", counts.none_right),
        ]
    segments, start = [], 0.0
    for style, title, items in found:
        width = items / counts.compared if counts.compared else 0.0
        segments.append((style, title, items, start, width))
        start += width
    return segments


def intervals_of(evaluations: Sequence[Document]) -> dict[str, Any] | None:
    """Accuracies with their intervals on one axis; None where no evaluation has one yet."""
    found: list[dict[str, float] | None] = []
    for one in evaluations:
        metrics = one.get("metrics") or {}
        interval = metrics.get("accuracy_ci95")
        found.append({"low": interval[0], "rate": metrics["accuracy"], "high": interval[1]} if interval else None)
    rates = [rate for entry in found if entry for rate in entry.values()]
    if not rates:
        return None
    axis: Axis = axis_of(rates)
    places = [{name: axis.place(rate) for name, rate in entry.items()} if entry else None for entry in found]
    return {"ticks": axis.ticks, "entries": list(zip(found, places, strict=True))}
