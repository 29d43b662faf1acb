"""Leaderboards out of MongoDB: the evaluations of a phase, ranked, and those that could be put there."""

import asyncio
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.lookups import phase_of, versions_of
from gateway.ranking import is_rankable, rank, row_of
from shared.api import LeaderboardRow
from shared.contracts import Status
from shared.manifest import BY_HAND, Column, Leaderboard
from shared.storage.mongo import Database, Document

BATCH = 2000

_FIELDS = (
    "number",
    "model",
    "model_name",
    "judge_name",
    "version",
    "limit",
    "progress.total",
    "finished_at",
    "listed_at",
)
_METRICS = ("overall_score", "accuracy", "accuracy_ci95", "coverage")
_PLAIN_KEY = re.compile(r"[\w-]+")
"""A metric whose name can stand in a path of MongoDB."""


@dataclass(frozen=True)
class Board:
    """`columns` are those that are shown, `rows` all rows in their order; `candidates` could be put there by hand, newest first."""

    environment: Document
    phase: str
    leaderboard: Leaderboard
    columns: list[Column]
    rows: list[LeaderboardRow]
    candidates: list[LeaderboardRow]


async def find_board(database: Database, environment: Document, phase: str | None = None) -> Board:
    """The leaderboard of a phase, by default the first, as this version of its environment has it; raises `Invalid` for an unknown one."""
    name: str = phase_of(environment, phase)["name"]
    leaderboard = leaderboard_of(environment)
    versions = await versions_of(database, environment["slug"])
    query = {
        "environment": {"$in": [f"{environment['slug']}@{entry['version']}" for entry in versions]},
        "phase": name,
        "status": Status.COMPLETED,
    }
    found = database["evaluations"].find(query, dict.fromkeys(_needed(leaderboard.columns), 1))
    # Whole batches: Motor's hop to its thread costs more than a document.
    evaluations = await found.batch_size(BATCH).to_list(None)
    items = {
        entry["version"]: found["items"] for entry in versions for found in entry["phases"] if found["name"] == name
    }
    # In a thread: ten thousand rows take some tenths of a second.
    rows, candidates = await asyncio.to_thread(_ranked, evaluations, leaderboard, environment["version"], items)
    shown = [column for column in leaderboard.columns if not column.hidden]
    return Board(environment, name, leaderboard, shown, rows, candidates)


def _ranked(
    evaluations: list[Document], leaderboard: Leaderboard, version: str, items: dict[str, int]
) -> tuple[list[LeaderboardRow], list[LeaderboardRow]]:
    """The rows, and those that could be put there, all without their hidden columns."""
    columns = leaderboard.columns
    rows = rank(evaluations, leaderboard, version, items)
    candidates: list[LeaderboardRow] = []
    if leaderboard.submission_rule in BY_HAND:
        there = {row.evaluation for row in rows}
        others = (row_of(each, columns, items) for each in evaluations if each["_id"] not in there)
        candidates = [row for row in others if is_rankable(row, columns[0], version)]
        candidates.sort(key=lambda row: -row.number)
    hidden = [column.key for column in columns if column.hidden]
    for row in (*rows, *candidates):
        for key in hidden:
            row.scores.pop(key)
            row.intervals.pop(key, None)
    return rows, candidates


async def find_best(database: Database, environment: Document, phase: str) -> LeaderboardRow | None:
    """The first row of a phase's leaderboard, if one is ranked. Needs `slug`, `version`, `phases` and `manifest.leaderboard`."""
    leaderboard = leaderboard_of(environment)
    first = leaderboard.columns[0]
    if (
        leaderboard.submission_rule not in ("all", "force_best")
        or first.computed
        or not _PLAIN_KEY.fullmatch(first.key)
    ):
        rows = (await find_board(database, environment, phase)).rows
        return rows[0] if rows and rows[0].rank is not None else None
    # The best value of all evaluations is the first row, and MongoDB finds it without the others.
    size = phase_of(environment, phase)["items"]
    for path in (f"metrics.{first.key}", f"metrics.scores.{first.key}"):
        query = {
            "environment": f"{environment['slug']}@{environment['version']}",
            "phase": phase,
            "status": Status.COMPLETED,
            "$or": [{"limit": None}, {"limit": {"$gte": size}}],
            path: {"$gt": -math.inf, "$lt": math.inf},
        }
        best_first = [(path, -1 if first.sorting == "desc" else 1), ("number", 1)]
        fields = dict.fromkeys(_needed(leaderboard.columns), 1)
        found = await database["evaluations"].find_one(query, fields, sort=best_first)
        if found is not None:
            return row_of(found, leaderboard.columns, {environment["version"]: size})
    return None


def leaderboard_of(environment: Document) -> Leaderboard:
    """Of an environment's document, of which `manifest.leaderboard` suffices."""
    return Leaderboard.model_validate(environment["manifest"].get("leaderboard", {}))


def _needed(columns: Sequence[Column]) -> list[str]:
    """What of an evaluation is read: of ten thousand, all their metrics would take most of the time."""
    keys = [column.key for column in columns if column.computed is None]
    if not all(_PLAIN_KEY.fullmatch(key) for key in keys):
        return [*_FIELDS, "metrics"]
    of_keys = [(f"{key}", f"scores.{key}", f"intervals.{key}", f"intervals.scores.{key}") for key in keys]
    paths = {*_METRICS, "intervals.accuracy", *(path for each in of_keys for path in each)}
    # A path beside one that it begins with is refused: a column may be `scores` or `intervals`, absurd as that is.
    if paths & {"scores", "intervals", "intervals.scores"}:
        return [*_FIELDS, "metrics"]
    return [*_FIELDS, *(f"metrics.{path}" for path in sorted(paths))]
