"""What may import what: a service only itself and `shared`; `shared` neither services nor the gateway."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"assay", "gateway", "services", "shared", "deploy", "bench", "tests"}
MODULES = [
    path.relative_to(ROOT)
    for folder in ("services", "shared", "gateway")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def imported(path: Path) -> set[str]:
    """The dotted names of our own modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
    return {name for name in found if name.split(".")[0] in OURS}


def allowed(path: Path) -> tuple[str, ...]:
    if path.parts[0] == "services" and len(path.parts) > 2:
        return ("shared", f"services.{path.parts[1]}")
    if path.parts[0] == "gateway":
        return ("shared", "gateway")
    return ("shared",)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_stay_inside(path: Path) -> None:
    strangers = {
        name for name in imported(path) if not f"{name}.".startswith(tuple(f"{own}." for own in allowed(path)))
    }
    assert not strangers


def test_what_scorers_measure_with_is_loaded_in_their_workers_alone() -> None:
    heavy = ("sympy", "nltk", "sacrebleu", "rouge_score", "math_verify", "jsonschema")
    services = ("orchestrator", "predictor", "artifacts", "scorer", "launcher")
    apps = ", ".join(["gateway.app", *(f"services.{name}.app" for name in services)])
    program = f"import sys, {apps}; print(*[name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
