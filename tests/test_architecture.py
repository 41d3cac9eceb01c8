"""The house rules that a machine can check: one-way imports, no other engine, a light start."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "files": set(),
    "kernels": set(),
    "engine": {"files", "kernels"},
    "models": {"files", "engine", "kernels"},
    "imaging": {"files"},
    "testing": {"kernels", "engine"},
    "benchmarks": {"kernels", "engine", "models", "imaging", "testing", "interface"},
    "interface": {"files", "kernels", "engine", "models", "imaging", "benchmarks", "testing"},
}
OTHER_ENGINES = {"torch", "tensorflow", "jax", "keras", "mxnet", "chainer"}
SOURCES = [path for folder in ALLOWED for path in sorted((CHECKOUT / folder).rglob("*.py"))]


def imported(path: Path, checkout: Path = CHECKOUT) -> set[str]:
    """The absolute names of all modules that a source file imports, with tomograd's own written as `tomograd.…`."""
    parts = list(path.relative_to(checkout).with_suffix("").parts)
    package = ["tomograd", *(parts[1:] if parts[0] == "interface" else parts)][:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return found


def folder_of(module: str) -> str | None:
    """The folder of the house in which a module of tomograd lives; None for other packages and for tomograd itself."""
    parts = module.split(".")
    if parts[0] != "tomograd" or len(parts) < 2:
        return None
    return parts[1] if parts[1] in ALLOWED else "interface"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_imports_go_one_way(path):
    home = path.relative_to(CHECKOUT).parts[0]
    reached = {folder for module in imported(path) if (folder := folder_of(module))}
    assert reached <= ALLOWED[home] | {home}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_no_other_engine_is_imported(path):
    others = {module.split(".")[0] for module in imported(path)} & OTHER_ENGINES
    mine = [f"engine_{other}{part}.py" for other in others for part in ("", "_gpu")]  # the peers of the benchmarks
    assert not others or path.name in mine


@pytest.mark.parametrize("line", ["from ..engine import Tensor", "from .. import engine", "import tomograd.engine"])
def test_the_rules_see_an_import_against_the_direction(tmp_path, line):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "wrong.py").write_text(line)
    assert "engine" in {folder_of(module) for module in imported(tmp_path / "kernels" / "wrong.py", tmp_path)}


def test_every_module_says_what_it_is():
    silent = [path for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert not silent


def test_importing_tomograd_is_light():
    """No kernel is compiled, and neither Numba nor a plotting library is loaded, before something needs them."""
    script = (
        "import sys, tomograd; print(sorted(set(sys.modules) & {'numba', 'matplotlib', 'scipy', 'pydicom', 'PIL'}))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd="/")
    assert shown.stdout.strip() == "[]"
