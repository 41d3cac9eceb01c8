"""The cases of the suite: their geometry, work and traffic against plain counting, and both engines' twins of them."""

import importlib.util
import itertools
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.benchmarks import engine_tomograd, networks, operations, suite
from tomograd.benchmarks.calls import WITH_GRADIENT
from tomograd.benchmarks.catalogue import FUNCTIONS, KERNELS, MEMORY, STARTUP, STEPS, entries
from tomograd.benchmarks.convolutions import CONVOLUTIONS, FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Convolution
from tomograd.benchmarks.operations import DENSES, OPERATIONS, TRAFFIC, WORK, Dense, Operation
from tomograd.benchmarks.recurrences import BOTH, GATES, RECURRENCES, Recurrence
from tomograd.engine import Tensor
from tomograd.failures import UserError
from tomograd.kernels import reference
from tomograd.kernels.geometry import conv_output_size
from tomograd.testing import registry

HAS_TORCH = importlib.util.find_spec("torch") is not None
TINY = [
    "2,3,7,6→4,3,p1",
    "1,2,9,8→3,3,s2,p1",
    "1,4,7,7→4,3,p1,g4",
    "1,4,9,9→4,3,s2,p1,g4",
    "1,4,6,6→6,3,p1,g2",
    "1,2,9,9→3,3,p2,d2",
    "1,2,11→3,9,p4",
    "1,2,4,4,4→3,3,p1",
    "1,4,5,5→2,2,s2,T",
    "1,1,9,8→2,1",
]


@st.composite
def layers(draw):
    """Small convolutions of every kind."""
    dimensions, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2]))
    kernel, dilation, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    reach = (kernel - 1) * dilation + 1
    padding = draw(st.integers(0, (reach - 1) // 2))
    size = tuple(draw(st.integers(reach, reach + 4)) for _ in range(dimensions))
    channels, filters = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    transposed = draw(st.booleans())
    return Convolution(2, channels, size, filters, kernel, stride, padding, dilation, groups, transposed)


@given(layers())
def test_operations_are_the_products_that_meet_no_padding(case):
    """Counted one by one: kernel taps over output positions, of the convolution that a transposed one belongs to."""
    large, small = (case.output, case.size) if case.transposed else (case.size, case.output)
    pairs = 0
    for position in itertools.product(*map(range, small)):
        for tap in itertools.product(range(case.kernel), repeat=case.dimensions):
            at = [p * case.stride + t * case.dilation - case.padding for p, t in zip(position, tap, strict=True)]
            pairs += all(0 <= a < n for a, n in zip(at, large, strict=True))
    assert case.operations() == 2 * case.batch * pairs * case.channels * (case.filters // case.groups)


@given(layers())
def test_a_label_is_the_notation_of_its_case(case):
    assert Convolution.of(case.label) == case


@given(layers())
def test_operands_fit_together_and_bytes_are_theirs(case):
    d = case.dimensions
    large, small = (case.output, case.size) if case.transposed else (case.size, case.output)
    window, padding = (case.kernel,) * d, ((case.padding,) * 2,) * d
    reached = conv_output_size(large, window, (case.stride,) * d, padding, (case.dilation,) * d)
    assert reached == small
    arrays = case.arrays()
    for which, names in [
        (FORWARD, ["x", "weight", "bias", "dy"]),
        (INPUT_GRADIENT, ["dy", "weight", "x"]),
        (WEIGHT_GRADIENT, ["x", "dy", "weight"]),
    ]:
        assert case.bytes(which) == sum(arrays[name].nbytes for name in names)


@pytest.mark.parametrize("notation", ["", "1,2→3,3", "1,2,3→4", "1,2,3,3→4,3,x2", "1,2,3,3→4,3,s", "a,2,3,3→4,3"])
def test_a_wrong_notation_is_refused(notation):
    with pytest.raises(ValueError, match="convolution"):
        Convolution.of(notation)


@pytest.mark.parametrize("notation", TINY)
def test_tiny_twins_agree_with_the_reference(notation):
    """The passes that are timed are those that the case names: forward, and its two gradients by inner products."""
    case = Convolution.of(notation)
    arrays = {name: array.astype(np.float64) for name, array in case.arrays().items()}
    y, dx, dw = (engine_tomograd.build(case, which, []) for which in case.passes)
    y, dx, dw = (built.output(built.run()) for built in (y, dx, dw))
    d = case.dimensions
    geometry = (case.stride,) * d, ((case.padding,) * 2,) * d, (case.dilation,) * d, case.groups
    forward = (
        reference.conv_transpose(arrays["x"], arrays["weight"], arrays["bias"], case.output, *geometry)
        if case.transposed
        else reference.conv(arrays["x"], arrays["weight"], arrays["bias"], *geometry)
    )
    np.testing.assert_allclose(y, forward, rtol=1e-4, atol=1e-4)
    # y − bias is linear in x and in the weight: <dy, y − bias> = <dx, x> = <dw, weight>
    product = (arrays["dy"] * (forward - arrays["bias"])).sum()
    np.testing.assert_allclose((dx * arrays["x"]).sum(), product, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose((dw * arrays["weight"]).sum(), product, rtol=1e-3, atol=1e-3)


def shrunk(case: Operation) -> Operation:
    """The same kernel on few numbers."""
    shape = tuple(min(size, 6) for size in case.shape[:-1]) + (8 if len(case.shape) > 1 else 50,)
    options = case.options | ({"groups": 4} if "groups" in case.options else {})
    return Operation(case.kind, shape, options)


@pytest.mark.parametrize("case", OPERATIONS, ids=lambda case: case.label)
def test_tiny_operations_run_and_traffic_names_what_they_take(case):
    tiny = shrunk(case)
    for which in tiny.passes:
        built = engine_tomograd.build(tiny, which, [])
        result = built.output(built.run())
        expected = {"forward": tiny.output, "inference": tiny.output}.get(which, tiny.shape)
        if case.kind in ("sparse_cross_entropy", "dice") and which == FORWARD:
            expected = tiny.arrays()["dy"].shape
        assert result.shape == expected
        assert tiny.bytes(which) > 0 and (tiny.operations(which) > 0 or case.options.get("method") == "nearest")


def test_traffic_of_max_pooling_is_counted_by_hand():
    case = Operation("max_pool", (1, 4, 4, 3), {"window": 2, "stride": 2, "padding": 0})
    assert case.bytes("forward") == 48 * 4 + 12 * 4 + 12  # x, y, a byte for each choice
    assert case.bytes("gradient") == 12 * 4 + 12 + 48 * 4
    assert case.operations("forward") == 12 * 4


def test_traffic_and_work_are_tables_of_the_same_kernels():
    assert TRAFFIC.keys() == WORK.keys() == engine_tomograd.OPERATIONS.keys()
    assert all(TRAFFIC[kind].keys() == WORK[kind].keys() for kind in TRAFFIC)
    assert {case.kind for case in OPERATIONS} == TRAFFIC.keys()


def test_dense_passes_agree_with_numpy():
    case = Dense(5, 7, 3)
    arrays = case.arrays()
    expected = {
        FORWARD: arrays["x"] @ arrays["weight"] + arrays["bias"],
        INPUT_GRADIENT: arrays["dy"] @ arrays["weight"].T,
        WEIGHT_GRADIENT: arrays["x"].T @ arrays["dy"],
    }
    for which, right in expected.items():
        built = engine_tomograd.build(case, which, [])
        np.testing.assert_allclose(built.output(built.run()), right, rtol=1e-4, atol=1e-5)
    assert case.operations() == 2 * 5 * 7 * 3 and case.bytes(FORWARD) == 4 * (35 + 21 + 15 + 3)


TINY_CELLS = [Recurrence(cell, 2, 3, 4, 5) for cell in GATES]


@pytest.mark.parametrize("case", TINY_CELLS, ids=lambda case: case.cell)
def test_tiny_cells_run_and_their_work_and_traffic_are_counted_by_hand(case):
    y, dx = (engine_tomograd.build(case, which, []) for which in case.passes)
    assert y.output(y.run()).shape == (2, 3, 5) and dx.output(dx.run()).shape == (2, 3, 4)
    gates, biases = GATES[case.cell], 2 if case.cell == "gru" else 1
    assert case.operations(FORWARD) == 2 * 6 * gates * 5 * (4 + 5) == case.operations(BOTH) / 3
    assert case.bytes(FORWARD) == 4 * (24 + (4 + 5 + biases) * gates * 5 + 30) == case.bytes(BOTH) / 2


def test_lstm_and_gru_are_timed_at_the_same_sizes():
    sizes = {cell: [case.label.split()[-1] for case in RECURRENCES if case.cell == cell] for cell in GATES}
    assert sizes["lstm"] == sizes["gru"] and set(sizes["simple_rnn"]) < set(sizes["gru"])


TINY_NETWORKS = [
    networks.Classifier("a", 2, (12, 11, 3), 1, (3, 4), 5, pool_last=True),
    networks.Classifier("b", 2, (18, 19, 1), 7, (3, 4, 2), 5, pool_last=False),
    networks.Segmenter("c", 1, (8, 12, 1), 2, depth=2),
    networks.Segmenter("d", 1, (4, 4, 8, 2), 2, depth=2),
]


@pytest.mark.parametrize("case", TINY_NETWORKS, ids=lambda case: case.name)
def test_tiny_networks_have_the_weights_that_the_formula_counts(case):
    for which in networks.runs(case):
        built = engine_tomograd.build(case, which, [])
        assert built.parameters == case.parameters
        assert built.run() is not None


@pytest.mark.skipif(not HAS_TORCH, reason="the peer is not installed")
@pytest.mark.parametrize("case", TINY_NETWORKS, ids=lambda case: case.name)
def test_the_peers_networks_are_twins(case):
    from tomograd.benchmarks import engine_torch

    for which, variant in itertools.product(networks.runs(case), ["nchw", "channels_last"]):
        built = engine_torch.build(case, which, [variant])
        assert built.parameters == case.parameters
        built.run()


@pytest.mark.skipif(not HAS_TORCH, reason="the peer is not installed")
@pytest.mark.parametrize("variant", ["nchw", "channels_last"])
@pytest.mark.parametrize(
    "case",
    [*map(Convolution.of, TINY), *map(shrunk, OPERATIONS), Dense(5, 7, 3), *TINY_CELLS],
    ids=lambda case: case.label,
)
def test_the_peers_kernels_compute_the_same(case, variant):
    from tomograd.benchmarks import engine_torch
    from tomograd.benchmarks.built import NotApplicable

    for which in case.passes:
        ours = engine_tomograd.build(case, which, [])
        try:
            theirs = engine_torch.build(case, which, [variant])
        except NotApplicable:
            assert variant == "channels_last"
            continue
        np.testing.assert_allclose(theirs.output(theirs.run()), ours.output(ours.run()), rtol=1e-3, atol=1e-4)


def test_the_networks_are_those_of_the_field():
    by_name = {case.name: case for case in networks.NETWORKS}
    assert by_name["S1 CNN"].features == 54 * 54 * 64
    assert by_name["S3 CNN"].features == 4 * 4 * 64
    # a 2-D U-Net of base b and depth 4: known from the article's table, with one input and one class
    assert by_name["U-Net base 32"].parameters / by_name["U-Net base 16"].parameters == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("section", [KERNELS, STEPS, MEMORY])
def test_every_row_can_be_told_from_the_others(section):
    rows = entries(section)
    assert len({row.label for row in rows}) == len(rows) == len({row.number for row in rows})


def test_a_section_of_single_starts_has_no_list_of_cases():
    with pytest.raises(ValueError, match="section"):
        entries(STARTUP)


def test_every_source_of_shapes_is_there():
    sources = {case.source.split(",")[0] for case in CONVOLUTIONS}
    assert sources >= {"oneDNN", "cosmictagger", "torchbench", "DeepBench", "ResNet-50", "GoogLeNet", "A3C", "own"}
    kinds = {(case.dimensions, case.dilation, case.transposed) for case in CONVOLUTIONS}
    assert kinds >= {(1, 1, False), (2, 1, False), (3, 1, False), (2, 2, False), (2, 4, False), (2, 1, True)}
    assert any(case.groups == case.channels == case.filters and case.stride == 2 for case in CONVOLUTIONS)
    assert any(1 < case.groups < case.channels for case in CONVOLUTIONS)
    assert all(prod(array.shape) for case in DENSES for array in case.arrays().values())
    assert operations.GRADIENT in TRAFFIC["activation"]


def test_every_function_of_the_registry_is_called():
    rows = entries(FUNCTIONS)
    forward = [row.case.name for row in rows if row.which == FORWARD]
    assert forward == [name for name, entry in registry.ENTRIES.items() if entry.samples]
    differentiable = [row.case.name for row in rows if row.which == WITH_GRADIENT]
    assert differentiable == [name for name in forward if not registry.ENTRIES[name].constant]
    assert len({row.label for row in rows}) == len(rows)


@pytest.mark.parametrize("name", ["multiply", "max", "dense", "sparse_cross_entropy"])
def test_a_call_gives_what_the_function_gives(name):
    rows = [row for row in entries(FUNCTIONS) if row.case.name == name]
    assert [row.which for row in rows] == [FORWARD, WITH_GRADIENT]
    sample = rows[0].case.sample
    tensors = [Tensor(array.astype(np.float32), requires_grad=True) for array in sample.arrays]
    value, gradients = (engine_tomograd.build(row.case, row.which, []).run() for row in rows)
    np.testing.assert_array_equal(value.array, sample.function(*tensors).array)
    assert value.dtype == np.float32 and not value.requires_grad
    assert [gradient.shape for gradient in gradients] == [tensor.shape for tensor in tensors]
    assert any(gradient.array.any() for gradient in gradients)


def test_functions_are_measured_without_a_foreign_peer():
    with pytest.raises(UserError, match="functions are measured alone, or with --peer one-thread"):
        suite.begin(suite.Options(FUNCTIONS, peer="torch"))
