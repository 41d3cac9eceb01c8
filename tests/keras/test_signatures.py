"""Names, arguments, their order and their defaults are Keras's; what we have not is an error that says so."""

import importlib
import inspect

import keras_oracle
import pytest
from differences import DIFFERENT, EXAMPLES

from tomograd.engine.absent import ABSENT

SUBJECTS = [subject for subject in keras_oracle.signatures() if subject != "Model"]
NAMES = [(subject, name) for subject in SUBJECTS for name in keras_oracle.signatures()[subject]]
HERE = [entry for entry in NAMES if entry[1] not in ABSENT[entry[0]]]


def ours(subject, name):
    return getattr(importlib.import_module(f"tomograd.{subject}"), name)


def keras_parameters(subject, name):
    """Those with names, {name: default}; a parameter without a default has `inspect.Parameter.empty`."""
    listed = keras_oracle.signatures()[subject][name]
    return {
        entry[0]: (entry[1] if len(entry) > 1 else inspect.Parameter.empty) for entry in listed if entry[0][0] != "*"
    }


@pytest.mark.parametrize("entry", HERE, ids=".".join)
def test_arguments_stand_in_keras_order_with_its_defaults(entry):
    subject, name = entry
    theirs, own = keras_parameters(subject, name), inspect.signature(ours(subject, name)).parameters
    known = DIFFERENT.get((subject, name), {})
    positional = [parameter.name for parameter in own.values() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    shared = [argument for argument in theirs if argument in positional]
    if "order" not in known:
        assert [argument for argument in positional if argument in theirs] == shared
        assert positional[: len(shared)] == shared  # what is ours alone comes after
    for argument in theirs:
        if argument in own and argument not in known:
            assert plain(own[argument].default) == theirs[argument], argument


def plain(default):
    return list(map(plain, default)) if isinstance(default, tuple) else default


@pytest.mark.parametrize("entry", HERE, ids=".".join)
def test_arguments_that_are_not_here_are_refused_by_name(entry):
    subject, name = entry
    own_entry = ours(subject, name)
    own = inspect.signature(own_entry).parameters
    known = DIFFERENT.get((subject, name), {})
    missing = [argument for argument in keras_parameters(subject, name) if argument not in own]
    for argument in missing:
        if argument not in known:
            with pytest.raises((TypeError, ValueError), match=argument):
                own_entry(**EXAMPLES.get((subject, name), {}), **{argument: object()})


@pytest.mark.parametrize("entry", [entry for entry in NAMES if entry not in HERE], ids=".".join)
def test_names_that_are_not_here_say_so(entry):
    subject, name = entry
    with pytest.raises(AttributeError, match=f"keras.{subject}.{name} is not in tomograd: "):
        ours(subject, name)


def test_no_name_is_said_to_be_missing_that_keras_has_not():
    assert {(subject, name) for subject, names in ABSENT.items() for name in names} <= set(NAMES)
