"""`tomograd bench`: how fast kernels, steps and starts are on this machine, and how much memory steps take."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tomograd.cli.guard import guarded
from tomograd.failures import UserError

OUTPUTS = ("table", "json", "html")

Peer = Annotated[
    str | None,
    typer.Option(
        help="Measure beside it: torch (the bench extra installs it), one-thread (tomograd on one thread), or on a GPU "
        "captured (its training steps as CUDA graphs)."
    ),
]
Threads = Annotated[int | None, typer.Option(help="Threads of every engine; all processors if left out.")]
Shape = Annotated[str, typer.Option(help="Only rows whose label or source holds this text, such as 'depthwise'.")]
Rounds = Annotated[int | None, typer.Option(help="Alternating rounds; their medians are reported.")]
Output = Annotated[str, typer.Option(help="table (Markdown), json, or html (a page with roofline and bars).")]
File = Annotated[
    Path | None, typer.Option(help="Write to this file; if left out stdout, and for html tomograd-bench-SECTION.html.")
]
Device = Annotated[
    str, typer.Option(help="cpu; or cuda: kernels or steps on an NVIDIA GPU, with batches that fill it.")
]
Precision = Annotated[
    str,
    typer.Option(
        help="Of products on a GPU, every engine's: float32 (exact), tf32 or bfloat16; or float16, the type of the "
        "arrays. All but float32 keep only the kernels to which it makes a difference."
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with the run that --output json --file FILE kept: measure what it lacks."),
]
FusedAdam = Annotated[bool, typer.Option("--fused-adam", help="Give the peer Adam as one fused kernel, too.")]

app = typer.Typer(
    name="bench",
    help="Measure tomograd on this machine: alone, or in turn with a peer (--peer torch).",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _timed(section: str, text: str) -> Callable[..., None]:
    """The command of a section that has no options but those of all."""

    def command(
        peer: Peer = None,
        threads: Threads = None,
        shape: Shape = "",
        rounds: Rounds = None,
        output: Output = "table",
        file: File = None,
        device: Device = "cpu",
        precision: Precision = "float32",
        resume: Resume = False,
    ) -> None:
        options = {"threads": threads, "rounds": rounds, "shape": shape, "device": device, "precision": precision}
        _run(section, output, file, resume, peer=peer, **options)

    command.__name__, command.__doc__ = section, text
    return command


kernels = _timed("kernels", "Time single kernels against the machine's multiply-add peak and copy bandwidth.")
functions = _timed("functions", "Time a call of each differentiable function, and of its gradient, on a few numbers.")
startup = _timed(
    "startup", "Time fresh processes up to the first inference and training step, with and without compiled kernels."
)
memory = _timed("memory", "Measure the peak memory of training steps, each network in a fresh process.")


def steps(
    peer: Peer = None,
    threads: Threads = None,
    shape: Shape = "",
    rounds: Rounds = None,
    output: Output = "table",
    file: File = None,
    fused_adam: FusedAdam = False,
    device: Device = "cpu",
    precision: Precision = "float32",
    resume: Resume = False,
) -> None:
    """Time training steps and inference of whole networks."""
    options = {"threads": threads, "rounds": rounds, "shape": shape, "device": device, "precision": precision}
    _run("steps", output, file, resume, peer=peer, fused_adam=fused_adam, **options)


def report(
    files: Annotated[list[Path], typer.Argument(help="Files that --output json wrote.")],
    output: Output = "html",
    file: File = None,
) -> None:
    """Show what earlier runs measured, several on one page, without measuring again."""
    check_output(output, file, "report")
    reports = [_read(path) for path in files]
    if output == "json" and len(reports) > 1:
        raise UserError(None, "--output json shows one report at a time; give one file")
    _write(reports, output, file, "report")


for command in (kernels, functions, steps, startup, memory, report):
    app.command(command.__name__)(guarded(command))


def main() -> None:
    """The entry point of `python -m tomograd.benchmarks`."""
    app(prog_name="python -m tomograd.benchmarks")


def check_output(output: str, file: Path | None, section: str) -> None:
    """Raise UserError for an unknown form, or a file that cannot be written, before anything is measured."""
    if output not in OUTPUTS:
        raise UserError(None, f"--output {output!r}: expected one of {', '.join(OUTPUTS)}")
    path = target(output, file, section)
    if path is not None and path.is_dir():
        raise UserError(path, "is a folder; --file names the file to write")
    if path is not None and not path.absolute().parent.is_dir():
        raise UserError(path, f"cannot be written: there is no folder {path.absolute().parent}")


def target(output: str, file: Path | None, section: str) -> Path | None:
    """The file to write; None for stdout."""
    return file or (Path(f"tomograd-bench-{section}.html") if output == "html" else None)


def _run(section: str, output: str, file: Path | None, resume: bool, **options: Any) -> None:
    """Measure, and write the result; as JSON to a file also after every row, so that a run that is ended has its rows.
    `options` are suite.Options's."""
    check_output(output, file, section)
    from tomograd.benchmarks import suite

    kept = file if output == "json" else None
    if resume and (kept is None or section not in suite.BUDGET):
        raise UserError(None, f"--resume needs --output json and --file; sections: {', '.join(suite.BUDGET)}")
    earlier = _read(kept) if resume and kept is not None and kept.exists() else None
    chosen = suite.Options(section, command=_command(), earlier=earlier, **options)
    keep = None if kept is None else lambda report: _write([report], output, file, section, silent=True)
    _write([suite.measure(chosen, suite.to_stderr, keep)], output, file, section)


def _read(path: Path) -> Any:
    """The report of a file. Raises UserError."""
    from tomograd.benchmarks.results import Report

    try:
        return Report.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(path, str(error)) from error


def _command() -> str:
    """What was typed, as it would be typed again."""
    arguments = sys.argv[1:]
    return shlex.join(["tomograd", *([] if arguments[:1] == ["bench"] else ["bench"]), *arguments])


def _write(reports: list, output: str, file: Path | None, section: str, silent: bool = False) -> None:
    """The reports in the form asked for."""
    from tomograd.benchmarks import page, tables
    from tomograd.files import written

    if output == "json":
        text = reports[0].to_json()
    else:
        text = page.page(reports) if output == "html" else "\n".join(map(tables.markdown, reports))
    path = target(output, file, section)
    if path is None:
        print(text, end="")
        return
    with written(path) as opened:
        opened.write(text.encode())
    if not silent:
        print(f"written: {path}", file=sys.stderr)
