"""A training that is killed with SIGKILL at any moment, and started again until it ends, ends bit for bit as an
unbroken one: weights, optimizer, random state, history, table, events, saved models; and nothing else is left."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import training_to_kill

pytestmark = pytest.mark.skipif(not hasattr(training_to_kill.os, "fork"), reason="needs fork and SIGKILL")


class Trainings:
    """The program that trains and kills (see training_to_kill.py)."""

    def __init__(self, folder):
        self.folder, self.unbroken, self.kills, self.resumed = folder, {}, 0, 0
        self.process = subprocess.Popen(
            [sys.executable, training_to_kill.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, folder, kind, kill=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.process.stdin.write(json.dumps({"folder": str(folder), "kind": kind, "kill": kill}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the training failed"
        return json.loads(answer)

    def whole(self, kind):
        """What an unbroken training comes to, and how many moments it has."""
        if kind not in self.unbroken:
            outcome = self.ask(self.folder / f"unbroken {kind}", kind)
            self.unbroken[kind] = outcome, outcome.pop("moments")
        return self.unbroken[kind]

    def killed(self, kind, name, kills):
        """Kill a training in turn where `kills` says, then let it end."""
        folder = self.folder / name
        outcome = None
        for kill in kills:
            outcome = self.ask(folder, kind, kill)
            if outcome is not None:
                break
            self.kills += 1
            self.resumed += any((folder / "backup").glob("*.safetensors"))
        outcome = outcome or self.ask(folder, kind)
        outcome.pop("moments")
        return outcome

    def close(self):
        self.process.communicate()


@pytest.fixture
def trainings():
    memory = Path("/dev/shm")  # where there is one, nobody waits for a disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        trainings = Trainings(Path(folder))
        yield trainings
        trainings.close()


def check_unbroken(outcome, kind):
    """The unbroken training has in its files what it told."""
    assert len(outcome["history"]["loss"]) == training_to_kill.EPOCHS
    assert len(outcome["table"].splitlines()) == 1 + training_to_kill.EPOCHS
    steps = [event[0] for event in outcome["events"]["train"] if event[1] == "batch_loss"]
    assert steps == list(range(1, 1 + training_to_kill.EPOCHS * training_to_kill.STEPS[kind]))
    assert outcome["left"] == []
    assert outcome["folders"] == ["best.safetensors", "epochs", "log.csv", "logs"]


@pytest.mark.parametrize("kind", training_to_kill.STEPS)
def test_a_training_killed_within_its_writes_ends_as_an_unbroken_one(trainings, kind):
    outcome, moments = trainings.whole(kind)
    check_unbroken(outcome, kind)
    generator = np.random.default_rng(len(kind))
    late, soon = generator.integers(moments // 2, 2 * moments // 3, 1), generator.integers(10, moments // 6, 3)
    kills = [*late.tolist(), *soon.tolist()]  # counted from where the training goes on
    assert trainings.killed(kind, "killed", kills) == outcome, kills
    assert trainings.kills >= 2
    assert trainings.resumed >= 1


@pytest.mark.slow
def test_a_training_killed_at_any_time_ends_as_an_unbroken_one(trainings):
    generator = np.random.default_rng(50)
    chain = 0
    while trainings.kills < 100:
        kind = list(training_to_kill.STEPS)[chain % 4]
        outcome, moments = trainings.whole(kind)
        kills = [
            int(generator.integers(1, moments // 3)) if generator.random() < 0.7 else float(generator.uniform(0, 0.5))
            for _ in range(6)
        ]
        assert trainings.killed(kind, f"killed {chain}", kills) == outcome, (kind, kills)
        chain += 1
    assert trainings.resumed > 50


@pytest.mark.slow
@pytest.mark.parametrize("kind", training_to_kill.STEPS)
def test_every_moment_of_the_first_and_the_last_writes(trainings, kind):
    outcome, moments = trainings.whole(kind)
    for number in [*range(1, 41), *range(moments - 59, moments + 1)]:
        assert trainings.killed(kind, f"killed {number}", [number]) == outcome, number
    assert trainings.kills == 100
