"""``gemmap reconstruct``: particles with known poses to half-maps, a map and its resolution."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemmap.api.options import SAMPLING_A, Engine
from gemmap.cli import images, local, reading
from gemmap.cli.errors import reports_errors
from gemmap.errors import InputError
from gemmap.fit.config import FitConfig, Shape
from gemmap.fit.schedule import Loss, Schedule, Start

if TYPE_CHECKING:
    from gemmap.fit.team import Team

_FIT, _IMAGES, _RUN = images.PARTICLE_PANEL, "Images engine", images.RUN_PANEL

EXAMPLE = (
    "[bold]Example:[/bold] gemmap reconstruct Refine3D/job010/run_data.star -o run1\n\n"
    "[bold]After a crash:[/bold] gemmap reconstruct --resume run1\n\n"
    "The folder receives half-maps, the final map, curves, figures and a record of the run; its README.txt lists them."
)


@reports_errors
def reconstruct(
    ctx: typer.Context,
    particles: reading.Particles = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for the results; must not exist.", show_default=False),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Finish the interrupted run in this folder, with its own options.",
            show_default=False,
        ),
    ] = None,
    poses: reading.Poses = None,
    trans: reading.Trans = None,
    ctf: reading.Ctf = None,
    ind: reading.Ind = None,
    passthrough: reading.Passthrough = None,
    no_ctf: reading.NoCtf = False,
    datadir: reading.Datadir = None,
    strip_prefix: reading.StripPrefix = None,
    allow_outside: reading.AllowOutside = False,
    first: reading.First = None,
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
            metavar="N", help="Gaussians in each fit; by default from the particle's volume.", rich_help_panel=_FIT
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Map of the region to fit, 0 to 1, in the particles' box; also the mask of the curves.",
            rich_help_panel=_FIT,
        ),
    ] = None,
    sym: images.Sym = FitConfig.symmetry,
    shape: Annotated[
        Shape,
        typer.Option(
            help="What of a Gaussian may change beside centre and mass: all, no rotation, one width for all axes, "
            "nothing.",
            rich_help_panel=_FIT,
        ),
    ] = FitConfig.shape,
    engine: Annotated[
        Engine,
        typer.Option(
            help="aggregate: fit to the sums of one pass over the images. images: go through the images again and "
            "again, as the paper does.",
            rich_help_panel=_FIT,
        ),
    ] = "aggregate",
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", help="Visits to every image; 3, or 10 from a random start.", rich_help_panel=_IMAGES),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", help="Images per step.", rich_help_panel=_IMAGES)
    ] = Schedule.batch_size,
    loss: Annotated[
        Loss,
        typer.Option(help="Weigh frequencies by the noise, or all alike.", rich_help_panel=_IMAGES),
    ] = Schedule.loss,
    start: Annotated[
        Start,
        typer.Option(help="From the voxels fitted to the aggregate, or at random.", rich_help_panel=_IMAGES),
    ] = Schedule.start,
    rate: Annotated[
        float, typer.Option(metavar="X", help="Factor on all learning rates.", rich_help_panel=_IMAGES)
    ] = Schedule.rate,
    max_steps: Annotated[
        int, typer.Option(metavar="N", help="Most steps of a fit to the aggregate.", rich_help_panel=_FIT)
    ] = FitConfig.max_steps,
    local_resolution: local.LocalResolution = True,
    local_sampling_a: local.LocalSampling = SAMPLING_A,
    seed: images.Seed = FitConfig.seed,
    threads: images.Threads = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N; auto takes a GPU if there is one.", rich_help_panel=_RUN)
    ] = "auto",
    memory: images.Memory = None,
    save_aggregates: Annotated[
        bool,
        typer.Option(
            "--save-aggregates",
            help="Keep what the images of each half say, for adding more particles later.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    checkpoint_interval_s: Annotated[
        float,
        typer.Option(
            "--checkpoint-interval",
            metavar="SECONDS",
            help="Least time between two saves of what --resume goes on from.",
            rich_help_panel=_RUN,
        ),
    ] = 60.0,
    config: Annotated[
        Path | None,
        typer.Option(help="Options from the config.yaml of a run; options given here win.", rich_help_panel=_RUN),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace the results in an existing folder; other files stay.", rich_help_panel=_RUN
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Read and check everything but the pixels, print the plan, stop.", rich_help_panel=_RUN
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more.", rich_help_panel=_RUN)] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only the result.", rich_help_panel=_RUN)] = False,
) -> None:
    """Reconstruct a map from particles with known poses."""
    given: dict[str, Any] = {
        "particles": particles,
        "poses": poses,
        "trans": trans,
        "ctf": ctf,
        "ind": ind,
        "passthrough": tuple(passthrough or ()),
        "no_ctf": no_ctf,
        "datadir": datadir,
        "strip_prefix": strip_prefix,
        "allow_outside": allow_outside,
        "first": first,
        "invert": invert,
        "pixel_size_a": pixel_size_a,
        "class_number": class_number,
        "bfactor_sign": bfactor_sign,
        "cs_aberrations": cs_aberrations,
        "flip_hand": flip_hand,
        "phase_flipped": phase_flipped,
        "premultiplied": premultiplied,
        "box_px": box_px,
        "target_pixel_size_a": target_pixel_size_a,
        "max_resolution_a": max_resolution_a,
        "normalise": normalise,
        "window": window,
        "particle_diameter_a": particle_diameter_a,
        "n_gaussians": n_gaussians,
        "mask": mask,
        "sym": sym,
        "engine": engine,
        "epochs": epochs,
        "batch_size": batch_size,
        "loss": loss,
        "start": start,
        "rate": rate,
        "shape": shape,
        "max_steps": max_steps,
        "local_resolution": local_resolution,
        "local_sampling_a": local_sampling_a,
        "seed": seed,
        "threads": threads,
        "device": device,
        "memory": memory,
        "save_aggregates": save_aggregates,
        "checkpoint_interval_s": checkpoint_interval_s,
    }
    explicit = {name: value for name, value in given.items() if _is_explicit(ctx, name)}

    from gemmap.api.together import take_part
    from gemmap.fit.torch_team import joined

    with joined() as team:
        if team.rank:
            take_part(team)
        elif resume is not None:
            _refuse_beside_resume(ctx)
            _resume(resume, verbose, quiet, explicit, team)
        else:
            _begin(given, explicit, output, config, overwrite, dry_run, verbose, quiet, team)


def _begin(
    given: Mapping[str, Any],
    explicit: Mapping[str, Any],
    output: Path | None,
    config: Path | None,
    overwrite: bool,
    dry_run: bool,
    verbose: bool,
    quiet: bool,
    team: "Team",
) -> None:
    """Do a run from its beginning."""
    if output is None:
        raise InputError("No folder for the results was given; give -o FOLDER.")

    from gemmap.api.options import ReconstructionOptions, read_config
    from gemmap.api.plan import plan_reconstruction
    from gemmap.api.run import run_plan, summarise
    from gemmap.api.together import agree, announce
    from gemmap.cli.screen import Screen
    from gemmap.io.folders import require_free
    from gemmap.report.run_folder import CHECKPOINT_NAME
    from gemmap.report.summary import summary_lines

    require_free(output, overwrite)
    if config is not None:
        options = ReconstructionOptions.from_values({**read_config(config), **explicit}, str(config))
    else:
        options = ReconstructionOptions(**given)
    if options.particles is None:
        raise InputError("No particle file was given; give PARTICLES, or --config with the config.yaml of a run.")
    screen = Screen(verbose, quiet)
    announce(options, output / CHECKPOINT_NAME, team)
    plan = plan_reconstruction(options, team=team)
    screen.plan(plan.lines(), asdict(options))
    if dry_run:
        agree(plan, go_on=False)
        return
    result = run_plan(plan, output, screen.progress(), ["gemmap", *sys.argv[1:]])
    screen.result(summary_lines(summarise(result)))


def _resume(folder: Path, verbose: bool, quiet: bool, explicit: Mapping[str, Any], team: "Team") -> None:
    """Finish an interrupted run."""
    from gemmap.api.resume import UnfinishedRun
    from gemmap.api.run import summarise
    from gemmap.cli.screen import Screen
    from gemmap.report.summary import summary_lines

    screen = Screen(verbose, quiet)
    with UnfinishedRun(folder) as run:
        plan = run.plan(*(explicit.get(name) for name in ("threads", "device", "checkpoint_interval_s")), team)
        screen.plan(plan.lines(), asdict(plan.options))
        result = run.finish(plan, screen.progress())
    screen.result(summary_lines(summarise(result)))


def _refuse_beside_resume(ctx: typer.Context) -> None:
    """Refuse what a run that is resumed has decided already."""
    allowed = {"resume", "threads", "device", "checkpoint_interval_s", "verbose", "quiet"}
    for parameter in ctx.command.params:
        if parameter.name is not None and parameter.name not in allowed and _is_explicit(ctx, parameter.name):
            name = "PARTICLES" if parameter.name == "particles" else max(parameter.opts, key=len)
            raise InputError(
                f"{name} was given beside --resume, but a run is resumed with its own options; leave it out, or start "
                "another run with -o."
            )


def _is_explicit(ctx: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
