"""Writes the golden values: what PyTorch computes, in float64, for the functions that tomograd has too.

Run it with a Python that has torch and numpy (tomograd itself is not needed):  python tests/golden/generate.py
or, for some of the files:  python tests/golden/generate.py arithmetic loss
The same PyTorch writes the same bytes again.

Each file tests/golden/<family>.npz holds

- `torch_version`: the version of PyTorch that computed it;
- `contents`: a JSON object, case name → its `parameters`, which are the case's arguments that are not arrays, and its
  `arrays`, name → (type, shape), in the order in which they were made;
- `float32`, `float64`, `int64`, `bool`: the numbers of all arrays of a type, one array after the other.

tests/helpers/golden.py reads them. Arrays are in tomograd's layout (channels last). Inputs are numbers that float32
holds exactly, so that they are the same in float32 and float64, unless a case says `float64`.

In every case `y` is the function's value for its inputs (such as `x`, `weight`), and, as far as they are defined,
- `dy` is a random cotangent, `d<input>` the gradient of ⟨dy, y⟩ in that input;
- `v<input>` is a random array of the input's shape, S = Σ ⟨v<input>, d<input>⟩ over the inputs, and
  `s_dy` and `s_<input>` are the gradients of S in dy and the inputs: the second derivatives.

What the cases of a family are made of stands in the module that makes them: layer_families.py, function_families.py
and array_families.py and recurrence_families.py (see FunctionFamily in family.py), training_families.py.
"""

from __future__ import annotations

import sys

import array_families
import function_families
import layer_families
import recurrence_families
import torch
import training_families

MODULES = (layer_families, array_families, function_families, recurrence_families, training_families)
FAMILIES = [make for module in MODULES for make in module.FAMILIES]


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    for make in FAMILIES:
        if names and make.__name__ not in names:
            continue
        family = make()
        assert family.name == make.__name__
        size = family.write()
        print(f"{family.name}.npz: {len(family.parameters)} cases, {size / 1000:.0f} kB, torch {torch.__version__}")


if __name__ == "__main__":
    main(sys.argv[1:])
