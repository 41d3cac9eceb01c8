"""Names, arguments, their order and their defaults are Keras's; what we have not is an error that says so."""

import importlib
import inspect

import keras_oracle
import pytest
from differences import DIFFERENT, EXAMPLES

import tomograd
from tomograd.engine.absent import ABSENT, ABSENT_AT_TOP

REQUIRED = inspect.Parameter.empty
SUBJECTS = [subject for subject in keras_oracle.signatures() if subject != "Model"]
NAMES = [(subject, name) for subject in SUBJECTS for name in keras_oracle.signatures()[subject]]
HERE = [entry for entry in NAMES if entry[1] not in ABSENT[entry[0]]]


def ours(subject, name):
    return getattr(importlib.import_module(f"tomograd.{subject}"), name)


def keras_parameters(subject, name):
    """Those with names, {name: default}; a parameter without a default has `REQUIRED`."""
    listed = keras_oracle.signatures()[subject][name]
    return {entry[0]: (entry[1] if len(entry) > 1 else REQUIRED) for entry in listed if entry[0][0] != "*"}


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
            assert plain(own[argument].default) == plain(theirs[argument]), argument


def plain(default):
    """As JSON has it; one number for a tuple of equal ones: strides = 1 is (1, 1)."""
    if not isinstance(default, (tuple, list)):
        return default
    entries = [plain(entry) for entry in default]
    return entries[0] if entries and all(entry == entries[0] for entry in entries) else entries


@pytest.mark.parametrize("entry", HERE, ids=".".join)
def test_arguments_that_are_not_here_are_refused_by_name(entry):
    subject, name = entry
    own_entry = ours(subject, name)
    own = inspect.signature(own_entry).parameters
    known = DIFFERENT.get((subject, name), {})
    theirs = keras_parameters(subject, name)
    missing = [argument for argument in theirs if argument not in own]
    needed = {
        argument: EXAMPLES.get(argument)
        for argument, default in theirs.items()
        if default is REQUIRED and argument in own
    }
    for argument in missing:
        if argument not in known:
            with pytest.raises((TypeError, ValueError), match=argument):
                own_entry(**needed, **{argument: object()})


@pytest.mark.parametrize("entry", [entry for entry in NAMES if entry not in HERE], ids=".".join)
def test_names_that_are_not_here_say_so(entry):
    subject, name = entry
    with pytest.raises(AttributeError, match=f"keras.{subject}.{name} is not in tomograd: "):
        ours(subject, name)


@pytest.mark.parametrize("name", [*keras_oracle.names_at_top(), "GradientTape"])
def test_names_of_keras_itself_are_here_or_say_why_not(name):
    if name in ABSENT_AT_TOP:
        with pytest.raises(AttributeError, match=rf"keras\.{name} is not in tomograd: "):
            getattr(tomograd, name)
    else:
        assert getattr(tomograd, name) is not None
        assert name in tomograd.__all__


def test_no_name_is_said_to_be_missing_that_keras_has_not():
    assert {(subject, name) for subject, names in ABSENT.items() for name in names} <= set(NAMES)
