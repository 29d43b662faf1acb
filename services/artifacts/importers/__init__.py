"""Other formats made into bundles, a module each: in the worker process (`services.artifacts.inspection`), since what they read is hostile.

A converter gets a folder with what was sent (names checked, no links) and writes `environment.yaml` and its data into another one;
what comes out is read like any bundle. It raises `Invalid` that names the option (`import.fields.input`), or the file and line.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from services.artifacts.bundles import Limits
from services.artifacts.importers import codabench, huggingface, inspect, lm_eval, openai_evals, table
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import unpack
from services.artifacts.problems import quote
from shared.api import Imported
from shared.archives import ArchiveWriter
from shared.errors import Invalid
from shared.imports import Import

Converter = Callable[[Path, Any, Path, Limits], Report]
"""(source, options, out, limits)."""

CONVERTERS: Mapping[str, Converter] = {
    "codabench": codabench.convert,
    "table": table.convert,
    "lm_eval": lm_eval.convert,
    "inspect": inspect.convert,
    "openai_evals": openai_evals.convert,
    "huggingface": huggingface.convert,
}

IMPORTED = "imported.zip"
"""The converted bundle, in the folder of the work."""


def import_source(
    sent: Path | None, filename: str, options: Import, out: Path, limits: Limits
) -> tuple[Path, Imported]:
    """Convert what was sent (a zip, or one file called `filename`; None: nothing); gives the bundle's zip within `out`, and the report.

    Raises:
        Invalid: what is wrong with the source or the options.
        TooLarge: it unpacks to more than the limits.
    """
    source, converted = out / "source", out / "converted"
    source.mkdir(parents=True)
    converted.mkdir()
    if sent is not None:
        unpack(sent, filename, source, limits)
    try:
        report = CONVERTERS[options.format](source, options, converted, limits)
    except Invalid as problem:
        quote(problem.errors, source)
        raise
    with ArchiveWriter(out / IMPORTED, deflated=True) as archive:
        for path in sorted(found for found in converted.rglob("*") if found.is_file()):
            archive.add_file(path.relative_to(converted).as_posix(), path)
    # The disk is needed for what the bundle unpacks to.
    shutil.rmtree(source)
    shutil.rmtree(converted)
    return out / IMPORTED, report.as_imported(options.format, filename)
