"""The README's first two bash blocks are what a newcomer pastes; the continuous check runs those very lines."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def blocks():
    """The lines of the README's fenced bash blocks."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [[line for line in block.splitlines() if line.strip()] for block in found]


def test_the_first_block_is_the_main_job(blocks):
    assert any("venv" in line for line in blocks[0])
    assert any(line.startswith("pip install") for line in blocks[0])
    assert blocks[0][-1].startswith("tomograd demo")


def test_the_second_block_is_the_tests(blocks):
    assert any("venv" in line for line in blocks[1])
    assert any(line.startswith("pip install") and "test" in line for line in blocks[1])
    assert blocks[1][-1].startswith("python -m pytest")


def test_each_block_has_an_environment_of_its_own(blocks):
    environments = [re.search(r"-m venv (\S+)", "\n".join(block)).group(1) for block in blocks[:2]]
    assert environments[0] != environments[1]


def test_the_continuous_check_runs_what_the_readme_says():
    """`.ci/run` takes the commands from the README itself, so that they cannot drift, or has them word for word."""
    script = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)[:2]
    spelled_out = all(line in script for block in commands for line in block.splitlines() if line.strip())
    assert spelled_out or "README.md" in script


def test_the_install_extras_that_the_readme_names_exist(blocks):
    source = (CHECKOUT / "setup.py").read_text(encoding="utf-8")
    for block in blocks[:2]:
        for extra in re.findall(r"\[(\w+)\]", "\n".join(block)):
            assert f'"{extra}"' in source
