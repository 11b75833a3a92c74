"""``gemmap mask``: a soft mask from a map of any program."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli.errors import reports_errors

EXAMPLE = "[bold]Example:[/bold] gemmap mask run_class001.mrc -o mask.mrc --threshold 0.01"


@reports_errors
def mask(
    output: Annotated[Path, typer.Option("-o", "--output", help="Mask to write; must not exist.")],
    volume: Annotated[
        Path | None, typer.Argument(metavar="MAP", help="Map, particle positive.", show_default=False)
    ] = None,
    half1: Annotated[Path | None, typer.Option(metavar="MAP", help="Half-map 1, in place of MAP.")] = None,
    half2: Annotated[Path | None, typer.Option(metavar="MAP", help="Half-map 2.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Grey value of the low-passed map; found from the map by default.")
    ] = None,
    lowpass: Annotated[
        float, typer.Option(metavar="A", help="Low-pass before the threshold in Å; 0 for no filter.")
    ] = 15.0,
    extend: Annotated[float, typer.Option(metavar="PX", help="Growth beyond the threshold in pixels.")] = 3.0,
    edge: Annotated[float, typer.Option(metavar="PX", help="Width of the soft edge beyond that in pixels.")] = 6.0,
    particle_diameter: Annotated[
        float | None,
        typer.Option(metavar="A", help="Diameter in Å of the sphere in which a threshold is looked for; the box's."),
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="A", help="Voxel size in Å, in place of the header's.")
    ] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads; all cores by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing.")] = False,
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
