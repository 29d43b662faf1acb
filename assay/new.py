"""Writes an environment to start from: one that is right as it is, with every option of its scorer and its phase as a comment.

The options come from the manifest's models, as its JSON Schema does.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from assay.errors import InvalidInput
from assay.starters import STARTERS, Row, Starter
from shared.manifest import Manifest, Phase

DATA = "dev.jsonl"


def new_environment(folder: Path, scorer: str, slug: str, title: str, schema: str) -> list[str]:
    """Write the environment into `folder`, which must not exist or be empty; gives the paths in it.

    `schema` is the address of the manifest's JSON Schema, for editors. Raises `InvalidInput`.
    """
    if (starter := STARTERS.get(scorer)) is None:
        raise InvalidInput(f"there is no scorer {scorer!r} to start with; there are {', '.join(STARTERS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is there already and not empty; give a folder that is not there")
    files = {
        "environment.yaml": manifest_text(starter, scorer, slug, title, schema),
        "overview.md": _overview(starter, title),
        DATA: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in starter.rows),
        "README.md": _readme(starter, slug),
        **starter.files,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [*files]


def slugified(name: str) -> str:
    """A slug that is like `name`."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-_")[:63] or "my-environment"


def manifest_text(starter: Starter, scorer: str, slug: str, title: str, schema: str) -> str:
    """`environment.yaml`. Raises `pydantic.ValidationError` for a slug or title that is none."""
    prompt: Row = {"system": starter.system} if starter.system else {}
    fields = {"id": "id", "input": "question"} | ({"target": starter.target} if starter.target else {})
    phase: Row = {"name": "dev", "description": "A few items to try things out with.", "data": DATA, "fields": fields}
    scoring: Row = {"scorer": scorer, **starter.scoring}
    head: Row = {"slug": slug, "title": title, "description": starter.about, "overview": "overview.md"}
    prompt["template"] = starter.template
    board: Row = {"columns": starter.board}
    manifest = Manifest.model_validate(
        {**head, "prompt": prompt, "phases": [phase], "scoring": scoring, "leaderboard": board}
    )
    lines = [
        f"# yaml-language-server: $schema={schema}",
        "# Check it with `assay env check .`, register it with `assay env push .`. Lines that are commented out show the defaults.",
        *_yaml(head),
        "tags: [example]",
        "",
        "# What a model is asked: a Jinja template over the columns of the data.",
        *_yaml({"prompt": prompt}),
        "",
        "# Request parameters of the OpenAI API, which an evaluation may override.",
        *_yaml({"generation": {"temperature": 0, "max_tokens": 512}}),
        "",
        "# Named parts of the data, JSONL, CSV or Parquet; times are in UTC.",
        "phases:",
        *_indented(_yaml(phase), "  - ", "    "),
        *_options(Phase, phase, "    "),
        "",
        f"# How answers are scored: {_first_sentence(type(manifest.scoring))}",
        *_yaml({"scoring": scoring}),
        *_options(type(manifest.scoring), scoring, "  "),
        "",
        "# The first column ranks; a key is a metric.",
        *_yaml({"leaderboard": board}),
        *_options(type(manifest.leaderboard), board, "  "),
    ]
    return "\n".join(lines) + "\n"


def _options(model: type[BaseModel], given: Iterable[str], indent: str) -> Iterator[str]:
    """What may be set beside what is given, as comments with the defaults."""
    for name, info in model.model_fields.items():
        default = info.get_default(call_default_factory=True)
        key = info.alias or name
        if key not in given and default is not PydanticUndefined:
            plain = to_jsonable_python(default, exclude_none=True)
            yield f"{indent}# {key}: {json.dumps(plain, ensure_ascii=False)}"


def _first_sentence(model: type[BaseModel]) -> str:
    about = " ".join((model.__doc__ or "").split()) or f"see docs/environments.md on {model.__name__}."
    return about.split(". ")[0].split(".\n")[0].rstrip(".") + "."


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(document: Row) -> list[str]:
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return str(text).rstrip("\n").split("\n")


def _indented(lines: list[str], first: str, others: str) -> list[str]:
    return [f"{others if place else first}{line}" for place, line in enumerate(lines)]


def _overview(starter: Starter, title: str) -> str:
    return f"""# {title}

{starter.about}

## Data card

| | |
| --- | --- |
| source | where the items come from, and who made them |
| size | {len(starter.rows)} items |
| language | English |
| licence | under which the items may be used |
"""


def _readme(starter: Starter, slug: str) -> str:
    return (
        f"""# Next steps

1. Put your own rows into `{DATA}`, a JSON object a line. The prompt's template sees every column.
2. `assay env check .` says what is wrong, by file and line, without a server.
3. `assay env push .` registers a version; `assay eval {slug} --model NAME --limit 5` tries it.
4. Write `overview.md`: what it measures, where the items come from, and their licence.

{starter.hint}
""".rstrip()
        + "\n"
    )
