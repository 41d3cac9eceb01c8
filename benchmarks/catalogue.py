"""Every row that a section of the suite can measure: which case, and what is run of it."""

from dataclasses import dataclass
from typing import Any

from .convolutions import CONVOLUTIONS
from .gpu import enlarged
from .networks import NETWORKS, TRAINING, WITH_TARGETS, runs
from .operations import DENSES, OPERATIONS
from .recurrences import RECURRENCES

KERNELS, FUNCTIONS, STEPS, STARTUP, MEMORY = SECTIONS = ("kernels", "functions", "steps", "startup", "memory")


@dataclass(frozen=True)
class Entry:
    """One row to be measured; `number` finds it again in another process."""

    section: str
    number: int
    case: Any
    which: str

    @property
    def label(self) -> str:
        return f"{self.case.label} | {self.which}"

    @property
    def group(self) -> str:
        return getattr(self.case, "group", self.section)

    @property
    def source(self) -> str:
        return getattr(self.case, "source", "")

    def matches(self, text: str) -> bool:
        """Whether the label or the source holds `text`, whatever the case of its letters."""
        return text.lower() in f"{self.label} | {self.source}".lower()


def entries(section: str, on_gpu: bool = False) -> list[Entry]:
    """All rows of a section that runs cases again and again; the sections of single starts have rows of their own.
    `on_gpu`: with batches that fill one."""
    if section == KERNELS:
        cases: list[Any] = [*CONVOLUTIONS, *OPERATIONS, *DENSES, *RECURRENCES]
        pairs = [(case, which) for case in cases for which in case.passes]
    elif section == FUNCTIONS:
        from .calls import calls  # the registry, which the other sections can do without

        pairs = [(case, which) for case in calls() for which in case.passes]
    elif section == STEPS:
        pairs = [(case, which) for case in NETWORKS for which in runs(case)]
    elif section == MEMORY:
        pairs = [(case, TRAINING) for case in NETWORKS]
    else:
        raise ValueError(f"section {section!r}: expected {KERNELS}, {FUNCTIONS}, {STEPS} or {MEMORY}")
    if on_gpu:
        larger = {id(case): enlarged(case) for case, _ in pairs}
        pairs = [(larger[id(case)], which) for case, which in pairs]
        if section == STEPS:  # what the targets are for comes first: a GPU may be lent for minutes
            pairs.sort(key=lambda pair: (pair[1] != TRAINING, pair[0].name not in WITH_TARGETS))
    return [Entry(section, number, case, which) for number, (case, which) in enumerate(pairs)]
