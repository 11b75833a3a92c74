"""The options that say how particles are read, declared once for every command that reads them.

A command lists those it takes, ``poses: reading.Poses = None`` and so on, and passes them to
:class:`gemmap.api.reading.ReadingOptions` by the same names.
"""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from gemmap.cli import panels
from gemmap.io.choices import BFactorSign, CsAberrations

PANEL = panels.READING

Particles: TypeAlias = Annotated[
    Path | None,
    typer.Argument(
        metavar="PARTICLES",
        help="Particle file: .star (RELION), .cs or .csg (cryoSPARC), or with --poses .mrcs, .txt, .star or .cs "
        "(cryoDRGN).",
        show_default=False,
    ),
]
Poses: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="cryoDRGN's poses.pkl (or .npz): PARTICLES are then only a list of images. Otherwise poses are those of "
        "PARTICLES.",
        rich_help_panel=panels.FILES,
    ),
]
Trans: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="cryoDRGN's shifts, if in a file of their own; by default those of --poses.",
        rich_help_panel=panels.FILES,
    ),
]
Ctf: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="cryoDRGN's ctf.pkl (or .npz), needed beside --poses unless --no-ctf.",
        rich_help_panel=panels.FILES,
    ),
]
Ind: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Use only these particles: ind.pkl (or .npz), numbers from 0; all by default.",
        rich_help_panel=PANEL,
    ),
]
Passthrough: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="cryoSPARC's passthrough file beside a .cs file; may be repeated. A .csg file names its own.",
        rich_help_panel=panels.FILES,
    ),
]
NoCtf: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-ctf",
        help="The images carry no CTF: none is applied. Otherwise a file without CTFs is refused.",
        rich_help_panel=PANEL,
    ),
]
Datadir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder that stack names are relative to; by default that of PARTICLES and those above it.",
        rich_help_panel=panels.FILES,
    ),
]
StripPrefix: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Text to remove from the front of stack names before they are looked for; none by default.",
        rich_help_panel=panels.FILES,
    ),
]
AllowOutside: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-outside",
        help="Read stacks that the file names outside its own folder, its project and the working folder, which is "
        "refused otherwise.",
        rich_help_panel=panels.FILES,
    ),
]
First: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Use the first N particles only, for a quick look; all by default.", rich_help_panel=PANEL
    ),
]
Invert: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--invert",
        help="Particles are dark, although their file does not say so: pixels are multiplied by -1.",
        rich_help_panel=PANEL,
    ),
]
PixelSize: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--pixel-size",
        metavar="Å",
        help="Correct pixel size in Å, in place of that of the files; it downsamples nothing.",
        rich_help_panel=PANEL,
    ),
]
ClassNumber: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--class",
        metavar="N",
        help="Use the particles of this class, as the file numbers it; all by default.",
        rich_help_panel=PANEL,
    ),
]
BFactorSignOption: TypeAlias = Annotated[
    BFactorSign,
    typer.Option(
        "--bfactor-sign",
        help="What B-factors of CTFs mean. file: RELION's formula, in which negative ones amplify. damping: all damp.",
        rich_help_panel=PANEL,
    ),
]
CsAberrationsOption: TypeAlias = Annotated[
    CsAberrations,
    typer.Option(
        "--cs-aberrations",
        help="Beam tilt, trefoil, tetrafoil and anisotropic magnification of a .cs file: model them by the convention "
        "of the manual, ignore them, or refuse a file that has them.",
        rich_help_panel=PANEL,
    ),
]
