"""Reading a bundle in a process of its own, so that a hostile one costs that process and nothing else.

python -m services.artifacts.inspection PARENT_PID ARCHIVE OUT
    < {"limits": ..., "import": options or null, "filename": ...}    > {"bundle": ..., "imported": ...} or {"problem": ...}
"""

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.artifacts.bundles import Bundle, Limits, read_bundle
from services.artifacts.importers import IMPORTED, import_source
from shared.api import Imported
from shared.children import child_environment, die_with, lower_limit
from shared.errors import Invalid, Problem, raise_problem
from shared.imports import IMPORT, Import, as_sent

logger = logging.getLogger("assay.artifacts")

_ROOT = Path(__file__).resolve().parents[2]
_GRACE_S = 5  # between the signal at the CPU limit and the kill
# Arrow's own allocator reserves address space ahead, which a limit on that counts.
_ADDED = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}


async def inspect_bundle(archive: Path, out: Path, limits: Limits) -> Bundle:
    """`read_bundle` in a process group of its own, under `limits`; whatever happens, nothing of it runs on afterwards.

    Raises:
        Invalid: what is wrong with the bundle, or which limit of the worker it ran into.
        TooLarge: see `read_bundle`.
        Problem: an error of Assay's own, status 500; the worker's stderr is in the log.
    """
    return Bundle.from_dict((await _in_worker(archive, out, limits, {}))["bundle"])


async def inspect_import(
    sent: Path | None, filename: str, options: Import, out: Path, limits: Limits
) -> tuple[Path, Bundle, Imported]:
    """`import_source` and then `read_bundle`, in the same way; gives the converted bundle's zip too. Raises as `inspect_bundle`."""
    asked = {"import": as_sent(options), "filename": filename}
    document = await _in_worker(sent, out, limits, asked)
    return out / IMPORTED, Bundle.from_dict(document["bundle"]), Imported.model_validate(document["imported"])


async def _in_worker(archive: Path | None, out: Path, limits: Limits, asked: dict[str, Any]) -> Any:
    worker = await asyncio.create_subprocess_exec(
        *_command(archive, out),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=_ROOT,
        env=worker_environment(os.environ),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limits.wall_s):
            stdout, stderr = await worker.communicate(json.dumps({"limits": asdict(limits), **asked}).encode())
    except TimeoutError as error:
        raise Invalid(f"bundle takes more than {limits.wall_s:g} s to read") from error
    finally:
        if worker.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            await worker.wait()
    if worker.returncode != 0:
        if (reason := _death(worker.returncode or 0, limits)) is not None:
            raise Invalid(f"bundle cannot be read: {reason}")
        logger.error(
            "reading a bundle failed with code %s: %s", worker.returncode, stderr[-4000:].decode(errors="replace")
        )
        raise Problem("reading the bundle failed; the log of the artifacts service says why")
    document = json.loads(stdout)
    if "problem" in document:
        raise_problem(document["problem"])
    return document


def worker_environment(own: Mapping[str, str]) -> dict[str, str]:
    """The worker's environment variables, given this process's."""
    return child_environment(own) | _ADDED


def _command(archive: Path | None, out: Path) -> list[str]:
    paths = str(archive.absolute()) if archive else "", str(out.absolute())
    return [sys.executable, "-m", "services.artifacts.inspection", str(os.getpid()), *paths]


def _death(code: int, limits: Limits) -> str | None:
    """Why the worker died, where that is the bundle's doing."""
    match -code:
        case signal.SIGXCPU:
            return f"it takes more than {limits.cpu_s} s of CPU time"
        case signal.SIGKILL:
            return "its reader was killed, most likely because the machine ran out of memory"
        case signal.SIGSEGV | signal.SIGABRT | signal.SIGBUS | signal.SIGFPE | signal.SIGILL:
            return f"its reader crashed; a data file is damaged, or needs more than {limits.memory_bytes:,} bytes of memory"
    return None


def _confine(limits: Limits) -> None:
    """From here on this process cannot have more than `limits`."""
    largest_file = max(limits.max_file_bytes, limits.max_items_bytes)
    for kind, soft, hard in (
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + _GRACE_S),
        (resource.RLIMIT_FSIZE, largest_file, largest_file),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        lower_limit(kind, soft, hard)


def main() -> None:
    parent, archive, out = int(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2] else None, Path(sys.argv[3])
    die_with(parent)
    asked = json.load(sys.stdin)
    limits = Limits(**asked["limits"])
    _confine(limits)
    document: dict[str, object]
    try:
        document = _inspect(archive, out, limits, asked)
    except Problem as problem:
        document = {"problem": problem.as_dict()}
    except MemoryError:
        reason = f"it needs more than {limits.memory_bytes:,} bytes of memory"
        document = {"problem": Invalid(f"bundle cannot be read: {reason}").as_dict()}
    json.dump(document, sys.stdout)


def _inspect(archive: Path | None, out: Path, limits: Limits, asked: dict[str, Any]) -> dict[str, object]:
    imported = None
    if "import" in asked:
        options = IMPORT.validate_python(asked["import"])
        archive, imported = import_source(archive, asked["filename"], options, out, limits)
    assert archive is not None
    bundle = read_bundle(archive, out, limits)
    return {"bundle": bundle.as_dict(), "imported": imported.model_dump(mode="json") if imported else None}


if __name__ == "__main__":
    main()
