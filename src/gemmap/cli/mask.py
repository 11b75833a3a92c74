"""``gemmap mask``: a soft mask from a map of any program."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli import panels
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples

_MOST_USED, _SHAPE = panels.MOST_USED, panels.MASK

EXAMPLE = examples(
    ("From a map, its threshold found", "gemmap mask run1/run_class001.mrc -o mask.mrc"),
    ("As relion_mask_create does at a threshold of 0.01", "gemmap mask run_class001.mrc -o mask.mrc --threshold 0.01"),
    (
        "From two half-maps, generous",
        "gemmap mask --half1 run_half1_class001_unfil.mrc \\\n"
        "      --half2 run_half2_class001_unfil.mrc -o mask.mrc --extend 6 --edge 10",
    ),
    then="Judge half-maps in it: gemmap validate HALF1 HALF2 --mask mask.mrc -o validation, which also says whether "
    "the mask is a good one. Fit in it: gemmap reconstruct --mask mask.mrc.",
)


@reports_errors
def mask(
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Mask to write, .mrc; must not exist.", rich_help_panel=_MOST_USED
        ),
    ],
    volume: Annotated[
        Path | None, typer.Argument(metavar="MAP", help="Map, particle positive.", show_default=False)
    ] = None,
    half1: Annotated[
        Path | None,
        typer.Option(
            metavar="MAP",
            help="Half-map 1: with --half2 in place of MAP, the mask is that of their mean.",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    half2: Annotated[
        Path | None, typer.Option(metavar="MAP", help="Half-map 2; needed beside --half1.", rich_help_panel=_MOST_USED)
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="VALUE",
            help="Grey value of the low-passed map above which the particle is; by default found from the map.",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    lowpass: Annotated[
        float,
        typer.Option(metavar="Å", help="Low-pass in Å before the threshold; 0 for no filter.", rich_help_panel=_SHAPE),
    ] = 15.0,
    extend: Annotated[
        float,
        typer.Option(metavar="PX", help="Growth in pixels of what is above the threshold.", rich_help_panel=_SHAPE),
    ] = 3.0,
    edge: Annotated[
        float,
        typer.Option(metavar="PX", help="Width in pixels of the soft edge beyond that.", rich_help_panel=_SHAPE),
    ] = 6.0,
    particle_diameter: Annotated[
        float | None,
        typer.Option(
            metavar="Å",
            help="Diameter in Å of the sphere in which a threshold is looked for; by default that of the box.",
            rich_help_panel=_SHAPE,
        ),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="Å", help="Voxel size in Å; by default that of the header.", rich_help_panel=_MOST_USED),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads to compute with; all cores by default.", rich_help_panel=panels.RUN),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.", rich_help_panel=_MOST_USED)
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing.", rich_help_panel=panels.RUN)] = False,
) -> None:
    """Make a soft mask: low-pass, threshold, extend, raised-cosine edge, as relion_mask_create does."""
    from gemmap.api.mask import make_mask, mask_lines
    from gemmap.cli.screen import Screen
    from gemmap.report.summary import label_lines

    made = make_mask(
        output,
        volume,
        half1=half1,
        half2=half2,
        threshold=threshold,
        lowpass_a=None if lowpass == 0 else lowpass,
        extend_px=extend,
        edge_px=edge,
        particle_diameter_a=particle_diameter,
        pixel_size_a=pixel_size,
        n_threads=threads,
        overwrite=overwrite,
    )
    Screen(verbose=False, quiet=quiet).say(*label_lines(mask_lines(made, output)))
