"""``gemmap figures``: figures of a run for a paper."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples

EXAMPLE = examples(
    ("One column of a journal, all formats", "gemmap figures run1"),
    ("Two columns, for LaTeX", "gemmap figures run1 --width double --format pdf"),
    ("The curve and the slices alone", "gemmap figures run1 --only fsc,slices"),
    then="Figures: fsc, slices, locres, directions, guinier, fits. What is drawn is read from the folder's files.",
)


@reports_errors
def figures(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder that gemmap reconstruct -o or gemmap validate -o made.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="For the figures; RUN/figures by default. Files of the same names are replaced.",
            show_default=False,
        ),
    ] = None,
    width: Annotated[
        str,
        typer.Option(
            metavar="WIDTH",
            help="Of every figure: single (85 mm), one-and-a-half (114 mm), double (174 mm), or as 89mm.",
        ),
    ] = "single",
    formats: Annotated[str, typer.Option("--format", metavar="NAMES", help="Some of pdf, svg, png.")] = "pdf,svg,png",
    dpi: Annotated[
        int, typer.Option(metavar="N", help="Dots per inch of PNG files, and of slices and discs in the others.")
    ] = 600,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Draw these figures, such as fsc,slices; all by default.", show_default=False
        ),
    ] = None,
) -> None:
    """Write figures for a paper at their final size: curves, slices, local resolution, directions."""
    from gemmap.report.paper.recipes import RECIPES
    from gemmap.report.paper.sizes import FORMATS, listed, width_mm
    from gemmap.report.paper.write import write_figures

    done = write_figures(
        folder,
        output,
        width_mm=width_mm(width),
        formats=listed(formats, FORMATS, "format"),
        dpi=dpi,
        only=None if only is None else listed(only, tuple(RECIPES), "figure"),
    )
    for path in done.files:
        typer.echo(path)
    for name, reason in done.missing:
        typer.echo(f"{name} was left out: {reason}.")
