"""``gemmap report``: the page of a run, made again or elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples

EXAMPLE = examples(
    ("Make the page of a run again, after gemmap evidence for example", "gemmap report run1"),
    ("Elsewhere, to send it", "gemmap report run1 -o run1.html"),
    then="Open it in a browser; it needs no network. Its numbers are in run1/job.json.",
)


@reports_errors
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that gemmap reconstruct -o made.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The page to write, by default RUN/report.html; it is replaced."
        ),
    ] = None,
) -> None:
    """Write a run's report: one HTML file with curves, slices, the map in 3-D and the record, for any browser."""
    from gemmap.report.html.page import write_report

    typer.echo(write_report(run, output))
