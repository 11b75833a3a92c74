"""``gemmap aggregate``, ``merge`` and ``subtract``: what particles say, as files that add."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemmap.cli import images, panels, reading
from gemmap.cli.errors import reports_errors
from gemmap.cli.teaching import examples
from gemmap.errors import InputError
from gemmap.fit.config import FitConfig

if TYPE_CHECKING:
    from gemmap.fit.kept_sums import KeptSums

AGGREGATE_EXAMPLE = examples(
    ("The particles of one day", "gemmap aggregate day1.star -o day1.safetensors"),
    (
        "In another box, with a symmetry: every part must have the same",
        "gemmap aggregate J42/J42_particles.csg -o day2.safetensors \\\n      --sym D2 --max-resolution 3",
    ),
    then="gemmap merge day1.safetensors day2.safetensors -o all.safetensors, and gemmap fit all.safetensors -o run1.",
)
MERGE_EXAMPLE = examples(
    ("Two days", "gemmap merge day1.safetensors day2.safetensors -o all.safetensors"),
    ("All parts of a folder", "gemmap merge part*.safetensors -o all.safetensors"),
    then="gemmap fit all.safetensors -o run1.",
)
SUBTRACT_EXAMPLE = examples(
    (
        "Without the particles of a bad micrograph",
        "gemmap subtract all.safetensors bad_micrograph.star -o rest.safetensors",
    ),
    then="gemmap fit rest.safetensors -o run1. Particles are recognised by the pixels of their images, whatever file "
    "names them.",
)

Micrographs = Annotated[
    list[str] | None,
    typer.Option(
        "--micrograph",
        metavar="NAME",
        help="Take out the particles of this micrograph alone; may be repeated. All particles by default.",
        rich_help_panel=panels.MOST_USED,
    ),
]
PartOf = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Take part I of N, of equally many images each: for the tasks of an array job. All by default.",
        rich_help_panel=panels.MOST_USED,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="File for the sums, .safetensors; needed, and must not exist.",
        show_default=False,
        rich_help_panel=panels.MOST_USED,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the file if it exists.", rich_help_panel=panels.MOST_USED)
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say only the result.", rich_help_panel=panels.RUN)]


@reports_errors
def aggregate(
    particles: reading.Particles = None,
    output: Output = None,
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
    sym: images.Sym = FitConfig.symmetry,
    seed: images.Seed = FitConfig.seed,
    part: PartOf = None,
    threads: images.Threads = None,
    memory: images.Memory = None,
    gpu_memory: images.GpuMemory = None,
    device: images.Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Insert particles once, and keep what their images say: half-sets, noise and sums, to fit now or later."""
    from gemmap.api.options import ReconstructionOptions
    from gemmap.api.plan import plan_reconstruction
    from gemmap.api.sums import aggregate as add_up
    from gemmap.api.sums import save_sums
    from gemmap.cli.screen import Screen
    from gemmap.io.folders import require_new_file
    from gemmap.particles.halves import parse_part

    path = _required(output)
    require_new_file(path, ".safetensors", overwrite)
    if particles is None:
        raise InputError("No particle file was given; give PARTICLES.")
    screen = Screen(verbose=False, quiet=quiet)
    plan = plan_reconstruction(
        ReconstructionOptions(
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
            flip_hand=flip_hand,
            phase_flipped=phase_flipped,
            premultiplied=premultiplied,
            box_px=box_px,
            target_pixel_size_a=target_pixel_size_a,
            max_resolution_a=max_resolution_a,
            normalise=normalise,
            window=window,
            particle_diameter_a=particle_diameter_a,
            sym=sym,
            seed=seed,
            threads=threads,
            memory=memory,
            gpu_memory=gpu_memory,
            device=device,
        )
    )
    if part is not None:
        plan = plan.part(*parse_part(part))
    screen.plan(plan.lines(), {})
    sums = add_up(plan, screen.progress())
    save_sums(path, sums)
    screen.result([f"{path}: {_contents(sums)}"])


@reports_errors
def merge(
    parts: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of gemmap aggregate or merge.")],
    output: Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Add sums of different particles; the same particle twice is refused."""
    from gemmap.api.sums import merge as add
    from gemmap.api.sums import save_sums
    from gemmap.cli.screen import Screen
    from gemmap.io.folders import require_new_file

    path = _required(output)
    require_new_file(path, ".safetensors", overwrite)
    sums = add(parts)
    save_sums(path, sums)
    Screen(verbose=False, quiet=False).result([f"{path}: {_contents(sums)}"])


@reports_errors
def subtract(
    sums: Annotated[Path, typer.Argument(metavar="SUMS", help="File of gemmap aggregate or merge.")],
    particles: reading.Particles = None,
    output: Output = None,
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
    micrograph: Micrographs = None,
    threads: images.Threads = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Take particles out of sums, such as those of a micrograph, by inserting them once more with the other sign."""
    from gemmap.api.options import ReconstructionOptions
    from gemmap.api.sums import save_sums
    from gemmap.api.sums import subtract as take_out
    from gemmap.cli.screen import Screen
    from gemmap.io.folders import require_new_file

    path = _required(output)
    require_new_file(path, ".safetensors", overwrite)
    if particles is None:
        raise InputError("No particle file was given; give the PARTICLES to take out.")
    options = ReconstructionOptions(
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
        flip_hand=flip_hand,
        phase_flipped=phase_flipped,
        premultiplied=premultiplied,
    )
    screen = Screen(verbose=False, quiet=quiet)
    rest = take_out(sums, options, threads, screen.progress(), micrograph or ())
    save_sums(path, rest)
    screen.result([f"{path}: {_contents(rest)}"])


def _required(output: Path | None) -> Path:
    if output is None:
        raise InputError("No file for the sums was given; give -o FILE.safetensors.")
    return output


def _contents(sums: "KeptSums") -> str:
    n_parts = len(sums.parts)
    half1 = int((sums.members.half == 1).sum())
    return (
        f"{sums.n_particles:,} particles ({half1:,} + {sums.n_particles - half1:,}) of {n_parts} "
        f"part{'s' if n_parts > 1 else ''}, {sums.box_px} px, {sums.pixel_size_a:.6g} Å, {sums.symmetry}"
    )
