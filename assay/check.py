"""Checks a bundle on this machine, with the code that registers one, and without a gateway."""

import os
import tempfile
from pathlib import Path

from pydantic import BaseModel

from assay.pack import packed
from services.artifacts.bundles import Limits
from services.artifacts.inspection import inspect_bundle
from services.artifacts.targets import check_targets
from services.scorer.targets import Targets
from services.scorer.workers import Workers
from shared.api import InWords
from shared.views import in_words


class CheckedPhase(BaseModel):
    """`items_sha256` is the content hash of its items."""

    name: str
    items: int
    items_sha256: str


class Checked(BaseModel):
    """A bundle in which nothing is wrong. `version` is what registering it will give; `warnings` are for information."""

    slug: str
    title: str
    version: str
    phases: list[CheckedPhase]
    scoring: dict[str, object]
    in_words: InWords
    warnings: list[str]


async def check(path: str | os.PathLike[str]) -> Checked:
    """The bundle at `path`, a folder or a zip.

    Raises:
        InvalidInput: there is none at `path`, or it holds links.
        Problem: what is wrong with it, as registering it would say; `errors` name file, line and field.
    """
    with packed(path) as archive, tempfile.TemporaryDirectory(prefix="assay-") as folder:
        out = Path(folder)
        bundle = await inspect_bundle(archive, out, Limits())
        workers = Workers()
        try:
            await check_targets(bundle, out, Targets(workers).check)
        finally:
            await workers.stop()
    manifest = bundle.manifest
    return Checked(
        slug=manifest.slug,
        title=manifest.title,
        version=bundle.version,
        phases=[
            CheckedPhase(name=name, items=items, items_sha256=sha256)
            for (name, items), sha256 in zip(bundle.phases, bundle.items_sha256, strict=True)
        ],
        scoring=manifest.scoring.model_dump(mode="json"),
        in_words=in_words(manifest, dict(bundle.phases)),
        warnings=bundle.warnings,
    )
