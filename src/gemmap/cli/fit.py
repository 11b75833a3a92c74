"""``gemmap fit``: half-maps, a map and its resolution from a file of sums."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli import images, local, panels
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples
from gemmap.errors import InputError
from gemmap.fit.config import FitConfig, Shape

EXAMPLE = examples(
    ("Half-maps, map and resolution of sums", "gemmap fit all.safetensors -o run1"),
    ("After taking a micrograph out", "gemmap fit rest.safetensors -o run2 --particle-diameter 180"),
    then="Open run1/report.html. Sums come from gemmap aggregate, gemmap merge and gemmap subtract.",
)


@reports_errors
def fit(
    sums: Annotated[Path, typer.Argument(metavar="SUMS", help="File of gemmap aggregate, merge or subtract.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for the results; must not exist, unless --overwrite.",
            rich_help_panel=panels.MOST_USED,
        ),
    ],
    without: Annotated[
        Path | None,
        typer.Option(
            metavar="PARTICLES",
            help="Leave out these particles, as gemmap subtract would; none by default. SUMS stays.",
            rich_help_panel=panels.MOST_USED,
        ),
    ] = None,
    without_micrograph: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Of --without, leave out this micrograph alone; may be repeated. All of it by default.",
            rich_help_panel=panels.MOST_USED,
        ),
    ] = None,
    particle_diameter_a: images.ParticleDiameter = None,
    n_gaussians: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Most Gaussians in a fit; by default 0.3 for every voxel of the particle's sphere.",
            rich_help_panel=panels.FIT,
        ),
    ] = None,
    shape: Annotated[
        Shape,
        typer.Option(
            help="What of a Gaussian is fitted beside centre and mass. free: widths and rotation. axis-aligned: "
            "widths. round: one width. fixed: nothing.",
            rich_help_panel=panels.FIT,
        ),
    ] = FitConfig.shape,
    max_steps: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Most steps of a fit; held-out particles choose how many are done.",
            rich_help_panel=panels.FIT,
        ),
    ] = FitConfig.max_steps,
    local_resolution: local.LocalResolution = True,
    seed: images.Seed = FitConfig.seed,
    threads: images.Threads = None,
    device: images.Device = "auto",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the results in an existing folder; other files stay.",
            rich_help_panel=panels.MOST_USED,
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Say only the result.", rich_help_panel=panels.RUN)
    ] = False,
) -> None:
    """Reconstruct from sums of particles, in seconds and without their images."""
    from gemmap.api.fit_sums import fit_sums
    from gemmap.api.options import ReconstructionOptions
    from gemmap.cli.screen import Screen
    from gemmap.report.summary import summary_lines

    if without_micrograph and without is None:
        raise InputError(
            "--without-micrograph needs the file that says which particles are of it; add --without PARTICLES."
        )
    screen = Screen(verbose=False, quiet=quiet)
    summary = fit_sums(
        sums,
        output,
        overwrite=overwrite,
        particle_diameter_a=particle_diameter_a,
        n_gaussians=n_gaussians,
        shape=shape,
        max_steps=max_steps,
        seed=seed,
        local_resolution=local_resolution,
        threads=threads,
        device=device,
        progress=screen.progress(),
        without=None if without is None else ReconstructionOptions(without),
        without_micrographs=without_micrograph or (),
    )
    screen.result(summary_lines(summary))
