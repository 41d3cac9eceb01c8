"""benchmarks/run_gpu.sh with stand-ins for what it calls: what fails or hangs is noted, and stops nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = CHECKOUT / "benchmarks" / "run_gpu.sh"
# Python as the script calls it: it says with what, and is missing tomograd, fails or hangs as it is told.
PYTHON = """#!/usr/bin/env bash
case "$*" in
  *"import tomograd"*) [ -z "$NOT_INSTALLED" ]; exit ;;
  *as_package.py*) exec {real} "$@" ;;
esac
echo "called: $*"
echo "$PYTHONPATH" > "$SEEN"
[[ -n "$FAILING" && "$*" == *"$FAILING"* ]] && {{ echo "no such GPU"; exit 3; }}
[[ -n "$HANGING" && "$*" == *"$HANGING"* ]] && {{ trap "" INT; echo "hangs"; sleep 30; }}
exit 0
"""
SANITIZER = '#!/usr/bin/env bash\nshift 6\nexec "$@"\n'


@pytest.fixture
def run_gpu(tmp_path):
    """Call the script: run_gpu("tests", FAILING="pytest") → what ended, what it wrote."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {"python-stand-in": PYTHON.format(real=sys.executable), "compute-sanitizer": SANITIZER}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def call(*arguments, **environment):
        seen = {"PATH": f"{programs}:/usr/bin:/bin", "PYTHON": "python-stand-in", "SEEN": str(tmp_path / "seen")}
        return subprocess.run(
            [SCRIPT, "--out", tmp_path / "out", *map(str, arguments)],
            env={"HOME": os.environ.get("HOME", "/"), **seen, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    call.out, call.seen = tmp_path / "out", tmp_path / "seen"
    return call


def outcomes(run_gpu):
    lines = (run_gpu.out / "summary.txt").read_text().splitlines()
    return {line.split(":")[0]: line.split(": ")[1].split(" (")[0] for line in lines}


def test_all_steps_in_their_order(run_gpu):
    listed = [line.split()[0] for line in run_gpu("--list").stdout.splitlines()]
    result = run_gpu()
    assert result.returncode == 0, result.stdout + result.stderr
    assert list(outcomes(run_gpu)) == listed and set(outcomes(run_gpu).values()) == {"passed"}
    said = {path.stem: path.read_text() for path in run_gpu.out.glob("*.txt")}
    assert "-m tomograd warmup --device cuda" in said["compile"]
    assert said["tests-quick"].count("tensor_cores.py") == 2 and "--gpu" in said["tests-quick"]
    assert said["tests"].count(" tests/kernels/cuda/cases_") == len(
        list(CHECKOUT.glob("tests/kernels/cuda/cases_*.py"))
    )
    bench = "-m tomograd bench {} --device cuda --precision {} --peer {} --resume --output json --file {}/{}.json"
    for name in ("steps-tf32", "kernels-float16"):
        assert bench.format(*name.split("-"), "torch", run_gpu.out, name) in said[name]
    assert bench.format("steps", "float32", "captured", run_gpu.out, "steps-captured") in said["steps-captured"]
    assert "--gpu --no-pool" in said["racecheck"] and "-k training_run or empty" in said["racecheck"]
    assert listed.index("tests-quick") < listed.index("tests") < listed.index("steps-tf32") < listed.index("memcheck")


def test_what_fails_or_hangs_is_noted_and_stops_nothing(run_gpu):
    told = {"FAILING": "check --backend", "HANGING": "bench steps", "GRACE": "0.1"}
    result = run_gpu("check", "steps-tf32", "report", "--limit", 1, **told)
    assert result.returncode == 1
    assert outcomes(run_gpu) == {"check": "failed, exit 3", "steps-tf32": "stopped after 1 s", "report": "passed"}
    assert "no such GPU" in (run_gpu.out / "check.txt").read_text() and "hangs" in result.stdout
    again = run_gpu("check")
    assert outcomes(run_gpu)["check"] == "passed" and len(outcomes(run_gpu)) == 3
    assert again.returncode == 1  # steps-tf32 is still to be done


def test_what_there_is_no_time_for_is_not_begun_but_the_report(run_gpu):
    assert run_gpu("check", "report", "--total", 16, GRACE="1").returncode == 1  # which are kept for the report
    assert outcomes(run_gpu) == {"check": "not begun, no time was left", "report": "passed"}
    assert run_gpu("check", "--total", 30, GRACE="1").returncode == 0


def test_a_program_that_is_missing(run_gpu):
    (run_gpu.out.parent / "programs" / "compute-sanitizer").unlink()
    assert run_gpu("memcheck", "report").returncode == 1
    assert outcomes(run_gpu) == {"memcheck": "not run, a program is missing", "report": "passed"}


def test_where_it_is_not_installed_the_checkout_is_the_package(run_gpu):
    assert run_gpu("check", NOT_INSTALLED="yes").returncode == 0
    package = Path(run_gpu.seen.read_text().strip())
    assert package.name.startswith("tmp.") and not package.exists()  # taken away in the end


@pytest.mark.parametrize("arguments", [("nonsense",), ("--limit", "soon"), ("--sideways",), ("--total",)])
def test_what_it_does_not_know(run_gpu, arguments):
    result = run_gpu(*arguments)
    assert result.returncode == 2 and result.stderr and not (run_gpu.out / "summary.txt").exists()


def test_the_checkout_as_a_package(tmp_path):
    command = [sys.executable, CHECKOUT / "benchmarks" / "as_package.py", tmp_path]
    for _ in range(2):
        subprocess.run(command, check=True)
    code = "import tomograd.benchmarks.gpu as gpu, tomograd; print(tomograd.__file__, gpu.__file__)"
    shown = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, cwd="/", capture_output=True, text=True
    )
    assert shown.stdout.split() == [str(tmp_path / "tomograd" / name) for name in ("__init__.py", "benchmarks/gpu.py")]
