"""``gemmap check``: what can be known about particles before anything is computed."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli import panels, reading
from gemmap.cli.errors import USER_ERROR, reports_errors
from gemmap.cli.teaching import examples
from gemmap.errors import InputError

_MOST_USED, _RUN = panels.MOST_USED, panels.RUN

EXAMPLE = examples(
    ("A refinement of RELION", "gemmap check Refine3D/job010/run_data.star"),
    ("A refinement of cryoSPARC, every image looked at", "gemmap check J42/J42_particles.csg --all-images"),
    ("Particles of cryoDRGN", "gemmap check particles.mrcs --poses poses.pkl --ctf ctf.pkl"),
    ("In a script: stop at any warning, keep the verdicts", "gemmap check particles.star --strict --json check.json"),
    then="Exit code 0: nothing is wrong; 2: there is an error, or with --strict a warning. Then gemmap reconstruct "
    "with the same PARTICLES and options.",
)


@reports_errors
def check(
    particles: reading.Particles = None,
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
    n_sample: Annotated[
        int,
        typer.Option(
            "--sample",
            metavar="N",
            help="Images to look at, spread over all; 0 looks at none.",
            rich_help_panel=_MOST_USED,
        ),
    ] = 1500,
    all_images: Annotated[
        bool,
        typer.Option(
            "--all-images",
            help="Look for dead images in all of them, not in the sample only.",
            rich_help_panel=_MOST_USED,
        ),
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write table and verdicts to this file too, for programs; none by default.",
            rich_help_panel=_MOST_USED,
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 2 for warnings too.", rich_help_panel=_MOST_USED)
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the sample of images.", rich_help_panel=_RUN)] = 0,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads to compute with; all cores by default.", rich_help_panel=_RUN),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only what is wrong.", rich_help_panel=_RUN)] = False,
) -> None:
    """Describe particles, and judge contrast, shifts, CTFs, poses, half-sets and files in seconds."""
    if particles is None:
        raise InputError("No particle file was given; give PARTICLES.")

    from gemmap.api.check import check as check_particles
    from gemmap.cli.screen import Screen
    from gemmap.report.check_text import check_lines, verdict_lines, write_check

    report = check_particles(
        particles,
        poses=poses,
        trans=trans,
        ctf=ctf,
        ind=ind,
        passthrough=tuple(passthrough or ()),
        no_ctf=no_ctf,
        datadir=datadir,
        strip_prefix=strip_prefix,
        allow_outside=allow_outside,
        first=first,
        invert=invert,
        pixel_size_a=pixel_size_a,
        class_number=class_number,
        bfactor_sign=bfactor_sign,
        cs_aberrations=cs_aberrations,
        n_sample=n_sample,
        all_images=all_images,
        seed=seed,
        threads=threads,
    )
    if json is not None:
        write_check(json, report)
    wrong = [*report.of("error"), *report.of("warning")]
    Screen(verbose=False, quiet=False).result(verdict_lines(wrong) if quiet else check_lines(report))
    if report.of("error") or (strict and wrong):
        raise typer.Exit(USER_ERROR)
