"""``gemmap export`` and ``gemmap voxelize``: results for other programs, and the model on any grid."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples

EXPORT_EXAMPLE = examples(
    ("Everything", "gemmap export run1 -o for_others"),
    ("Maps, colours and Gaussians for ChimeraX", "gemmap export run1 -o for_others --format cif,cxc"),
    ("What the EMDB asks for", "gemmap export run1 -o deposition --format deposit"),
    then="Open it all: chimerax for_others/session.cxc. On a finer grid: gemmap voxelize. A page for "
    "the browser: gemmap report.",
)
VOXELIZE_EXAMPLE = examples(
    (
        "The model on a grid of 0.5 Å about a point of interest",
        "gemmap voxelize run1/gaussians.safetensors -o fine.mrc \\\n"
        "      --pixel-size 0.5 --box 200 --centre 120,130,110",
    ),
    then="Open the map: chimerax fine.mrc. It holds the Gaussians alone; the maps of a run also hold the damped "
    "residual.",
)


@reports_errors
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder for the files; must not exist.")
    ],
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAMES",
            help="Formats, with commas. cif: pseudo-atoms with anisotropic B. ply: splat viewers. bild: ChimeraX "
            "spheres. npz: numpy. cxc: ChimeraX commands with the maps. deposit: what the EMDB asks for.",
        ),
    ] = "cif,ply,bild,npz,cxc,deposit",
    which: Annotated[
        str,
        typer.Option(
            metavar="SET",
            help="Whose Gaussians: full (all particles), half1 or half2.",
            autocompletion=lambda: ["full", "half1", "half2"],
        ),
    ] = "full",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace these files in an existing folder; other files stay.")
    ] = False,
) -> None:
    """Write the Gaussians and maps of a run for other programs."""
    from gemmap.api.export import export_run
    from gemmap.cli.screen import Screen

    names = [name.strip() for name in formats.split(",") if name.strip()]
    written = export_run(run, output, names, which, overwrite)
    Screen(verbose=False, quiet=False).result(f"{one.path}: {one.content}" for one in written)


@reports_errors
def voxelize(
    gaussians: Annotated[Path, typer.Argument(metavar="GAUSSIANS", help="gaussians.safetensors of a run.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Map to write, .mrc; must not exist.")],
    box_px: Annotated[
        int | None, typer.Option("--box", metavar="PX", help="Side in voxels; by default what the run's map covers.")
    ] = None,
    pixel_size_a: Annotated[
        float | None, typer.Option("--pixel-size", metavar="Å", help="Voxel size in Å; by default the run's.")
    ] = None,
    centre: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Centre of the grid in Å, as a viewer shows it on the run's map; by default the map's own.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads to compute with; all cores by default.")
    ] = None,
) -> None:
    """Evaluate the Gaussians of a run on any grid, finer than the data's pixels too."""
    from gemmap.api.density import sample_gaussians, write_sampled
    from gemmap.cli.screen import Screen
    from gemmap.io.folders import require_new_file

    require_new_file(output, ".mrc", overwrite)
    sampled = sample_gaussians(
        gaussians, box_px=box_px, pixel_size_a=pixel_size_a, centre_a=_point(centre), n_threads=threads
    )
    write_sampled(output, sampled)
    x, y, z = sampled.origin_a
    lines = [
        f"{output}: {len(sampled.map)} px of {sampled.pixel_size_a:.6g} Å, first voxel at {x:.2f}, {y:.2f}, {z:.2f} Å"
    ]
    if sampled.n_narrow:
        lines.append(
            f"Note: {sampled.n_narrow:,} Gaussians are narrower than half a voxel; a finer --pixel-size holds them."
        )
    Screen(verbose=False, quiet=False).result(lines)


def _point(text: str | None) -> tuple[float, float, float] | None:
    from gemmap.errors import InputError

    if text is None:
        return None
    try:
        x, y, z = (float(value) for value in text.split(","))
    except ValueError:
        raise InputError(f"The centre is {text!r}; expected three numbers in Å, such as 120,130,110.") from None
    return x, y, z
