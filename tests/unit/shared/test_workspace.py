"""Folders of killed processes are removed, those of living ones stay."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from shared.workspace import sweep, workspace


def test_what_a_killed_process_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = "import os; from shared.workspace import workspace\nwith workspace('x') as f: print(f, flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    left = Path(done.stdout.strip())
    assert left.is_dir()
    with workspace("other") as own:
        sweep()
        assert own.is_dir()
    assert list(tmp_path.iterdir()) == []
