"""A bug on purpose: a piece of a function's source that is replaced by another, and put back.

A bug is data (`Bug`): its table is in `function_bugs.py`, `reference_bugs.py` and `cpu_bugs.py`. The piece must stand
in the function exactly once; if the function is rewritten, the bug fails its test instead of silently doing nothing.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType

DEFINITIONS = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Bug:
    """One bug, and who must find it.

    name: what is wrong, in words. where: "module:function", the module below `tomograd`, a method as "Class.method".
    right: a piece of that function's source; wrong: what stands there instead. check: the name of a check; words: a
    part of what the checker has to say.

    What is wrong in it may keep things from one call to the next in a dict `_kept`.
    """

    name: str
    where: str
    right: str
    wrong: str
    check: str
    words: str

    @property
    def module(self) -> str:
        """The module, below `tomograd`."""
        return self.where.partition(":")[0]

    @property
    def function(self) -> list[str]:
        """The function's name within the module, class by class."""
        return self.where.partition(":")[2].split(".")

    @property
    def is_race(self) -> bool:
        """Whether it shows only when two threads compute at once."""
        return self.name.startswith("a race")

    def __str__(self) -> str:
        return self.name


def source_file(module: str) -> Path:
    """Where a module below `tomograd` stands. Raises LookupError where there is none."""
    spec = find_spec(f"tomograd.{module}")
    if spec is None or spec.origin is None:
        raise LookupError(f"there is no module tomograd.{module}")
    return Path(spec.origin)


def with_bug(bug: Bug) -> str:
    """The module's source with the bug in it. Raises LookupError unless the function and the piece are there, once."""
    source = source_file(bug.module).read_text(encoding="utf-8")
    node: ast.AST = ast.parse(source)
    for name in bug.function:
        found = [child for child in ast.iter_child_nodes(node) if isinstance(child, DEFINITIONS) and child.name == name]
        if len(found) != 1:
            raise LookupError(f"{bug.name}: {len(found)} definitions of {name} in {bug.where}")
        node = found[0]
    lines = source.splitlines(keepends=True)
    before, after = "".join(lines[: node.lineno - 1]), "".join(lines[node.end_lineno :])
    body = "".join(lines[node.lineno - 1 : node.end_lineno])
    if body.count(bug.right) != 1:
        raise LookupError(f"{bug.name}: {bug.right!r} stands {body.count(bug.right)} times in {bug.where}")
    return before + body.replace(bug.right, bug.wrong) + after


@contextmanager
def injected(bug: Bug) -> Iterator[None]:
    """Within the `with` block the function has the bug, for all who have imported it: its code is another."""
    module = importlib.import_module(f"tomograd.{bug.module}")
    function = module
    for name in bug.function:
        function = getattr(function, name)
    function = inspect.unwrap(function)
    assert isinstance(function, FunctionType), f"{bug.where} is a {type(function).__name__}"
    code = compile(with_bug(bug), str(module.__file__), "exec", dont_inherit=True)
    for name in bug.function:
        code = _inner(code, name)
    right = function.__code__
    function.__globals__["_kept"] = {}
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = right
        del function.__globals__["_kept"]


def _inner(code: CodeType, name: str) -> CodeType:
    (found,) = [each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == name]
    return found
