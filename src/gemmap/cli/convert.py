"""``gemmap convert``: particles from one program's format to another's."""

from pathlib import Path
from typing import Annotated

import typer

from gemmap.cli import panels, reading
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples

_MOST_USED, _NAMES = panels.MOST_USED, panels.NAMES

EXAMPLE = examples(
    ("cryoSPARC to RELION", "gemmap convert J42/J42_particles.csg -o particles.star"),
    ("RELION to cryoSPARC", "gemmap convert Refine3D/job010/run_data.star -o particles.cs"),
    (
        "RELION to cryoDRGN: poses.pkl, ctf.pkl and a list of the images",
        "gemmap convert Refine3D/job010/run_data.star -o for_cryodrgn",
    ),
    ("cryoDRGN to RELION", "gemmap convert particles.mrcs -o particles.star \\\n      --poses poses.pkl --ctf ctf.pkl"),
    then="Images are not copied. What the format cannot say is named; what would describe other images is refused. "
    "gemmap check judges the new file.",
)


@reports_errors
def convert(
    particles: reading.Particles,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|FOLDER",
            help="File that ends in .star (RELION 3.1 and later) or .cs (cryoSPARC), or a folder (cryoDRGN).",
            show_default=False,
            rich_help_panel=_MOST_USED,
        ),
    ],
    poses: reading.Poses = None,
    trans: reading.Trans = None,
    ctf: reading.Ctf = None,
    ind: reading.Ind = None,
    passthrough: reading.Passthrough = None,
    no_ctf: reading.NoCtf = False,
    datadir: reading.Datadir = None,
    strip_prefix: reading.StripPrefix = None,
    allow_outside: Annotated[
        bool,
        typer.Option(
            "--allow-outside",
            help="With --poses, read stacks that PARTICLES names outside its own folder, its project and the working "
            "folder, which is refused otherwise. Without --poses stacks are only named, wherever they are.",
            rich_help_panel=panels.FILES,
        ),
    ] = False,
    first: reading.First = None,
    invert: reading.Invert = False,
    pixel_size_a: reading.PixelSize = None,
    class_number: reading.ClassNumber = None,
    bfactor_sign: reading.BFactorSignOption = "file",
    cs_aberrations: reading.CsAberrationsOption = "refuse",
    relative_to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write names relative to this folder, such as the project's; it must exist. By default names that "
            "lead to their stacks stay, and others are relative to the new file.",
            rich_help_panel=_NAMES,
        ),
    ] = None,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Write full paths of the stacks.", rich_help_panel=_NAMES)
    ] = False,
    keep_names: Annotated[
        bool,
        typer.Option(
            "--keep-names", help="Write names as they were read; stacks need not be there.", rich_help_panel=_NAMES
        ),
    ] = False,
    relion30: Annotated[
        bool,
        typer.Option(
            "--relion30", help="Write a STAR file of RELION 3.0, without optics groups.", rich_help_panel=_MOST_USED
        ),
    ] = False,
    lossy: Annotated[
        bool,
        typer.Option(
            "--lossy",
            help="Write the file even if it cannot say all that the images went through, which is refused otherwise.",
            rich_help_panel=_MOST_USED,
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=_MOST_USED)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Say nothing but what is lost.", rich_help_panel=panels.RUN)
    ] = False,
) -> None:
    """Write particles in another program's format."""
    from gemmap.api.convert import convert as convert_particles
    from gemmap.api.reading import ReadingOptions
    from gemmap.cli.screen import Screen

    options = ReadingOptions(
        particles=particles,
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
    )
    done = convert_particles(
        options,
        output,
        relion30=relion30,
        relative_to=relative_to,
        absolute=absolute,
        keep_names=keep_names,
        lossy=lossy,
        overwrite=overwrite,
    )
    for note in done.notes:
        typer.echo(f"Note: {note}", err=True)
    names = ", ".join(str(output / path.name) if len(done.files) > 1 else str(output) for path in done.files)
    Screen(verbose=False, quiet=quiet).say(f"{done.n_particles:,} particles written for {done.format_name}: {names}")
