"""Writes what Keras says, for the tests in this folder: its signatures, and values and gradients of its classes.

Run it with a Python that has keras and torch (tomograd itself is not needed):
    KERAS_BACKEND=torch python tests/keras/generate.py
or, for some of the files:
    KERAS_BACKEND=torch python tests/keras/generate.py signatures layers

golden/signatures.json: subject ("layers", "losses", …) → name → [[parameter, default], …] in order; a default that is
no plain data stands as its repr, a parameter without one as ["name"]; *args and **kwargs are written with their stars.
"top": the names of the module keras itself.
Values of <subject>_families.py stand in golden/<family>.npz, in the form of tests/golden/generate.py.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import keras
import torch
from keras_family import HERE

SUBJECTS = [
    "activations",
    "callbacks",
    "constraints",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "optimizers.schedules",
    "random",
    "regularizers",
    "utils",
]


def signatures() -> dict[str, Any]:
    """Every public class and function of each subject, with its parameters."""
    found = {}
    for subject in SUBJECTS:
        module = keras
        for part in subject.split("."):
            module = getattr(module, part)
        public = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
        found[subject] = {name: _parameters(entry) for name, entry in public.items() if callable(entry)}
    found["Model"] = {
        name: _parameters(getattr(keras.Model, name))[1:]
        for name in dir(keras.Model)
        if not name.startswith("_") and getattr(getattr(keras.Model, name), "__module__", "").startswith("keras")
    }
    top = sorted(name for name in dir(keras) if not name.startswith("_"))
    return {"keras": keras.__version__, "subjects": found, "top": top}


def _parameters(entry: Any) -> list[list[Any]]:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    listed = []
    for parameter in inspect.signature(entry).parameters.values():
        name = stars.get(parameter.kind, "") + parameter.name
        listed.append([name] if parameter.default is parameter.empty else [name, _plain(parameter.default)])
    return listed


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    if not names or "signatures" in names:
        text = json.dumps(signatures(), indent=None, separators=(",", ":"), sort_keys=True)
        (HERE / "golden" / "signatures.json").write_text(text + "\n", encoding="utf-8")
    for path in sorted(HERE.glob("*_families.py")):
        for make in importlib.import_module(path.stem).FAMILIES:
            if names and make.__name__ not in names:
                continue
            keras.utils.set_random_seed(0)
            keras.backend.clear_session()
            family = make()
            assert family.name == make.__name__
            print(f"{family.name}.npz: {len(family.parameters)} cases, {family.write() / 1000:.0f} kB")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(sys.argv[1:])
