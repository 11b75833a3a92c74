"""The options that say what is done to images before they are added up, declared once, as :mod:`gemmap.cli.reading`."""

from typing import Annotated, TypeAlias

import typer

from gemmap.cli import panels

PANEL, PARTICLE_PANEL, RUN_PANEL = panels.IMAGES, panels.FIT, panels.RUN

FlipHand: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--flip-hand",
        help="Turn the poses so that the map comes out as its mirror image; for a wrong hand.",
        rich_help_panel=PANEL,
    ),
]
PhaseFlipped: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--phase-flipped",
        help="The images were phase-flipped, although their file does not say so.",
        rich_help_panel=PANEL,
    ),
]
Premultiplied: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--premultiplied",
        help="The images were multiplied by their CTF, although their file does not say so.",
        rich_help_panel=PANEL,
    ),
]
Box: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--box",
        metavar="PX",
        help="Downsample the images to this box in pixels, even, by Fourier cropping; by default that of most images.",
        rich_help_panel=PANEL,
    ),
]
TargetPixelSize: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--target-pixel-size",
        metavar="Å",
        help="Downsample the images to about this pixel size in Å, with the nearest even box; not at all by default.",
        rich_help_panel=PANEL,
    ),
]
MaxResolution: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--max-resolution",
        metavar="Å",
        help="Downsample the images as far as this resolution in Å is kept: half the box is four times as fast. Not "
        "at all by default.",
        rich_help_panel=panels.MOST_USED,
    ),
]
Normalise: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--normalise",
        help="Bring the background of every image to mean 0, no ramp, standard deviation 1; for images that never "
        "were.",
        rich_help_panel=PANEL,
    ),
]
Window: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--window",
        help="Set what is outside the particle's circle to its mean, softly; it stays as it is by default.",
        rich_help_panel=PANEL,
    ),
]
ParticleDiameter: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--particle-diameter",
        metavar="Å",
        help="Diameter in Å of the sphere that holds the particle, micelle included; the map is zero outside. By "
        "default measured from the images.",
        rich_help_panel=panels.MOST_USED,
    ),
]
Sym: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="GROUP",
        help="Point group of the particle: C7, D2, T, O, I, ..; axes as RELION's.",
        rich_help_panel=panels.MOST_USED,
    ),
]
Seed: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Seed of everything random, half-sets included where the file has none.",
        rich_help_panel=RUN_PANEL,
    ),
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Threads to compute with; by default the cores that this process may use.",
        rich_help_panel=RUN_PANEL,
    ),
]
Memory: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="Most memory to use, such as 8GB; by default what is free. A run that needs more is refused before it "
        "starts.",
        rich_help_panel=RUN_PANEL,
    ),
]
GpuMemory: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--gpu-memory",
        metavar="AMOUNT",
        help="Most memory of the GPU to use, such as 8GB: images are inserted in batches that fit; by default what "
        "is free.",
        rich_help_panel=RUN_PANEL,
    ),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="DEVICE",
        help="auto, cpu, cuda or cuda:N; auto takes a GPU if there is one.",
        rich_help_panel=RUN_PANEL,
        autocompletion=lambda: ["auto", "cpu", "cuda"],
    ),
]
