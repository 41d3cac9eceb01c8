"""`import tomograd as tg`: light, and every public name is there."""

import importlib
import subprocess
import sys
import time
import types

import pytest

import tomograd as tg


def test_every_public_name_is_there():
    for name in tg.__all__:
        assert getattr(tg, name) is not None
    assert set(tg.__all__) <= set(dir(tg))


MODULES = [name for name in tg.__all__ if name.islower() and isinstance(getattr(tg, name), types.ModuleType)]


@pytest.mark.parametrize("name", ["", *sorted(set(MODULES) - {"engine", "kernels"})])
def test_completion_offers_public_names_alone(name):
    """`tg.memory.<TAB>`: no imports of the modules' own."""
    module = getattr(tg, name) if name else tg
    public = [entry for entry in dir(module) if not entry.startswith("_")]
    of_others = [entry for entry in public if isinstance(getattr(module, entry), types.ModuleType)]
    assert not [entry for entry in of_others if not getattr(module, entry).__name__.startswith("tomograd.")]
    assert not {"Any", "TYPE_CHECKING", "annotations", "absent", "np"} & set(public)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'tomograd' has no attribute 'tensorflow'"):
        tg.tensorflow  # noqa: B018


@pytest.mark.parametrize("alias", ["activations", "layers", "losses", "initializers", "regularizers", "random"])
def test_aliases_hold_what_the_engine_offers(alias):
    engine = importlib.import_module(f"tomograd.engine.{alias}")
    public = importlib.import_module(f"tomograd.{alias}")
    names = getattr(engine, "__all__", None) or [name for name in vars(engine) if not name.startswith("_")]
    assert names
    for name in names:
        assert getattr(public, name) is getattr(engine, name)


@pytest.mark.parametrize(
    "statement",
    [
        "from tomograd.layers import Conv2D, Dense",
        "from tomograd import layers, models, losses, optimizers, metrics, callbacks",
        "from tomograd.optimizers.schedules import CosineDecay",
        "from tomograd.models import Sequential, UNet",
        "from tomograd.metrics import AUC",
        "from tomograd.callbacks import EarlyStopping",
        "import tomograd.functional as F",
    ],
)
def test_imports_as_keras_programs_write_them(statement):
    exec(statement, {})


def test_the_parts_that_belong_to_tomograd_itself():
    assert tg.Model is tg.models.Model
    assert tg.Tensor is tg.engine.Tensor
    assert tg.functional.relu is tg.engine.functions.relu
    assert tg.optimizers.schedules.CosineDecay
    assert callable(tg.memory.summary)


def test_import_takes_less_than_150_milliseconds():
    script = "import time; t = time.perf_counter(); import tomograd; print(time.perf_counter() - t)"
    taken = []
    for _ in range(5):
        shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd="/")
        taken.append(float(shown.stdout))
        time.sleep(0.05)
    assert min(taken) < 0.15


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert tg.__version__ == version("tomograd")
