"""``gemmap compare``: a map against an atomic model or another map."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli import panels
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples

_MOST_USED = panels.MOST_USED

EXAMPLE = examples(
    (
        "How well does the map agree with a model, chain by chain?",
        "gemmap compare run1/run_class001.mrc model.cif -o comparison",
    ),
    (
        "With another map of the same grid, moved to where it fits best",
        "gemmap compare run1/run_class001.mrc run_class001.mrc --translate",
    ),
    then="Open the curves in comparison/. If the hand is wrong: gemmap reconstruct --flip-hand.",
)


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
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for curves, tables and maps, which must not exist; by default nothing is written.",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="MAP",
            help="Mask, 0 to 1, in the map's box; by default made around the model or from the second map.",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    mask_radius: Annotated[
        float,
        typer.Option(
            metavar="Å",
            help="Distance in Å from an atom to which the mask is 1; its edge is 8 Å wide.",
            rich_help_panel=panels.VALIDATION,
        ),
    ] = 4.0,
    pixel_size: Annotated[
        float | None,
        typer.Option(
            metavar="Å",
            help="Voxel size in Å of the maps; by default that of their headers.",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option(
            metavar="Å",
            help="Resolution in Å to which both are cut for real-space correlations; by default that at FSC 0.5.",
            rich_help_panel=panels.VALIDATION,
        ),
    ] = None,
    assembly: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Biological assembly of the model whose copies are made, such as 1; by default the model is taken as "
            "it is in the file.",
            rich_help_panel=panels.VALIDATION,
        ),
    ] = None,
    translate: Annotated[
        bool,
        typer.Option(
            "--translate",
            help="Move the second to where it fits best first; it is not turned.",
            rich_help_panel=_MOST_USED,
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="Seed of random phases and of the intervals.", rich_help_panel=panels.RUN),
    ] = 0,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads to compute with; all cores by default.", rich_help_panel=panels.RUN),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace an earlier comparison in the folder; other files stay.",
            rich_help_panel=_MOST_USED,
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Say only the result.", rich_help_panel=panels.RUN)
    ] = False,
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
