"""Objects that can be written down and made again: configurations of layers, losses, optimizers, initializers and
regularizers.

The rule: a class keeps every argument of its constructor as an attribute of the same name. Then `get_config` is read
off the constructor's signature, and `from_config` calls the constructor. A configuration holds only what JSON knows;
an object inside it is written as {"class_name": …, "config": {…}}, as in Keras. Classes are found by name: those of
this package, those that the program registered, and those that it gives where it reads a configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

Made = TypeVar("Made")

registered: dict[str, type] = {}  # the program's own classes, by name
_given: ContextVar[Mapping[str, type] | None] = ContextVar("given", default=None)


@contextmanager
def custom_objects(given: Mapping[str, type] | None) -> Iterator[None]:
    """Within it these classes, too, are found by name."""
    token = _given.set({**(_given.get() or {}), **(given or {})})
    try:
        yield
    finally:
        _given.reset(token)


def custom_class(name: Any) -> type | None:
    """The class of this name that was given or registered."""
    return (_given.get() or {}).get(name) or registered.get(name)


class Configurable:
    """Base of everything that has `get_config` and `from_config`."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, such that `type(self).from_config(config)` makes the object's equal.

        Raises NotImplementedError if an argument is not kept as an attribute of its own name: such a class writes its
        own `get_config`.
        """
        config = {}
        for argument in constructor_arguments(type(self)):
            if not hasattr(self, argument):
                raise NotImplementedError(
                    f"{type(self).__name__}: the constructor's argument {argument!r} is not kept as an attribute of "
                    "that name; keep it, or write get_config()"
                )
            config[argument] = as_plain(getattr(self, argument))
        return config

    @classmethod
    def from_config(cls: type[Made], config: Mapping[str, Any]) -> Made:
        """An object made from what `get_config` gave."""
        return cls(**config)

    def __repr__(self) -> str:
        try:
            arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        except NotImplementedError:
            arguments = "…"
        return f"{type(self).__name__}({arguments})"


def constructor_arguments(cls: type, last: type | None = None) -> tuple[str, ...]:
    """Names of the arguments of `cls`'s constructor; `**kwargs` are followed to the constructors of its bases, up to
    but not into the class `last`."""
    names: list[str] = []
    for base in cls.__mro__:
        if base is last or base is object:
            break
        constructor = vars(base).get("__init__")
        if constructor is None:
            continue
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        names += [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in names]
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return tuple(names)


def as_plain(value: Any) -> Any:
    """`value` in the types that JSON knows (tuples become lists, NumPy's numbers become Python's)."""
    if isinstance(value, Configurable):
        return serialize(value)
    if isinstance(value, (list, tuple)):
        return [as_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): as_plain(entry) for key, entry in value.items()}
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise NotImplementedError(f"{value!r} of type {type(value).__name__} cannot be written into a configuration")


def serialize(made: Any) -> dict[str, Any]:
    """{"class_name": …, "config": {…}} for an object with `get_config`."""
    return {"class_name": type(made).__name__, "config": made.get_config()}


def make(identifier: Any, base: type[Made], names: Mapping[str, type[Made]], kind: str) -> Made:
    """The object of class `base` that `identifier` stands for.

    `identifier` is such an object (returned as it is), the class of one (called without arguments), a name in `names`,
    or a dict {"class_name": …, "config": {…}}; classes that were given or registered are found too. `kind` names what
    is looked for in the errors: ValueError for an unknown name, TypeError for anything else.
    """
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, base):
        return identifier()
    if isinstance(identifier, str):
        return _class_named(identifier, base, names, kind)()
    if isinstance(identifier, Mapping) and "class_name" in identifier:
        found = _class_named(identifier["class_name"], base, names, kind)
        return found.from_config(identifier.get("config", {}))  # type: ignore[attr-defined]
    raise TypeError(
        f"{kind} = {identifier!r} of type {type(identifier).__name__}: expected a name, {base.__name__} or its "
        "configuration"
    )


def _class_named(name: str, base: type[Made], names: Mapping[str, type[Made]], kind: str) -> type[Made]:
    found = names.get(name) or custom_class(name)
    if found is None or not issubclass(found, base):
        known = ", ".join(sorted(names, key=str.lower))
        raise ValueError(
            f"{kind} {name!r} is not known; known are: {known}. Classes of your own are found if they are decorated "
            "with @tg.models.register, or given in custom_objects={name: class}"
        )
    return found
