"""The command line: `tomograd demo`, `train`, `evaluate`, `predict`, `info`, `warmup`, `check`, `bench`."""

import os
import sys
from typing import Annotated

import typer

from tomograd.cli import bench, check, demo, evaluate, info, predict, train, warmup
from tomograd.cli.guard import TRACEBACK, guarded

app = typer.Typer(
    name="tomograd",
    help="Train, judge and apply neural networks on medical images. Not a medical device.",
    epilog="The first thing to try: tomograd demo",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import tomograd

        print(f"tomograd {tomograd.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_version, is_eager=True)
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show a Python traceback for user errors too, for developers.")
    ] = False,
) -> None:
    """Train, judge and apply neural networks on medical images. Not a medical device."""
    if traceback:
        os.environ[TRACEBACK] = "1"


for module in (demo, train, evaluate, predict, info, warmup, check):
    app.command(module.__name__.rpartition(".")[2])(guarded(module.command))
app.add_typer(bench.app)


def main() -> None:
    """The entry point of `tomograd` and of `python -m tomograd`."""
    try:
        app(prog_name="tomograd")
    except KeyboardInterrupt:  # before or after a command ran
        print("tomograd: interrupted", file=sys.stderr)
        sys.exit(130)
