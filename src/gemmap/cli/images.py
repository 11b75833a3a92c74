"""The options that say what is done to images before they are added up, declared once, as :mod:`gemmap.cli.reading`."""

from typing import Annotated, TypeAlias

import typer

PANEL, PARTICLE_PANEL, RUN_PANEL = "Images", "Fit", "Run"

FlipHand: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--flip-hand", help="Turn the poses so that the map comes out as its mirror image.", rich_help_panel=PANEL
    ),
]
PhaseFlipped: TypeAlias = Annotated[
    bool, typer.Option("--phase-flipped", help="The images were phase-flipped.", rich_help_panel=PANEL)
]
Premultiplied: TypeAlias = Annotated[
    bool, typer.Option("--premultiplied", help="The images were multiplied by their CTF.", rich_help_panel=PANEL)
]
Box: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--box",
        metavar="N",
        help="Downsample the images to this box, even, by Fourier cropping; by default that of most images.",
        rich_help_panel=PANEL,
    ),
]
TargetPixelSize: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--target-pixel-size",
        metavar="Å",
        help="Downsample the images to about this pixel size, with the nearest even box.",
        rich_help_panel=PANEL,
    ),
]
MaxResolution: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--max-resolution",
        metavar="Å",
        help="Downsample the images as far as this resolution is kept.",
        rich_help_panel=PANEL,
    ),
]
Normalise: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--normalise",
        help="Bring the background of every image to mean 0, no ramp, standard deviation 1.",
        rich_help_panel=PANEL,
    ),
]
Window: TypeAlias = Annotated[
    bool,
    typer.Option("--window", help="Set the background of every image to its mean, softly.", rich_help_panel=PANEL),
]
ParticleDiameter: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--particle-diameter",
        metavar="Å",
        help="Diameter of the sphere that holds the particle; by default as it is seen.",
        rich_help_panel=PARTICLE_PANEL,
    ),
]
Sym: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="GROUP",
        help="Point group of the particle: C7, D2, T, O, I, ..; axes as RELION's.",
        rich_help_panel=PARTICLE_PANEL,
    ),
]
Seed: TypeAlias = Annotated[
    int, typer.Option(metavar="N", help="Seed of everything random.", rich_help_panel=PARTICLE_PANEL)
]
Threads: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", help="Threads; all cores by default.", rich_help_panel=RUN_PANEL)
]
Memory: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="Most memory to use, such as 8GB; a run that needs more is refused before it starts.",
        rich_help_panel=RUN_PANEL,
    ),
]
