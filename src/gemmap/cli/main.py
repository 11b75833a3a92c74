"""The command ``gemmap``: one file a subcommand, and nothing numerical is imported before one runs."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any

import typer

from gemmap.cli import (
    check,
    compare,
    convert,
    cryosparc_external,
    demo,
    evidence,
    export,
    figures,
    fit,
    mask,
    panels,
    passed_on,
    reconstruct,
    relion_external,
    report,
    simulate,
    sums,
    validate,
    watch,
)
from gemmap.cli.teaching import TeachingCommand, TeachingGroup, examples

EXAMPLE = examples(
    ("No data yet: simulate particles, reconstruct them, compare with the truth", "gemmap demo -o demo"),
    ("Is anything wrong with my particles?", "gemmap check Refine3D/job010/run_data.star"),
    ("Reconstruct them", "gemmap reconstruct Refine3D/job010/run_data.star -o run1"),
    then="gemmap COMMAND --help explains one; gemmap --install-completion makes the Tab key complete them.",
)

app = typer.Typer(
    name="gemmap",
    cls=TeachingGroup,
    epilog=EXAMPLE,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _add(panel: str, command: Callable[..., None], example: str, **settings: Any) -> None:
    app.command(cls=TeachingCommand, epilog=example, rich_help_panel=panel, **settings)(command)


_add(panels.RECONSTRUCT, check.check, check.EXAMPLE)
_add(panels.RECONSTRUCT, reconstruct.reconstruct, reconstruct.EXAMPLE)
_add(panels.JUDGE, validate.validate, validate.EXAMPLE)
_add(panels.JUDGE, compare.compare, compare.EXAMPLE)
_add(panels.JUDGE, evidence.evidence, evidence.EXAMPLE)
_add(panels.JUDGE, mask.mask, mask.EXAMPLE)
_add(panels.LOOK, report.report, report.EXAMPLE)
_add(panels.LOOK, figures.figures, figures.EXAMPLE)
_add(panels.LOOK, export.export, export.EXPORT_EXAMPLE)
_add(panels.LOOK, export.voxelize, export.VOXELIZE_EXAMPLE)
_add(panels.SUMS, sums.aggregate, sums.AGGREGATE_EXAMPLE)
_add(panels.SUMS, sums.merge, sums.MERGE_EXAMPLE)
_add(panels.SUMS, sums.subtract, sums.SUBTRACT_EXAMPLE)
_add(panels.SUMS, fit.fit, fit.EXAMPLE)
_add(panels.SUMS, watch.watch, watch.EXAMPLE)
_add(panels.SUMS, convert.convert, convert.EXAMPLE)
_add(panels.PROGRAMS, relion_external.relion_external, relion_external.EXAMPLE, context_settings=passed_on.CONTEXT)
_add(
    panels.PROGRAMS,
    cryosparc_external.cryosparc_external,
    cryosparc_external.EXAMPLE,
    context_settings=passed_on.CONTEXT,
)
_add(panels.PRACTICE, demo.demo, demo.EXAMPLE)
_add(panels.PRACTICE, simulate.simulate, simulate.EXAMPLE)


def _print_version(asked: bool) -> None:
    if asked:
        import gemmap

        typer.echo(f"gemmap {gemmap.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", callback=_print_version, is_eager=True, help="Print the version, stop."),
    ] = False,
) -> None:
    """GEM: cryo-EM reconstruction with 3D Gaussians, half-maps and an honest resolution."""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; SIGTERM, which batch systems send before they kill, ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()
