"""The options of local resolution, declared once for the commands that measure it."""

from typing import Annotated, TypeAlias

import typer

PANEL = "Validation"

LocalResolution: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--local-resolution/--no-local-resolution", help="Measure the local resolution.", rich_help_panel=PANEL
    ),
]
LocalSampling: TypeAlias = Annotated[
    float,
    typer.Option(
        "--local-sampling", metavar="Å", help="Distance of the windows of local resolution.", rich_help_panel=PANEL
    ),
]
