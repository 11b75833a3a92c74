"""``gemmap reconstruct``: particles with known poses to half-maps, a map and its resolution."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gemmap.api.options import SAMPLING_A, Engine
from gemmap.cli import images, local, panels, reading, running
from gemmap.cli import live as live_page
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples
from gemmap.errors import InputError
from gemmap.fit.config import FitConfig, Shape
from gemmap.fit.schedule import Loss, Schedule, Start

_MOST_USED, _FIT, _ENGINE, _RUN = panels.MOST_USED, panels.FIT, panels.ENGINE, panels.RUN

EXAMPLE = examples(
    (
        "A refinement of RELION, D2, to 3 Å; its half-sets are kept",
        "gemmap reconstruct Refine3D/job010/run_data.star -o run1 \\\n      --sym D2 --max-resolution 3",
    ),
    ("A refinement of cryoSPARC", "gemmap reconstruct J42/J42_particles.csg -o run1"),
    ("Particles of cryoDRGN", "gemmap reconstruct particles.mrcs -o run1 --poses poses.pkl --ctf ctf.pkl"),
    ("Go on after a crash", "gemmap reconstruct --resume run1"),
    then="Open run1/report.html; run1/README.txt lists the files. Is it real? gemmap evidence run1. In another mask: "
    "gemmap validate run1 --mask mask.mrc. For ChimeraX and the EMDB: gemmap export run1.",
)


@reports_errors
def reconstruct(
    ctx: typer.Context,
    particles: reading.Particles = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for the results, needed unless --resume; must not exist, unless --overwrite.",
            show_default=False,
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Finish the interrupted run in this folder, with its own options, in place of starting one.",
            show_default=False,
            rich_help_panel=_MOST_USED,
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
            metavar="N",
            help="Most Gaussians in a fit; by default 0.3 for every voxel of the particle's sphere.",
            rich_help_panel=_FIT,
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="MAP",
            help="Soft mask, 0 to 1, in the particles' box: the region to fit and the mask of the curves. By default "
            "the particle's sphere is fitted, and the mask made from the half-maps.",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    sym: images.Sym = FitConfig.symmetry,
    shape: Annotated[
        Shape,
        typer.Option(
            help="What of a Gaussian is fitted beside centre and mass. free: widths and rotation. axis-aligned: "
            "widths. round: one width. fixed: nothing.",
            rich_help_panel=_FIT,
        ),
    ] = FitConfig.shape,
    engine: Annotated[
        Engine,
        typer.Option(
            help="aggregate: fit to the sums of one pass over the images. images: go through them again and again, as "
            "the paper does; much slower, the same map.",
            rich_help_panel=_FIT,
        ),
    ] = "aggregate",
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Visits to every image; by default 3, or 10 from a random start.", rich_help_panel=_ENGINE
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", help="Images per step of the optimiser.", rich_help_panel=_ENGINE)
    ] = Schedule.batch_size,
    loss: Annotated[
        Loss,
        typer.Option(
            help="whitened: weigh every frequency by its noise, the likelihood. mse: all alike, as the paper does.",
            rich_help_panel=_ENGINE,
        ),
    ] = Schedule.loss,
    start: Annotated[
        Start,
        typer.Option(
            help="aggregate: begin with the voxels fitted to the sums. random: begin anywhere in the particle.",
            rich_help_panel=_ENGINE,
        ),
    ] = Schedule.start,
    rate: Annotated[
        float,
        typer.Option(
            metavar="X", help="Factor on all learning rates; smaller if steps diverge.", rich_help_panel=_ENGINE
        ),
    ] = Schedule.rate,
    max_steps: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Most steps of a fit to the sums; held-out particles choose how many are done.",
            rich_help_panel=_FIT,
        ),
    ] = FitConfig.max_steps,
    local_resolution: local.LocalResolution = True,
    local_sampling_a: local.LocalSampling = SAMPLING_A,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="Look at a sample of the images first and warn of what is wrong with them; takes under 5 %.",
            rich_help_panel=_RUN,
        ),
    ] = True,
    seed: images.Seed = FitConfig.seed,
    threads: images.Threads = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE",
            help="auto, cpu, cuda or cuda:N; auto takes a GPU if there is one.",
            rich_help_panel=_RUN,
            autocompletion=lambda: ["auto", "cpu", "cuda"],
        ),
    ] = "auto",
    memory: images.Memory = None,
    gpu_memory: images.GpuMemory = None,
    save_aggregates: Annotated[
        bool,
        typer.Option(
            "--save-aggregates",
            help="Keep the sums of each half (aggregate_half1.safetensors, ..half2), for adding more particles later.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    evidence: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Test the finished run on changed particles: all, or some of noise-substitution, held-out, pure-noise "
            "and particle-count, with commas; not by default (gemmap evidence does it later).",
            rich_help_panel=_RUN,
            show_default=False,
        ),
    ] = None,
    checkpoint_interval_s: Annotated[
        float,
        typer.Option(
            "--checkpoint-interval",
            metavar="SECONDS",
            help="Least time in seconds between two saves of what --resume goes on from; 0 saves after every stage.",
            rich_help_panel=_RUN,
        ),
    ] = 60.0,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take options from the config.yaml of a run; those given here win. By default none are.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the results in an existing folder; other files stay.",
            rich_help_panel=_MOST_USED,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Read and check everything but the pixels, print the plan with its memory, stop.",
            rich_help_panel=_MOST_USED,
        ),
    ] = False,
    live: live_page.Live = False,
    live_port: live_page.LivePort = 0,
    live_host: live_page.LiveHost = live_page.LOCALHOST,
    live_stay: live_page.LiveStay = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Say more: all options, and a line a second.", rich_help_panel=_RUN)
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only the result.", rich_help_panel=_RUN)] = False,
) -> None:
    """Reconstruct half-maps and a map from particles with known poses, and say how far to believe it."""
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
        "check": check,
        "seed": seed,
        "threads": threads,
        "device": device,
        "memory": memory,
        "gpu_memory": gpu_memory,
        "save_aggregates": save_aggregates,
        "evidence": evidence,
        "checkpoint_interval_s": checkpoint_interval_s,
    }
    explicit = {name: value for name, value in given.items() if _is_explicit(ctx, name)}
    page = live_page.LivePage.of(live, live_host, live_port, live_stay)
    if resume is not None:
        _refuse_beside_resume(ctx)
    with running.joined_processes() as team:
        if team.rank:
            from gemmap.api.together import take_part

            take_part(team)
            return
        from gemmap.cli.screen import Screen

        manner = running.Manner(Screen(verbose, quiet), page, team)
        if resume is not None:
            running.go_on(resume, explicit, manner)
        else:
            running.begin(given, explicit, output, config, overwrite, dry_run, manner)


def _refuse_beside_resume(ctx: typer.Context) -> None:
    """Refuse what a run that is resumed has decided already."""
    allowed = {"resume", "threads", "device", "checkpoint_interval_s", "verbose", "quiet"} | live_page.NAMES
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
