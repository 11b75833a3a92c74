"""The command line in this process."""

import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from gemmap.cli.main import app


@pytest.fixture
def gemmap_command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SimpleNamespace]:
    """Run a subcommand; returns its exit code and what it wrote."""

    def run(*arguments: object) -> SimpleNamespace:
        words = [str(argument) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["gemmap", *words])
        result = CliRunner().invoke(app, words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)

    return run
