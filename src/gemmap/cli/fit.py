"""``gemmap fit``: half-maps, a map and its resolution from a file of sums."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli import images, local
from gemmap.cli.errors import reports_errors
from gemmap.errors import InputError
from gemmap.fit.config import FitConfig, Shape

EXAMPLE = "[bold]Example:[/bold] gemmap fit all.safetensors -o run1"


@reports_errors
def fit(
    sums: Annotated[Path, typer.Argument(metavar="SUMS", help="File of gemmap aggregate, merge or subtract.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results; must not exist.")],
    without: Annotated[
        Path | None,
        typer.Option(metavar="PARTICLES", help="Leave out these particles, as gemmap subtract would; SUMS stays."),
    ] = None,
    without_micrograph: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of --without, leave out this micrograph alone; may be repeated."),
    ] = None,
    particle_diameter_a: images.ParticleDiameter = None,
    n_gaussians: Annotated[
        int | None, typer.Option(metavar="N", help="Gaussians in each fit; by default from the particle's volume.")
    ] = None,
    shape: Annotated[
        Shape, typer.Option(help="What of a Gaussian may change beside centre and mass.")
    ] = FitConfig.shape,
    max_steps: Annotated[int, typer.Option(metavar="N", help="Most steps of a fit.")] = FitConfig.max_steps,
    local_resolution: local.LocalResolution = True,
    seed: images.Seed = FitConfig.seed,
    threads: images.Threads = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results in an existing folder; other files stay.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only the result.")] = False,
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
