"""The options of local resolution, declared once for the commands that measure it."""

from typing import Annotated, TypeAlias

import typer

from gemmap.cli import panels

PANEL = panels.VALIDATION

LocalResolution: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--local-resolution/--no-local-resolution",
        help="Measure the local resolution, or leave it out to save time.",
        rich_help_panel=PANEL,
    ),
]
LocalSampling: TypeAlias = Annotated[
    float,
    typer.Option(
        "--local-sampling",
        metavar="Å",
        help="Distance in Å between the windows in which the local resolution is measured.",
        rich_help_panel=PANEL,
    ),
]
