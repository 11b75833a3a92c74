"""The options that say how particles are read, declared once for every command that reads them.

A command lists those it takes, ``poses: reading.Poses = None`` and so on, and passes them to
:class:`gemmap.api.reading.ReadingOptions` by the same names.
"""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

PANEL = "Reading the particles"

Particles: TypeAlias = Annotated[
    Path | None,
    typer.Argument(
        metavar="PARTICLES",
        help="Particle file: .star (RELION), .cs (cryoSPARC), or with --poses .mrcs, .txt, .star or .cs (cryoDRGN).",
        show_default=False,
    ),
]
Poses: TypeAlias = Annotated[Path | None, typer.Option(help="cryoDRGN's poses.pkl (or .npz).", rich_help_panel=PANEL)]
Ctf: TypeAlias = Annotated[Path | None, typer.Option(help="cryoDRGN's ctf.pkl (or .npz).", rich_help_panel=PANEL)]
Ind: TypeAlias = Annotated[
    Path | None, typer.Option(help="Particles to use: ind.pkl (or .npz), numbers from 0.", rich_help_panel=PANEL)
]
Passthrough: TypeAlias = Annotated[
    list[Path] | None, typer.Option(help="cryoSPARC's passthrough file; may be repeated.", rich_help_panel=PANEL)
]
NoCtf: TypeAlias = Annotated[bool, typer.Option("--no-ctf", help="The images carry no CTF.", rich_help_panel=PANEL)]
Datadir: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder that stack names are relative to.", rich_help_panel=PANEL)
]
StripPrefix: TypeAlias = Annotated[
    str | None, typer.Option(help="Text to remove from the front of stack names.", rich_help_panel=PANEL)
]
First: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", help="Use the first N particles only.", rich_help_panel=PANEL)
]
Invert: TypeAlias = Annotated[
    bool,
    typer.Option("--invert", help="Particles are dark, although their file does not say so.", rich_help_panel=PANEL),
]
PixelSize: TypeAlias = Annotated[
    float | None,
    typer.Option("--pixel-size", metavar="Å", help="Pixel size; replaces that of the files.", rich_help_panel=PANEL),
]
