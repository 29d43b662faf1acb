"""Environments with scoring programs, as tests make them."""

import json
import textwrap
from pathlib import Path
from typing import Any

import yaml

METADATA = "command: python3 score.py /app/input /app/output\n"
ROWS = [{"id": f"q{n}", "question": f"Say {n}."} for n in range(1, 4)]


def environment(
    folder: Path,
    slug: str,
    program: str = "",
    *,
    metadata: str = METADATA,
    scoring: dict[str, Any] | None = None,
    columns: list[dict[str, Any]] | None = None,
    phase: dict[str, Any] | None = None,
    rows: list[dict[str, Any]] = ROWS,
    files: dict[str, str | bytes] | None = None,
    **manifest: Any,
) -> Path:
    """A bundle's folder: the program `score.py` over three items without a target, unless told otherwise."""
    whole = {
        "slug": slug,
        "title": slug.replace("-", " ").title(),
        "prompt": {"template": "{{ question }}"},
        "phases": [{"name": "test", "data": "rows.jsonl", "fields": {"id": "id", "input": "question"}} | (phase or {})],
        "scoring": {"program": "scoring_program"} | (scoring or {}),
        **({"leaderboard": {"columns": columns}} if columns else {}),
        **manifest,
    }
    written: dict[str, str | bytes] = {
        "environment.yaml": yaml.safe_dump(whole, sort_keys=False),
        "rows.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "scoring_program/metadata.yaml": metadata,
        "scoring_program/score.py": textwrap.dedent(program),
        **(files or {}),
    }
    for name, content in written.items():
        path = folder / slug / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / slug
