"""``gemmap watch``: a map that follows a pipeline as it writes particles."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli import images, local, panels, reading
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples
from gemmap.fit.config import FitConfig, Shape

EXAMPLE = examples(
    ("A map that follows the jobs of a pipeline", 'gemmap watch Refine3D -o live --pattern "job*/run_data.star"'),
    ("Until 200,000 particles are in", "gemmap watch Extract -o live --until 200000"),
    then="Open live/report.html, which is renewed with the map. Ctrl-C ends it, and the same command goes on.",
)
_PANEL = panels.WATCHING


@reports_errors
def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder in which particle files appear.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for sums and results; goes on with its own.",
            rich_help_panel=panels.MOST_USED,
        ),
    ],
    pattern: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Names of particle files in the folder; ** stands for folders.",
            rich_help_panel=_PANEL,
        ),
    ] = "*.star",
    every_s: Annotated[
        float,
        typer.Option("--every", metavar="SECONDS", help="Least time between two fits.", rich_help_panel=_PANEL),
    ] = 300.0,
    settle_s: Annotated[
        float,
        typer.Option(
            "--settle",
            metavar="SECONDS",
            help="Look so often; a file is taken when it has not changed for so long.",
            rich_help_panel=_PANEL,
        ),
    ] = 5.0,
    until: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="End when N particles are in; by default when Ctrl-C is pressed.", rich_help_panel=_PANEL
        ),
    ] = None,
    idle_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--idle-timeout",
            metavar="SECONDS",
            help="End when nothing new has come for so long; by default it waits.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Take what is there, fit, and end.", rich_help_panel=_PANEL)
    ] = False,
    passthrough: reading.Passthrough = None,
    no_ctf: reading.NoCtf = False,
    datadir: reading.Datadir = None,
    strip_prefix: reading.StripPrefix = None,
    allow_outside: reading.AllowOutside = False,
    invert: reading.Invert = False,
    pixel_size_a: reading.PixelSize = None,
    class_number: reading.ClassNumber = None,
    bfactor_sign: reading.BFactorSignOption = "file",
    cs_aberrations: reading.CsAberrationsOption = "refuse",
    flip_hand: images.FlipHand = False,
    phase_flipped: images.PhaseFlipped = False,
    premultiplied: images.Premultiplied = False,
    box_px: images.Box = None,
    target_pixel_size_a: images.TargetPixelSize = None,
    max_resolution_a: images.MaxResolution = None,
    normalise: images.Normalise = False,
    window: images.Window = False,
    particle_diameter_a: images.ParticleDiameter = None,
    n_gaussians: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Gaussians in each fit; by default from the particle's volume.",
            rich_help_panel=panels.FIT,
        ),
    ] = None,
    shape: Annotated[
        Shape,
        typer.Option(help="What of a Gaussian may change beside centre and mass.", rich_help_panel=panels.FIT),
    ] = FitConfig.shape,
    max_steps: Annotated[
        int, typer.Option(metavar="N", help="Most steps of a fit.", rich_help_panel=panels.FIT)
    ] = FitConfig.max_steps,
    sym: images.Sym = FitConfig.symmetry,
    seed: images.Seed = FitConfig.seed,
    local_resolution: local.LocalResolution = True,
    threads: images.Threads = None,
    memory: images.Memory = None,
    device: images.Device = "auto",
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show the progress inside a turn.", rich_help_panel=images.RUN_PANEL)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Say only how it ended.", rich_help_panel=images.RUN_PANEL)
    ] = False,
) -> None:
    """Take particle files as a pipeline writes them, and renew map, half-maps, resolution and report as they grow."""
    from gemmap.api.options import ReconstructionOptions
    from gemmap.api.watch.loop import Watch
    from gemmap.api.watch.options import WatchOptions
    from gemmap.cli.screen import Screen
    from gemmap.fit.progress import Silent

    options = WatchOptions(folder, output, pattern, every_s, settle_s, until, idle_timeout_s, once)
    reconstruction = ReconstructionOptions(
        particles=folder,
        passthrough=tuple(passthrough or ()),
        no_ctf=no_ctf,
        datadir=datadir,
        strip_prefix=strip_prefix,
        allow_outside=allow_outside,
        invert=invert,
        pixel_size_a=pixel_size_a,
        class_number=class_number,
        bfactor_sign=bfactor_sign,
        cs_aberrations=cs_aberrations,
        flip_hand=flip_hand,
        phase_flipped=phase_flipped,
        premultiplied=premultiplied,
        box_px=box_px,
        target_pixel_size_a=target_pixel_size_a,
        max_resolution_a=max_resolution_a,
        normalise=normalise,
        window=window,
        particle_diameter_a=particle_diameter_a,
        n_gaussians=n_gaussians,
        shape=shape,
        max_steps=max_steps,
        sym=sym,
        seed=seed,
        local_resolution=local_resolution,
        threads=threads,
        memory=memory,
        device=device,
    )
    screen = Screen(verbose, quiet)
    progress = screen.progress() if verbose else Silent()
    end = Watch(options, reconstruction, progress, screen.say).run()
    screen.result(_ended(output, end.n_particles, end.n_fitted, end.set_aside, end.waiting))


def _ended(
    output: Path, n_particles: int, n_fitted: int, set_aside: dict[str, str], waiting: dict[str, int]
) -> list[str]:
    fitted = "all of them fitted" if n_fitted == n_particles else "too few in a half-set to be fitted"
    lines = [f"{output}: {n_particles:,} particles, {fitted}" if n_particles else f"{output}: no particles were taken"]
    lines += [f"{name} was set aside: {reason}" for name, reason in set_aside.items()]
    lines += [f"{n:,} new particles of {name} are too few to be added by themselves" for name, n in waiting.items()]
    return lines
