"""What `fit` costs beside the steps themselves: `python -m tomograd.benchmarks.fitting`.

The S3 CNN is trained on arrays in memory, batch 64, with an accuracy to follow: by `fit` (a History, no bar) and by a
bare loop of `train_step` over batches that were cut beforehand, by turns in one process. Three figures:

- the time that a step takes in either, and the processors' time, which other work disturbs little: medians;
- the time that `fit` spends between the end of a step and the begin of the next one, as a share of the step:
  what the loop itself costs;
- the time of an epoch whose batches take as long to load as a step to compute, beside that of the steps alone: 1 is
  loading that is hidden altogether, 2 loading that is not.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import tomograd as tg
from tomograd.models import using_prefetch

from .engine_tomograd import model as network
from .networks import S3

STEPS, ROUNDS = 20, 10


class Cost(NamedTuple):
    """Seconds a step; shares of it."""

    bare: float
    fit: float
    bare_processors: float
    fit_processors: float
    between: float
    hidden: float
    not_hidden: float

    def __str__(self) -> str:
        return (
            f"a step alone {1e3 * self.bare:.2f} ms, in fit {1e3 * self.fit:.2f} ms "
            f"({100 * (self.fit / self.bare - 1):+.1f}%)\n"
            f"of processors {1e3 * self.bare_processors:.2f} ms, in fit {1e3 * self.fit_processors:.2f} ms "
            f"({100 * (self.fit_processors / self.bare_processors - 1):+.1f}%)\n"
            f"between the steps of fit: {100 * self.between:.2f}% of a step\n"
            f"an epoch with loading as long as its steps: {self.hidden:.2f} times the steps' time, "
            f"{self.not_hidden:.2f} times without a thread"
        )


class Slow:
    """Batches of which each takes so many seconds to load (waiting, as for a disk)."""

    def __init__(self, batches: list[Any], seconds: float) -> None:
        self.batches, self.seconds = batches, seconds

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            time.sleep(self.seconds)
            yield batch


def measure(steps: int = STEPS, rounds: int = ROUNDS) -> Cost:
    """The figures, from `rounds` rounds of `steps` steps."""
    tg.random.seed(0)
    generator = np.random.default_rng(0)
    x = generator.standard_normal((steps * S3.batch, *S3.input_shape), dtype=np.float32)
    y = generator.integers(0, S3.classes, len(x))
    batches = [(x[i : i + S3.batch], y[i : i + S3.batch], None) for i in range(0, len(x), S3.batch)]
    model = network(S3)
    loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(x, y, S3.batch, verbose=0)  # compiles the kernels

    def alone() -> None:
        for batch in batches:
            model.train_step(batch)

    times = []
    for _ in range(rounds):
        bare, fit = _seconds(alone), _seconds(lambda: model.fit(x, y, S3.batch, verbose=0))
        times.append((bare[0], fit[0], bare[1], fit[1], _between(model, x, y) * steps))
    medians = [statistics.median(column) / steps for column in zip(*times, strict=True)]
    return Cost(*medians, *(_loading(model, batches, medians[0], depth) for depth in (2, 0)))


def _seconds(run: Callable[[], Any]) -> tuple[float, float]:
    """The time of a run, and that of the processors in it."""
    start, processors = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - processors


def _between(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """The median time from step to step of an epoch, as a share of the median step."""
    marks: list[float] = []
    step = type(model).train_step

    def marked(batch: Any) -> Any:
        marks.append(time.perf_counter())
        logs = step(model, batch)
        marks.append(time.perf_counter())
        return logs

    model.train_step = marked
    try:
        model.fit(x, y, S3.batch, verbose=0)
    finally:
        del model.train_step
    gaps = [after - before for before, after in zip(marks[1::2], marks[2::2], strict=False)]
    inside = [after - before for before, after in zip(marks[::2], marks[1::2], strict=True)]
    return statistics.median(gaps) / statistics.median(inside)


def _loading(model: Any, batches: list[Any], seconds: float, depth: int) -> float:
    """An epoch over slow batches, as a multiple of the steps' time."""
    start = time.perf_counter()
    with using_prefetch(depth):
        model.fit(Slow(batches, seconds), verbose=0)
    return (time.perf_counter() - start) / (len(batches) * seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of an epoch")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often everything is timed")
    arguments = parser.parse_args()
    print(measure(arguments.steps, arguments.rounds))


if __name__ == "__main__":
    main()
