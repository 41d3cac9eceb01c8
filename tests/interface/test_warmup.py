"""`tomograd warmup` fills the cache: what ran once under it is not compiled again."""

import os
import subprocess
import sys

import pytest

USE = """
import numpy as np
import tomograd as tg
from tomograd.kernels.cpu import bodies

model = tg.models.CNN((32, 32, 3), 1, filters=(32, 64, 64))
model.predict_on_batch(np.zeros((1, 32, 32, 3), np.float32))
print([name for (name, *_), code in bodies._compiled.items() if not code.from_cache])
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


def python(cache, *arguments):
    environment = {**os.environ, "TOMOGRAD_CACHE": str(cache)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300
    )


def test_warmup_compiles_what_inference_needs_and_says_where_it_is(cache):
    done = python(cache, "-m", "tomograd", "warmup", "--network", "cnn", "--size", 32, "--inference")
    assert done.returncode == 0, done.stderr
    assert str(cache) in done.stdout
    kernels = list(cache.rglob("*.o"))
    assert done.stdout.startswith(f"{len(kernels)} kernels, ")
    assert done.stderr.splitlines()[0].startswith("1/2  CNN")
    assert python(cache, "-c", USE).stdout.strip() == "[]"
    assert len(list(cache.rglob("*.o"))) == len(kernels)


@pytest.mark.parametrize(
    "arguments, message",
    [(("--size", 40), "--size 40 is not a multiple of 16"), (("--network", "gan"), "'gan'")],
)
def test_wrong_options_are_refused(cache, arguments, message):
    done = python(cache, "-m", "tomograd", "warmup", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_without_a_folder_to_keep_kernels_in_there_is_nothing_to_do(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    done = python(tmp_path / "file", "-m", "tomograd", "warmup")
    assert done.returncode == 2
    assert "no folder to keep kernels in" in done.stderr
