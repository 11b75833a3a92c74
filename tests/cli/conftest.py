"""The command line in this process, and a small simulated set of particles."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fake_fit
import pytest
from typer.testing import CliRunner

from gemmap.cli.main import app


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def run_gemmap(*arguments: object) -> Outcome:
    """Run a command; an exception that would be a traceback is raised here."""
    words = [str(argument) for argument in arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["/somewhere/bin/gemmap", *words])
        result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="session")
def gemmap() -> Callable[..., Outcome]:
    return run_gemmap


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that ``gemmap simulate`` wrote: 200 particles, 40 px of 6 Å. Not to be changed."""
    folder = tmp_path_factory.mktemp("simulated") / "sim"
    outcome = run_gemmap(
        "simulate", "-o", folder, "--box", 40, "--pixel-size", 6, "--n-particles", 200, "--snr", 0.2, "--seed", 5
    )
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def particles(simulated: Path, tmp_path: Path) -> Path:
    """A copy of the particles that a test may damage; the STAR file."""
    for name in ("particles.star", "particles.mrcs"):
        shutil.copy(simulated / name, tmp_path / name)
    return tmp_path / "particles.star"


@pytest.fixture
def quick_fit(monkeypatch: pytest.MonkeyPatch) -> list:
    """Replace the fit by one that takes milliseconds and draw nothing; the arguments of the fit's calls."""
    fake_fit.draw_nothing(monkeypatch)
    monkeypatch.setattr("gemmap.api.run.reconstruct_halves", fake_fit.reconstruct_quickly)
    fake_fit.CALLS.clear()
    return fake_fit.CALLS
