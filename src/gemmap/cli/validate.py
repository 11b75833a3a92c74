"""``gemmap validate``: half-maps of any program, or those of a run, judged."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gemmap.api.options import SAMPLING_A
from gemmap.cli import local, panels, reading
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples
from gemmap.errors import InputError

_MOST_USED = panels.MOST_USED

EXAMPLE = examples(
    (
        "Half-maps of any program",
        "gemmap validate run_half1_class001_unfil.mrc \\\n      run_half2_class001_unfil.mrc -o validation",
    ),
    (
        "With the particles they were made of: the cross-FSC, which stays honest",
        "gemmap validate J42_map_half_A.mrc J42_map_half_B.mrc \\\n"
        "      --particles J42/J42_particles.csg -o validation",
    ),
    ("A run of gemmap reconstruct, in another mask", "gemmap validate run1 --mask mask.mrc -o validation"),
    then="Look at validation/fsc.png and validation/locres.cxc (ChimeraX). Against a model: gemmap compare. Only for "
    "runs: gemmap evidence.",
)


@reports_errors
def validate(
    ctx: typer.Context,
    half1: Annotated[
        Path, typer.Argument(metavar="HALF1|RUN", help="Half-map 1, unmasked and unfiltered; or the folder of a run.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for the results; must not exist, unless --overwrite.",
            rich_help_panel=_MOST_USED,
        ),
    ],
    half2: Annotated[
        Path | None, typer.Argument(metavar="HALF2", help="Half-map 2; not beside RUN.", show_default=False)
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="MAP",
            help="Mask, 0 to 1, in the maps' box; by default made from the maps, or that of the run.",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    interpolate: Annotated[
        bool,
        typer.Option(
            "--interpolate",
            help="Read resolutions between shells; that of RELION's rule stands beside it.",
            rich_help_panel=panels.VALIDATION,
        ),
    ] = False,
    bfactor: Annotated[
        float | None,
        typer.Option(
            metavar="Å²",
            help="B-factor in Å² of the sharpened map, negative to sharpen; by default fitted.",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    guinier_from: Annotated[
        float,
        typer.Option(
            metavar="Å",
            help="Coarsest resolution in Å of the B-factor's fit.",
            rich_help_panel=panels.VALIDATION,
        ),
    ] = 10.0,
    local_resolution: local.LocalResolution = True,
    local_sampling: local.LocalSampling = SAMPLING_A,
    particles: Annotated[
        Path | None,
        typer.Option(
            help="Particles the half-maps were made of, with their half-sets (rlnRandomSubset, alignments3D/split): "
            "adds the cross-FSC and the views. By default half-maps are judged alone.",
            metavar="PARTICLES",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    sym: Annotated[
        str,
        typer.Option(
            metavar="GROUP",
            help="Point group of the particle, as RELION's; goes with --particles.",
            rich_help_panel=reading.PANEL,
        ),
    ] = "C1",
    particle_diameter: Annotated[
        float | None,
        typer.Option(
            metavar="Å",
            help="Diameter in Å of the sphere that holds the particle; by default measured, or that of the box.",
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
    class_number: reading.ClassNumber = None,
    bfactor_sign: reading.BFactorSignOption = "file",
    cs_aberrations: reading.CsAberrationsOption = "refuse",
    pixel_size: Annotated[
        float | None,
        typer.Option(
            metavar="Å",
            help="Voxel size in Å of the maps and, where given, of the particles; by default that of their files.",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    fsc3d: Annotated[
        bool, typer.Option("--fsc3d", help="Write the 3-D FSC too, fsc3d.mrc.", rich_help_panel=panels.VALIDATION)
    ] = False,
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="Seed of random phases and of the interval.", rich_help_panel=panels.RUN),
    ] = 0,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads to compute with; all cores by default.", rich_help_panel=panels.RUN),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace an earlier validation in the folder; other files stay.",
            rich_help_panel=_MOST_USED,
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Say only the result.", rich_help_panel=panels.RUN)
    ] = False,
) -> None:
    """Measure FSC, resolution with its interval, B-factor, local and directional resolution of two half-maps."""
    given: dict[str, Any] = {
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
        "class_number": class_number,
        "bfactor_sign": bfactor_sign,
        "cs_aberrations": cs_aberrations,
    }
    if particles is None:
        _refuse(ctx, [*given, "sym"], "is for particles; give --particles, or leave it out.")

    from gemmap.api.reading import ReadingOptions
    from gemmap.api.validation import validate_half_maps, validate_run
    from gemmap.cli.screen import Screen
    from gemmap.report.summary import label_lines
    from gemmap.validate.postprocess import PostprocessOptions

    screen = Screen(verbose=False, quiet=quiet)
    options = PostprocessOptions(
        sampling_a=local_sampling if local_resolution else None,
        seed=seed,
        interpolate=interpolate,
        particle_diameter_a=particle_diameter,
        bfactor_a2=bfactor,
        guinier_from_a=guinier_from,
        fsc3d=fsc3d,
    )
    common: dict[str, Any] = {
        "mask": mask,
        "options": options,
        "n_threads": threads,
        "overwrite": overwrite,
        "progress": screen.progress(),
    }
    if half2 is None:
        if not half1.is_dir():
            raise InputError(f"{half1} is no folder of a run and there is no second half-map; give HALF1 and HALF2.")
        _refuse(ctx, ["particles", "pixel_size"], "is for half-maps, a run knows its own; leave it out.")
        done = validate_run(half1, output, **common)
    else:
        reading_options = None if particles is None else ReadingOptions(particles, pixel_size_a=pixel_size, **given)
        done = validate_half_maps(
            half1, half2, output, particles=reading_options, pixel_size_a=pixel_size, sym=sym, **common
        )
    screen.result(label_lines([*done.lines(), ("Results", str(output))]))


def _refuse(ctx: typer.Context, names: list[str], why: str) -> None:
    """Refuse options that were given and would have no effect."""
    for parameter in ctx.command.params:
        source = None if parameter.name is None else ctx.get_parameter_source(parameter.name)
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise InputError(f"{max(parameter.opts, key=len)} {why}")
