"""The command ``gemmap``: one file a subcommand, and nothing numerical is imported before one runs."""

import signal
from types import FrameType
from typing import Annotated

import typer

from gemmap.cli import (
    check,
    compare,
    convert,
    demo,
    evidence,
    export,
    figures,
    fit,
    mask,
    reconstruct,
    report,
    simulate,
    sums,
    validate,
)

app = typer.Typer(
    name="gemmap",
    help="GEM: cryo-EM reconstruction with 3D Gaussians, half-maps and an honest resolution.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=reconstruct.EXAMPLE)(reconstruct.reconstruct)
app.command(epilog=check.EXAMPLE)(check.check)
app.command(epilog=report.EXAMPLE)(report.report)
app.command(epilog=figures.EXAMPLE)(figures.figures)
app.command(epilog=validate.EXAMPLE)(validate.validate)
app.command(epilog=compare.EXAMPLE)(compare.compare)
app.command(epilog=evidence.EXAMPLE)(evidence.evidence)
app.command(epilog=mask.EXAMPLE)(mask.mask)
app.command(epilog=sums.AGGREGATE_EXAMPLE)(sums.aggregate)
app.command(epilog=sums.MERGE_EXAMPLE)(sums.merge)
app.command(epilog=sums.SUBTRACT_EXAMPLE)(sums.subtract)
app.command(epilog=fit.EXAMPLE)(fit.fit)
app.command(epilog=export.EXPORT_EXAMPLE)(export.export)
app.command(epilog=export.VOXELIZE_EXAMPLE)(export.voxelize)
app.command(epilog=convert.EXAMPLE)(convert.convert)
app.command(epilog=simulate.EXAMPLE)(simulate.simulate)
app.command(epilog=demo.EXAMPLE)(demo.demo)


def _print_version(asked: bool) -> None:
    if asked:
        import gemmap

        typer.echo(f"gemmap {gemmap.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """GEM: cryo-EM reconstruction with 3D Gaussians, half-maps and an honest resolution."""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; SIGTERM, which batch systems send before they kill, ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()
