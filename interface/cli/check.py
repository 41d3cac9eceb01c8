"""`tomograd check`: whether every differentiable function is right on this machine, and how far from its tolerance."""

import datetime
import json
import sys
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomograd.cli import progress
from tomograd.failures import UserError

if TYPE_CHECKING:
    from tomograd.testing.registry.checks import Outcome


class Output(StrEnum):
    table = "table"
    json = "json"


def command(
    backend: Annotated[
        list[str] | None, typer.Option(help="Check this one; give it once for each. All that are present if left out.")
    ] = None,
    function: Annotated[
        list[str] | None,
        typer.Option(help="Only functions whose name holds this text, such as 'pool'; give it once for each."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="First derivatives at one sample of each function, nothing else.")
    ] = False,
    output: Annotated[Output, typer.Option(help="table (Markdown) or json.")] = Output.table,
) -> None:
    """Check every differentiable function on this machine: derivatives, gradients at kinks, errors.

    The figures are the worst error of a derivative as a share of what rounding and differences allow: below 1 is right.
    Ends with exit code 1 if a function fails. The output says what machine this is: send it in with a port.
    """
    from tomograd.testing.registry import ENTRIES, checks

    present = checks.present_backends()
    backends = _chosen(backend, present, "--backend", "backends on this machine")
    names = _matching(function, list(ENTRIES))
    outcomes: list[Outcome] = []
    for name in names:
        for on in [one for one in backends if one in ENTRIES[name].backends]:
            if sys.stderr.isatty():
                progress.show(f"{len(outcomes) + 1}  {name} ({on})")
            outcomes.append(checks.run(ENTRIES[name], on, quick))
    if sys.stderr.isatty():
        progress.show("")
    facts = _facts(backends)
    if output is Output.json:
        found = [{**asdict(outcome), "passed": outcome.passed} for outcome in outcomes]
        print(json.dumps({**facts, "quick": quick, "functions": found}, indent=1, ensure_ascii=False))
    else:
        print(_as_text(facts, backends, outcomes))
    if not all(outcome.passed for outcome in outcomes):
        raise typer.Exit(1)


def _chosen(wanted: list[str] | None, known: list[str], option: str, what: str) -> list[str]:
    for name in wanted or ():
        if name not in known:
            raise UserError(None, f"{option} {name!r}: the {what} are {', '.join(known)}")
    return list(dict.fromkeys(wanted or known))


def _matching(parts: list[str] | None, names: list[str]) -> list[str]:
    """The names that hold one of the parts; all, if there are none."""
    for part in parts or ():
        if not part or not any(part in name for name in names):
            raise UserError(None, f"--function {part!r}: no function of tomograd.functional has this in its name")
    return [name for name in names if not parts or any(part in name for part in parts)]


def _facts(backends: list[str]) -> dict[str, Any]:
    """What there is to know of the machine, the versions and what the backends depend on."""
    from tomograd.benchmarks import gpu, machine

    facts: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.machine(),
        "versions": machine.versions(None),
    }
    if backends != ["cuda"]:
        from tomograd.kernels.cpu import launch, simd

        facts |= {"simd": simd.level().name, "threads": launch.threads()}
    return facts | ({"gpu": gpu.facts()} if "cuda" in backends else {})


def _as_text(facts: dict[str, Any], backends: list[str], outcomes: list["Outcome"]) -> str:
    """The machine, a row for each function, what failed, and the sum."""
    machine, versions = facts["machine"], facts["versions"]
    columns = ["function", "checks", *[heading for name in backends for heading in (name, "ms")]]
    computing = [f"{facts['threads']} threads, {facts['simd']}"] if "simd" in facts else []
    computing += [facts["gpu"]["gpu"]] if "gpu" in facts else []
    lines = [
        f"{', '.join([machine['processor'], str(machine['cores']) + ' cores', *computing])}; "
        f"{machine['system']}; {', '.join(f'{name} {version}' for name, version in versions.items())}.",
        "",
        f"| {' | '.join(columns)} |",
        f"| --- |{' ---: |' * (len(columns) - 1)}",
    ]
    by_function: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_function.setdefault(outcome.function, []).append(outcome)
    lines += [_row(name, backends, of_one) for name, of_one in by_function.items()]
    failures = [f"- **failed**: {o.function} ({o.backend}): {text}" for o in outcomes for text in o.failures]
    lines += ["", *[failure.replace("\n", "\n  ") for failure in failures]]  # so that each stays one item of the list
    failed, seconds = sum(not outcome.passed for outcome in outcomes), sum(outcome.seconds for outcome in outcomes)
    lines.append(f"{len(outcomes) - failed} of {len(outcomes)} passed in {seconds:.0f} s.")
    return "\n".join(lines)


def _row(name: str, backends: list[str], outcomes: list["Outcome"]) -> str:
    on = {outcome.backend: outcome for outcome in outcomes}
    cells = [name, str(max(outcome.checks for outcome in outcomes))]
    for backend in backends:
        if (outcome := on.get(backend)) is None:
            cells += ["–", "–"]
        else:
            cells += [f"{outcome.worst:.2g}" if outcome.passed else "**failed**", f"{outcome.seconds * 1e3:.0f}"]
    return f"| {' | '.join(cells)} |"
