"""``gemmap validate``: half-maps of any program, or those of a run, judged."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gemmap.api.options import SAMPLING_A
from gemmap.cli import local, reading
from gemmap.cli.errors import reports_errors
from gemmap.errors import InputError

EXAMPLE = (
    "[bold]Half-maps of any program:[/bold] gemmap validate run_half1_class001_unfil.mrc run_half2_class001_unfil.mrc "
    "-o validation\n\n"
    "[bold]With the particles they were made of, by the cross-FSC:[/bold] gemmap validate HALF1 HALF2 --particles "
    "run_data.star -o validation\n\n"
    "[bold]A run of gemmap reconstruct, in another mask:[/bold] gemmap validate run1 --mask mask.mrc -o validation"
)


@reports_errors
def validate(
    ctx: typer.Context,
    half1: Annotated[
        Path, typer.Argument(metavar="HALF1|RUN", help="Half-map 1, unmasked and unfiltered; or the folder of a run.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results; must not exist.")],
    half2: Annotated[Path | None, typer.Argument(help="Half-map 2.", show_default=False)] = None,
    mask: Annotated[
        Path | None, typer.Option(metavar="MAP", help="Mask, 0 to 1; made from the maps, or the run's, by default.")
    ] = None,
    interpolate: Annotated[
        bool, typer.Option("--interpolate", help="Read resolutions between shells; RELION's stands beside it.")
    ] = False,
    bfactor: Annotated[
        float | None, typer.Option(metavar="A2", help="B-factor in Å^2, negative to sharpen; fitted by default.")
    ] = None,
    guinier_from: Annotated[
        float, typer.Option(metavar="A", help="Coarsest resolution of the B-factor's fit in Å.")
    ] = 10.0,
    local_resolution: local.LocalResolution = True,
    local_sampling: local.LocalSampling = SAMPLING_A,
    particles: Annotated[
        Path | None,
        typer.Option(
            help="Particles the half-maps were made of, with their half-sets (rlnRandomSubset, alignments3D/split): "
            "adds the cross-FSC and the views.",
            rich_help_panel=reading.PANEL,
        ),
    ] = None,
    sym: Annotated[
        str,
        typer.Option(metavar="GROUP", help="Point group of the particle, as RELION's.", rich_help_panel=reading.PANEL),
    ] = "C1",
    particle_diameter: Annotated[
        float | None,
        typer.Option(metavar="Å", help="Diameter of the sphere that holds the particle."),
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
            metavar="A", help="Voxel size in Å, in place of the maps' headers' and, where given, of the particles'."
        ),
    ] = None,
    fsc3d: Annotated[bool, typer.Option("--fsc3d", help="Write the 3-D FSC, fsc3d.mrc.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of random phases and of the interval.")] = 0,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads; all cores by default.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier validation; other files stay.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only the result.")] = False,
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
