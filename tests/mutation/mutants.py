"""Mutants of a module: its syntax tree with one small change each, such as a reviewer would overlook.

Operators and comparisons are exchanged, numbers are off by one, truth values turned, conditions negated, the arguments
of a call swapped, branches of an expression exchanged, statements left out, and functions replaced by their opposites.
Messages of errors, annotations and docstrings stay: nothing depends on them that a test should hold.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
COMPARISONS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_PAIRS = {
    "min": "max", "minimum": "maximum", "argmin": "argmax", "any": "all", "sum": "mean", "zeros": "ones",
    "zeros_like": "ones_like", "sin": "cos", "exp": "expm1", "log": "log1p",
}  # fmt: skip
OPPOSITES = _PAIRS | {b: a for a, b in _PAIRS.items()}

SYMMETRIC = ("min", "max", "minimum", "maximum")  # functions whose arguments may be swapped

Change = Callable[[ast.AST], None]  # of a node, in place
Path = tuple[tuple[str, "int | None"], ...]  # fields, and places in those that are lists, from the module down


@dataclass(frozen=True)
class Mutant:
    """One of them: the line of the change, the statement before and after, and how its tree is made."""

    line: int
    before: str
    after: str
    module: ast.Module
    place: Path
    change: Change

    @cached_property
    def tree(self) -> ast.Module:
        """The module with the change."""
        tree = copy.deepcopy(self.module)
        self.change(_at(tree, self.place))
        return ast.fix_missing_locations(tree)

    def __str__(self) -> str:
        return f"line {self.line}:\n    - {self.before}\n    + {self.after}"


def mutants_of(source: str) -> Iterator[Mutant]:
    """All mutants of a module's source, from top to bottom. (To see what a change does, its statement is enough: of a
    large module, copying the whole for each would take minutes.)"""
    tree = ast.parse(source)
    places = sorted(_places(tree), key=lambda place: (place[1].lineno, place[1].col_offset))
    for path, node in places:
        for change in _changes(node):
            statement = _statement(tree, path)
            before = _at(tree, statement)
            after = copy.deepcopy(before)
            change(_at(after, path[len(statement) :]))
            lines = _in_one_line(before), _in_one_line(after)
            if lines[0] != lines[1]:
                yield Mutant(node.lineno, *lines, tree, path, change)


def _places(node: ast.AST, path: Path = ()) -> Iterator[tuple[Path, ast.AST]]:
    """Every node that may be changed, with its path."""
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr):
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield path, node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for place, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _is_guard(child):
                yield from _places(child, (*path, (field, place)))


def _is_guard(node: ast.AST) -> bool:
    """Whether nothing depends on it that a test should hold: docstrings, `__all__`, the `strict` of a zip."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Assign(targets=[ast.Name(id="__all__")]) | ast.keyword(arg="strict"):
            return True
    return False


def _at(tree: ast.AST, path: Path) -> ast.AST:
    for field, place in path:
        value = getattr(tree, field)
        tree = value if place is None else value[place]
    return tree


def _statement(tree: ast.AST, path: Path) -> Path:
    """The path of the innermost statement that holds a node, or of a function's list of arguments."""
    found: Path = ()
    for depth in range(1, len(path) + 1):
        if isinstance(_at(tree, path[:depth]), ast.stmt | ast.arguments):
            found = path[:depth]
    return found


def _in_one_line(node: ast.AST) -> str:
    """The statement, of a compound one its head."""
    return ast.unparse(node).split("\n")[0]


# ---- changes ---------------------------------------------------------------------------------------------------------


def _setting(field: str, value: object) -> Change:
    return lambda node: setattr(node, field, value)


def _changes(node: ast.AST) -> Iterator[Change]:
    """What can be done to a node."""
    match node:
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield _setting("op", OPERATORS[type(op)]())
        case ast.Compare(ops=[op]):
            yield _setting("ops", [COMPARISONS[type(op)]()])
        case ast.BoolOp(op=op):
            yield _setting("op", ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.USub()):
            yield _setting("op", ast.UAdd())
        case ast.UnaryOp(op=ast.Not()):
            yield _setting("op", ast.UAdd())  # of a truth value: 0 or 1
        case ast.Constant(value=bool(value)):
            yield _setting("value", not value)
        case ast.Constant(value=int(value)):
            yield _setting("value", value + 1)
            if value:  # as an index, -1 is 0 where there is one element
                yield _setting("value", value - 1)
        case ast.Constant(value=float(value)):
            yield _setting("value", value * 1.001 if value else 1e-3)
        case ast.IfExp():
            yield _exchange_branches
        case ast.If():
            yield lambda node: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Call):
        yield from _changes_of_call(node)
    if isinstance(node, ast.Expr | ast.AugAssign):
        yield _leave_out


def _changes_of_call(node: ast.Call) -> Iterator[Change]:
    plain = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
    if len(plain) == len(node.args) >= 2 and ast.unparse(node.func).rpartition(".")[2] not in SYMMETRIC:
        yield lambda call: setattr(call, "args", [call.args[1], call.args[0], *call.args[2:]])
    match node.func:
        case ast.Name(id=name) if name in OPPOSITES:
            yield lambda call: setattr(call.func, "id", OPPOSITES[name])
        case ast.Attribute(attr=name) if name in OPPOSITES:
            yield lambda call: setattr(call.func, "attr", OPPOSITES[name])


def _exchange_branches(node: ast.AST) -> None:
    node.body, node.orelse = node.orelse, node.body


def _leave_out(node: ast.AST) -> None:
    """A statement that does nothing, in its place."""
    kept = {name: getattr(node, name) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")}
    node.__class__ = ast.Pass
    node.__dict__.clear()
    node.__dict__.update(kept)
