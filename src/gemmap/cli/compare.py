"""``gemmap compare``: a map against an atomic model or another map."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli.errors import reports_errors

EXAMPLE = "[bold]Example:[/bold] gemmap compare run_class001.mrc model.cif -o compare"


@reports_errors
def compare(
    map_path: Annotated[Path, typer.Argument(metavar="MAP", help="Map to judge.")],
    other: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|MAP",
            help="Model (PDB or mmCIF, also gzipped) in the map's coordinates, or a map on the same grid.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for curves, tables and maps; must not exist.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="MAP", help="Mask, 0 to 1; by default made around the model or from the second map."),
    ] = None,
    mask_radius: Annotated[
        float,
        typer.Option(metavar="A", help="Distance in Å from an atom to which the mask is 1; its edge is 8 Å wide."),
    ] = 4.0,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="A", help="Voxel size in Å, in place of the headers'.")
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option(metavar="A", help="Cut in Å for real-space correlations; by default the resolution at FSC 0.5."),
    ] = None,
    assembly: Annotated[
        str | None, typer.Option(metavar="NAME", help="Biological assembly of the model whose copies are made.")
    ] = None,
    translate: Annotated[
        bool, typer.Option("--translate", help="Move the second to where it fits best first; it is not turned.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of random phases and of the intervals.")] = 0,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads; all cores by default.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier comparison; other files stay.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only the result.")] = False,
) -> None:
    """Measure FSC, resolution and real-space correlation of a map with a model or another map; see a wrong hand."""
    from gemmap.api.comparison import CompareOptions, compare_maps
    from gemmap.cli.screen import Screen
    from gemmap.report.comparison import comparison_lines
    from gemmap.report.summary import label_lines

    screen = Screen(verbose=False, quiet=quiet)
    options = CompareOptions(mask, mask_radius, pixel_size, resolution, assembly, translate, seed)
    report = compare_maps(
        map_path,
        other,
        output,
        options=options,
        n_threads=threads,
        overwrite=overwrite,
        progress=screen.progress(),
    )
    results = [] if output is None else [("Results", str(output))]
    screen.result(label_lines([*comparison_lines(report), *results]))
