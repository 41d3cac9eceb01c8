"""`python -m tomograd.benchmarks kernels|steps [--peer torch]`: a table of times and ratios, as Markdown."""

import argparse
import importlib.util
import math
import os
import platform
import sys
from contextlib import ExitStack
from datetime import date
from importlib.metadata import version

from .alternate import Worker, alternate
from .cases import CONVOLUTIONS, NETWORKS, PASSES

PEERS = {"torch": ["torch:nchw", "torch:channels_last"]}


def rows(section: str):
    """(case number, what is run, its label, its operations or None) of each row."""
    if section == "kernels":
        return [
            (number, which, f"{shape} | {which}", shape.operations)
            for number, shape in enumerate(CONVOLUTIONS)
            for which in PASSES
        ]
    return [
        (number, which, f"{network} | {which.replace('_', ' ')}", None)
        for number, network in enumerate(NETWORKS)
        for which in ("training_step", "inference")
    ]


def header(arguments: argparse.Namespace) -> str:
    """What was measured, where, with which versions."""
    versions = ", ".join(
        f"{name} {version(name)}"
        for name in ["tomograd", "numpy", "numba", *([arguments.peer] if arguments.peer else [])]
    )
    command, machine = " ".join(sys.argv[1:]), f"{platform.machine()}, Python {platform.python_version()}"
    threads = f"{arguments.threads} threads"
    return (
        f"`python -m tomograd.benchmarks {command}`, {date.today()}, {machine}, {versions}, {threads}; "
        f"medians of {arguments.rounds} alternating rounds, each engine in a process of its own.\n"
    )


def measure(arguments: argparse.Namespace) -> None:
    """Prints the table row by row."""
    engines = ["tomograd", *PEERS.get(arguments.peer, [])]
    print(header(arguments))
    columns = [
        "shape",
        "run",
        "tomograd ms",
        *(["GF/s"] if arguments.section == "kernels" else []),
        *[f"{engine} ms" for engine in engines[1:]],
        *(["ratio to the best"] if engines[1:] else []),
    ]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}", flush=True)
    ratios = []
    for number, which, label, operations in rows(arguments.section):
        if arguments.shape and arguments.shape not in label:
            continue
        with ExitStack() as stack:
            workers = [
                stack.enter_context(Worker(engine, arguments.section, number, arguments.threads, which))
                for engine in engines
            ]
            ours, *peers = alternate(workers, arguments.rounds)
        cells = [label, f"{ours * 1e3:.3g}"]
        if operations:
            cells.append(f"{operations / ours / 1e9:.0f}")
        cells += [f"{peer * 1e3:.3g}" for peer in peers]
        if peers:
            ratios.append(min(peers) / ours)
            cells.append(f"{ratios[-1]:.2f}")
        print(f"| {' | '.join(cells)} |", flush=True)
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"\nGeometric mean of the ratios (above 1: tomograd is faster): {mean:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tomograd.benchmarks",
        description="Times tomograd beside a peer, fairly: alternating runs, medians, ratios.",
    )
    parser.add_argument("section", choices=["kernels", "steps"], help="single convolutions, or whole networks")
    parser.add_argument("--peer", choices=sorted(PEERS), help="also time this engine, in each of its layouts")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shape", default="", help="only rows whose label holds this text")
    arguments = parser.parse_args()
    if arguments.peer and importlib.util.find_spec(arguments.peer) is None:
        parser.error(f'--peer {arguments.peer}: it is not installed (pip install "tomograd[bench]")')
    measure(arguments)


if __name__ == "__main__":
    main()
