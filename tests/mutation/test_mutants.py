"""The changes that make mutants."""

import ast

import pytest
from mutants import mutants_of


def changed(source):
    return {ast.unparse(mutant.tree) for mutant in mutants_of(source)}


@pytest.mark.parametrize(
    ("source", "mutant"),
    [
        ("y = a + b", "y = a - b"),
        ("y = a < b", "y = a <= b"),
        ("y = a and b", "y = a or b"),
        ("y = -a", "y = +a"),
        ("y = f(keepdims=True)", "y = f(keepdims=False)"),
        ("y = a[1]", "y = a[2]"),
        ("y = a[1]", "y = a[0]"),
        ("y = a if c else b", "y = b if c else a"),
        ("y = f(a, b, c)", "y = f(b, a, c)"),
        ("y = np.maximum(a, b)", "y = np.minimum(a, b)"),
        ("y += f(a)", "pass"),
        ("f(a)", "pass"),
        ("if a:\n    f(b)", "if not a:\n    f(b)"),
        ("y = zip(a, b, strict=True)", "y = zip(b, a, strict=True)"),
    ],
)
def test_a_change_that_is_made(source, mutant):
    assert mutant in changed(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""Of 1 thing."""',
        "raise ValueError(f'{1 + 1}')",
        "import a",
        "def f(a: Literal[1]) -> A[2]:\n    pass",
        "f = [*zip(a, strict=True)]",
        "__all__ = ['a']",
    ],
)
def test_what_stays(source):
    assert not changed(source)


def test_each_mutant_differs_in_one_place_and_tells_where():
    source = "def f(a, b):\n    c = a + 1\n    return max(c, b)"
    every = list(mutants_of(source))
    assert [str(mutant).split("\n")[0] for mutant in every] == ["line 2:"] * 3 + ["line 3:"]
    assert len({ast.unparse(mutant.tree) for mutant in every}) == len(every)
    assert (every[0].before, every[0].after) == ("c = a + 1", "c = a - 1")


def test_a_statement_of_a_module_that_is_left_out_leaves_a_module_that_compiles():
    (mutant,) = mutants_of("import a\n\na.f(b)\n")
    compile(mutant.tree, "mutant", "exec")
