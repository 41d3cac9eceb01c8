"""Files of arrays: safetensors, written so that a file is whole or not there, and the state of a training.

`save` and `load` know arrays by name and strings of metadata, nothing of models; no pickle, so that loading a file from
elsewhere runs no code. A file carries the SHA-256 of all its bytes, which `load` compares: a bit that has turned over
on a disk is an error, not a weight. (The digest stands in the metadata, under "tomograd.sha256", and is taken with
zeros in its place. Files that other programs wrote have none and are read as they are.) The same arrays and metadata
give the same bytes. `collect_state` and `restore_state` gather and put back all that a training depends on: weights,
the optimizer's state, random states and counters. A run that is stopped at any moment and goes on from its last
checkpoint ends with the very numbers of a run that was not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import files
from ..kernels.half_precision import bfloat16, same_kind
from . import random

if TYPE_CHECKING:
    from .layers.base import Layer
    from .optimizers import Optimizer

__all__ = ["CheckpointError", "collect_state", "load", "read_metadata", "restore_state", "save"]

FORMAT = "tomograd training state 2"
DIGEST = "tomograd.sha256"

_CODES = {
    "bool": "BOOL", "int8": "I8", "uint8": "U8", "int16": "I16", "uint16": "U16", "int32": "I32", "uint32": "U32",
    "int64": "I64", "uint64": "U64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
}  # fmt: skip


class CheckpointError(ValueError):
    """A file that cannot be read or does not fit; the message names the file and the reason."""


# --------------------------------------------------------------------------------------------------------------- files


def save(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
    keep: str | os.PathLike[str] | None = None,
) -> None:
    """Write arrays, and strings about them, as a safetensors file.

    The file is written under another name in the same folder, brought to the disk and then renamed: whatever happens
    meanwhile, `path` holds the old file or the new one. keep: another name in the folder, under which the old file
    goes on.

    Raises TypeError for names or metadata that are not strings and for arrays of other types than numbers, ValueError
    for names that are the format's own, OSError, which names `path` and the reason, where it cannot be written. A
    failed write leaves nothing behind.
    """
    tensors = {_string(name, "an array's name"): _plain_array(name, array) for name, array in arrays.items()}
    strings = {_string(key, "a metadata key"): _string(text, "metadata") for key, text in (metadata or {}).items()}
    if "__metadata__" in tensors or DIGEST in strings:
        raise ValueError(f"'__metadata__' and {DIGEST!r} are names of the format itself")
    # Large numbers first: each array then starts at a multiple of its numbers' size, as the format's own writers do.
    tensors = dict(sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))
    zeros = "0" * 64
    header = _header(tensors, {**strings, DIGEST: zeros})
    digest = hashlib.sha256(header)
    for array in tensors.values():
        digest.update(_bytes_of(array))
    header = _header(tensors, {**strings, DIGEST: digest.hexdigest()})
    with files.written(path, keep) as file:
        file.write(header)
        for array in tensors.values():
            file.write(_bytes_of(array))


def _header(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The header with its length in front: the format's description is at https://github.com/huggingface/safetensors"""
    entries: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for name, array in tensors.items():
        offsets = [at, at := at + array.nbytes]
        entries[name] = {"dtype": _CODES[array.dtype.name], "shape": list(array.shape), "data_offsets": offsets}
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes_of(array: np.ndarray) -> Any:
    return array.reshape(-1).view(np.uint8).data


def load(path: str | os.PathLike[str], needs_digest: bool = False) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata of a safetensors file.

    Raises CheckpointError, which names the file and the reason, for a file that is missing, truncated, damaged or of
    another kind; if `needs_digest`, also for one without a digest. Raises ImportError for arrays of bfloat16 where
    ml_dtypes is missing.
    """
    with _opened(path) as file:
        metadata = dict(file.metadata() or {})
        if any(file.get_slice(name).get_dtype() == "BF16" for name in file.keys()):  # noqa: SIM118
            bfloat16()  # NumPy knows the type by its name once ml_dtypes is imported
        arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    digest = metadata.pop(DIGEST, None)
    if digest is None and needs_digest:
        raise CheckpointError(f"{os.fspath(path)}: has no digest: it is damaged, or tomograd did not write it")
    if digest is not None and digest != _digest_of(Path(path), digest):
        raise CheckpointError(
            f"{os.fspath(path)}: damaged: its content is not the one whose digest (SHA-256) was written into it"
        )
    return arrays, metadata


def _digest_of(path: Path, written: str) -> str:
    """The digest of a file into which the digest `written` was put."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        length = file.read(8)
        header = file.read(int.from_bytes(length, "little"))
        field = f'"{DIGEST}":"'.encode()
        digest.update(length + header.replace(field + written.encode(), field + b"0" * 64, 1))
        while chunk := file.read(files.CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata of a safetensors file, without reading its arrays. Raises CheckpointError as `load`."""
    with _opened(path) as file:
        metadata = dict(file.metadata() or {})
    metadata.pop(DIGEST, None)
    return metadata


class _opened:
    """A safetensors file while it is read; whatever goes wrong becomes a CheckpointError that names the file."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __enter__(self) -> Any:
        from safetensors import SafetensorError, safe_open

        if not self.path.exists():
            raise CheckpointError(f"{self.path}: there is no such file")
        if not self.path.is_file():
            raise CheckpointError(f"{self.path}: not a file")
        size = self.path.stat().st_size
        if size < 8:
            raise CheckpointError(f"{self.path}: not a safetensors file: it has {size} bytes, its header alone has 8")
        try:
            with open(self.path, "rb") as file:
                header = int.from_bytes(file.read(8), "little")
            if header > size - 8:
                raise CheckpointError(
                    f"{self.path}: truncated, or not a safetensors file: it names a header of {header} bytes, "
                    f"and has {size - 8}"
                )
            self.file = safe_open(str(self.path), framework="numpy")
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.path}: {_reason(error)}") from None
        return self.file.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from safetensors import SafetensorError

        self.file.__exit__(kind, error, trace)
        if isinstance(error, (SafetensorError, OSError, TypeError, KeyError, AttributeError)):
            raise CheckpointError(f"{self.path}: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "MetadataIncompleteBuffer" in text or "incomplete metadata" in text:
        return "truncated: the file ends before its last array"
    return f"not a whole safetensors file ({text})" if not isinstance(error, OSError) else text


def _plain_array(name: Any, array: Any) -> np.ndarray:
    array = np.asarray(array.get() if hasattr(array, "get") else array, order="C")
    if array.dtype.name not in _CODES:
        raise TypeError(f"array {name!r} is of type {array.dtype}: expected floating, integer or boolean numbers")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _string(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, not {value!r}")
    return value


# ------------------------------------------------------------------------------------------------- state of a training


def collect_state(
    layer: Layer, optimizer: Optimizer | None = None, counters: Mapping[str, Any] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All that the rest of a training depends on, as (arrays, metadata) for `save`.

    The layer's weights and the random generators of its layers, the optimizer's state, the engine's random state, and
    `counters`: what JSON can hold, such as {"epoch": 3, "step": 120}.
    """
    arrays = {f"weights/{name}": weight.numpy().copy() for name, weight in layer.named_weights().items()}
    if optimizer is not None:
        arrays.update({f"optimizer/{key}": array for key, array in optimizer.state().items()})
    metadata = {
        "format": FORMAT,
        "random": json.dumps(random.state()),
        "generators": json.dumps([generator.state() for generator in layer.generators()]),
        "counters": json.dumps(dict(counters or {})),
    }
    return arrays, metadata


def restore_state(
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str],
    layer: Layer,
    optimizer: Optimizer | None = None,
    source: str = "the checkpoint",
) -> dict[str, Any]:
    """Put back what `collect_state` gathered; returns the counters.

    The layer must be built. Raises CheckpointError, naming `source`, if the state is not one, or is that of another
    model or optimizer; then nothing was changed, the optimizer excepted (it checks its own part last).
    """
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{source}: holds no training state (format {metadata.get('format')!r}, not {FORMAT!r})")
    weights = {key.removeprefix("weights/"): array for key, array in arrays.items() if key.startswith("weights/")}
    state = {key.removeprefix("optimizer/"): array for key, array in arrays.items() if key.startswith("optimizer/")}
    if bool(state) != (optimizer is not None):
        raise CheckpointError(f"{source}: {'holds' if state else 'holds no'} state of an optimizer")
    generators = layer.generators()
    try:
        random_state, generator_states, counters = (
            json.loads(metadata[key]) for key in ("random", "generators", "counters")
        )
        candidates = [random.Generator(0) for _ in [random_state, *generator_states]]
        for candidate, candidate_state in zip(candidates, [random_state, *generator_states], strict=True):
            candidate.set_state(candidate_state)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: damaged training state: {error!r}") from None
    if len(generator_states) != len(generators):
        raise CheckpointError(
            f"{source}: has {len(generator_states)} random generators of layers, the model has {len(generators)}"
        )
    check_weights(weights, layer, source)
    if optimizer is not None:
        if not optimizer.built:
            optimizer.build(layer.trainable_weights)  # so that a state that does not fit is seen here
        try:
            optimizer.load_state(state)
        except ValueError as error:
            raise CheckpointError(f"{source}: {error}") from None
    assign_weights(weights, layer)
    random.set_state(random_state)
    for generator, generator_state in zip(generators, generator_states, strict=True):
        generator.set_state(generator_state)
    return counters


def check_weights(weights: Mapping[str, np.ndarray], layer: Layer, source: str) -> None:
    """Raise CheckpointError unless `weights` has exactly the layer's weights, under their paths, in their shapes."""
    own = layer.named_weights()
    for names, what in ((own.keys() - weights.keys(), "lacks"), (weights.keys() - own.keys(), "has unknown")):
        if names:
            listed = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
            raise CheckpointError(f"{source}: is of another model: it {what} {len(names)} weights ({listed})")
    for name, variable in own.items():
        if variable.shape != weights[name].shape:
            raise CheckpointError(
                f"{source}: is of another model: weight {name} has shape {weights[name].shape} there, "
                f"{variable.shape} here"
            )
        if not same_kind(weights[name].dtype, variable.dtype):
            raise CheckpointError(
                f"{source}: weight {name} is of type {weights[name].dtype} there, {variable.dtype} here"
            )


def assign_weights(weights: Mapping[str, np.ndarray], layer: Layer) -> None:
    """Assign all of a layer's weights from arrays under their paths."""
    for name, variable in layer.named_weights().items():
        variable.assign(weights[name])
