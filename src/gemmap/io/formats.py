"""Particles from any supported file: finds out what the file is, reads it, filters it and opens its images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gemmap._types import Int
from gemmap.errors import FormatError, InputError
from gemmap.io.choices import BFactorSign, CsAberrations
from gemmap.io.classes import choose_class
from gemmap.io.cryodrgn import Views, build_table, read_images, read_rows, read_views
from gemmap.io.cs import read_cs
from gemmap.io.image_list import FileKind
from gemmap.io.mrc import open_images, open_stack
from gemmap.io.mrc_stack import MrcStack
from gemmap.io.opening import open_input
from gemmap.io.outside import require_inside
from gemmap.io.paths import project_folders
from gemmap.io.pixel_override import override_notes
from gemmap.io.relion import read_relion
from gemmap.particles.table import ParticleTable

_PIXEL_SIZE_TOLERANCE = 1e-3
_SUFFIXES: dict[str, FileKind] = {
    ".star": "star",
    ".cs": "cs",
    ".csg": "cs",
    ".txt": "txt",
    ".mrcs": "mrc",
    ".mrc": "mrc",
}


@dataclass(frozen=True, eq=False)
class LoadedParticles:
    """Particles ready to use.

    Attributes
    ----------
    table, stack
        Same particles in the same order.
    notes
        Sentences for the user: what was assumed, and what the files hold that the model does not.
    format_name
        ``RELION``, ``cryoSPARC`` or ``cryoDRGN``.
    n_in_file
        Particles before ``ind`` and ``first`` chose some of them.
    """

    table: ParticleTable
    stack: MrcStack
    notes: tuple[str, ...]
    format_name: str
    n_in_file: int


# What a file's numbers overflow to is not finite, and refused by name when the table is made.
@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def read_particles(
    path: Path,
    *,
    poses: Path | None = None,
    trans: Path | None = None,
    ctf: Path | None = None,
    ind: Path | None = None,
    passthrough: Sequence[Path] = (),
    no_ctf: bool = False,
    first: int | None = None,
    pixel_size_a: float | None = None,
    datadir: Path | None = None,
    strip_prefix: str | None = None,
    invert: bool = False,
    class_number: int | None = None,
    bfactor_sign: BFactorSign = "file",
    cs_aberrations: CsAberrations = "refuse",
    allow_outside: bool = False,
) -> LoadedParticles:
    """Read particles and open their images.

    Parameters
    ----------
    path
        ``.star`` (RELION), ``.cs`` (cryoSPARC), or with ``poses`` any list of images: ``.mrcs``, ``.txt``, ``.star``,
        ``.cs``.
    poses, trans, ctf
        CryoDRGN's ``poses.pkl`` and ``ctf.pkl`` (or ``.npz``); ``trans`` for shifts in a file of their own.
    ind
        Rows to keep: ``ind.pkl`` (or ``.npz``), numbers from 0.
    passthrough
        CryoSPARC's passthrough files of the same job.
    no_ctf
        The user's statement that the images carry no CTF; ``table.ctf`` is then None.
    first
        Keep the first so many rows, after ``ind``.
    pixel_size_a
        Replaces the pixel size that the files give. Shifts given in Å stay as they are in Å; shifts given in pixels
        (RELION 3.0, cryoSPARC) or box fractions (cryoDRGN) are converted with this pixel size.
    datadir
        The folder that stack names are relative to, in place of the particle file's folder and those above it.
    strip_prefix
        Text to remove from the front of stack names.
    invert
        Multiply the pixels by -1: for dark particles whose file does not say so.
    class_number
        Keep the particles of this class, numbered as in the file; None keeps all.
    bfactor_sign
        ``damping`` takes every CTF B-factor as damping, whatever its sign in the file.
    cs_aberrations
        What to do about aberrations in cryoSPARC's fields (``io.cs_aberrations``): ``refuse`` them, ``model`` or
        ``ignore`` them.
    allow_outside
        Read stacks wherever the file says they are (:func:`gemmap.io.outside.require_inside`).

    Raises
    ------
    InputError, FormatError
        One sentence that says what was got, what was expected and what to do.
    """
    path = Path(path)
    kind = file_kind(path)
    _require_consistent_options(kind, poses, trans, ctf, passthrough, no_ctf, pixel_size_a, first)
    if kind == "mrc" and (datadir is not None or strip_prefix):
        raise InputError(f"{path} is itself the stack; --datadir and --strip-prefix go with files that name stacks.")
    folders = project_folders(path) if kind in ("star", "cs") else (path.parent,)
    if poses is None:
        table, notes, n_in_file = read_table(
            path,
            ind=ind,
            passthrough=passthrough,
            no_ctf=no_ctf,
            first=first,
            pixel_size_a=pixel_size_a,
            class_number=class_number,
            bfactor_sign=bfactor_sign,
            cs_aberrations=cs_aberrations,
        )
        stack = open_stack(table, folders, strip_prefix=strip_prefix, datadir=datadir, invert=invert)
    else:
        _require_no_choices(class_number, bfactor_sign, cs_aberrations)
        images, notes = read_images(path, kind, strip_prefix=strip_prefix, datadir=datadir)
        n_in_file = len(images)
        views = read_views(images, poses, trans, ctf, ind, first)
        notes = (*notes, *_several_boxes_notes(views))
        stack = open_images(views.images, folders, strip_prefix=strip_prefix, datadir=datadir, invert=invert)
        size = pixel_size_a
        if size is not None and views.ctf is not None:
            notes = (*notes, *override_notes(size, views.ctf[:, 0] * views.ctf[:, 1] / stack.boxes_px))
        if ctf is None and pixel_size_a is None:
            size = _header_pixel_size(stack, path)
            notes = (*notes, f"Pixel size {size:g} Å taken from the stack headers.")
        table = build_table(views.images, views.rotations, views.shift_fractions, views.ctf, stack.box_px, size)

    table = _with_boxes(drop_unused(table), stack.boxes_px, path, pixel_size_a)
    if not allow_outside:
        require_inside(table.stacks, stack.paths, path, datadir=datadir, has_prefix=bool(strip_prefix))
    name = "cryoDRGN" if poses is not None else {"star": "RELION", "cs": "cryoSPARC"}[kind]
    notes = (*notes, *_loading_notes(table, stack, pixel_size_a), *bfactor_notes(table))
    return LoadedParticles(table, stack, notes, name, n_in_file)


def read_table(
    path: Path,
    *,
    ind: Path | None = None,
    passthrough: Sequence[Path] = (),
    no_ctf: bool = False,
    first: int | None = None,
    pixel_size_a: float | None = None,
    class_number: int | None = None,
    bfactor_sign: BFactorSign = "file",
    cs_aberrations: CsAberrations = "refuse",
) -> tuple[ParticleTable, tuple[str, ...], int]:
    """Read the particles of a ``.star``, ``.cs`` or ``.csg`` file without their images.

    Parameters and errors are those of `read_particles`.

    Returns
    -------
    tuple
        The table, notes for the user, and the number of particles before some were chosen.
    """
    kind = file_kind(path)
    _require_consistent_options(kind, None, None, None, passthrough, no_ctf, pixel_size_a, first)
    if kind == "star":
        _require_no_choices(None, "file", cs_aberrations)
        table, notes = read_relion(path, no_ctf=no_ctf, pixel_size_a=pixel_size_a)
    else:
        table, notes = read_cs(
            path, passthrough=passthrough, no_ctf=no_ctf, pixel_size_a=pixel_size_a, aberrations=cs_aberrations
        )
    n_in_file = len(table)
    rows = np.arange(n_in_file) if ind is None else read_rows(ind, n_in_file)
    rows, class_notes = choose_class(table, class_number, path, rows)
    table = drop_unused(_with_bfactor_sign(table.select(rows[:first]), bfactor_sign, path))
    return table, (*notes, *class_notes), n_in_file


def _several_boxes_notes(views: Views) -> tuple[str, ...]:
    boxes = [] if views.ctf is None else np.unique(views.ctf[:, 0]).tolist()
    if len(boxes) < 2:
        return ()
    listed = ", ".join(f"{box:g}" for box in boxes)
    return (f"ctf.pkl speaks of boxes of {listed} px: each image's pixel size is D x Apix over its box on disk.",)


def bfactor_notes(table: ParticleTable) -> tuple[str, ...]:
    """Name the sign of negative B-factors."""
    if table.ctf is None or not (table.ctf.bfactor_a2 < 0).any():
        return ()
    return (
        f"The B-factor is negative for {int((table.ctf.bfactor_a2 < 0).sum())} of {len(table)} particles: "
        "exp(-B k^2 / 4) then amplifies high frequencies, as in RELION; tilt-series programs mean damping by it, and "
        "--bfactor-sign damping takes it so.",
    )


def file_kind(path: Path) -> FileKind:
    """Tell what a particle file is, by its first bytes where they are unmistakable and by its suffix otherwise.

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is none of the formats GEM reads.
    """
    with open_input(path) as handle:
        head = handle.read(4096)
    if head.startswith(b"\x93NUMPY") or b"CSDAT" in head[:16]:
        return "cs"
    if head[208:211] == b"MAP":
        return "mrc"
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    if any(line.startswith(b"data_") for line in head.splitlines()):
        return "star"
    raise FormatError(
        f"{path} is no particle file GEM knows; expected .star (RELION), .cs (cryoSPARC), or .mrcs or .txt with "
        "--poses (cryoDRGN)."
    )


def _require_consistent_options(
    kind: FileKind,
    poses: Path | None,
    trans: Path | None,
    ctf: Path | None,
    passthrough: Sequence[Path],
    no_ctf: bool,
    pixel_size_a: float | None,
    first: int | None,
) -> None:
    """Refuse options that would have no effect or contradict each other."""
    if poses is None and kind in ("mrc", "txt"):
        raise InputError(
            "Image stacks have no poses; give --poses (and --ctf), or a .star or .cs file of a refinement."
        )
    if ctf is not None and poses is None:
        raise InputError("--ctf goes with --poses; a .star or .cs file brings its own CTF.")
    if trans is not None and poses is None:
        raise InputError("--trans goes with --poses; a .star or .cs file brings its own shifts.")
    if ctf is not None and no_ctf:
        raise InputError("--ctf and --no-ctf contradict each other; give one of them.")
    if poses is not None and ctf is None and not no_ctf:
        raise InputError("--poses was given without a CTF; give --ctf, or --no-ctf if the images carry none.")
    if passthrough and (kind != "cs" or poses is not None):
        raise InputError("--passthrough goes with a cryoSPARC .cs file whose poses are used.")
    if pixel_size_a is not None and not (np.isfinite(pixel_size_a) and pixel_size_a > 0):
        raise InputError(f"--pixel-size is {pixel_size_a:g}; expected a positive number of Å.")
    if first is not None and first < 1:
        raise InputError(f"--first is {first}; expected at least 1 particle.")


def _require_no_choices(class_number: int | None, bfactor_sign: BFactorSign, cs_aberrations: CsAberrations) -> None:
    """Refuse choices about what a file does not hold."""
    if class_number is not None:
        raise InputError("--class goes with the poses of a .star or .cs file, which have classes; --poses has none.")
    if bfactor_sign != "file":
        raise InputError("--bfactor-sign goes with the CTF of a .star or .cs file; ctf.pkl has no B-factors.")
    if cs_aberrations != "refuse":
        raise InputError("--cs-aberrations goes with a cryoSPARC .cs file whose poses are used.")


def _with_bfactor_sign(table: ParticleTable, sign: BFactorSign, path: Path) -> ParticleTable:
    if sign == "file":
        return table
    if table.ctf is None or not table.ctf.bfactor_a2.any():
        raise InputError(f"--bfactor-sign was given, but {path} comes without CTF B-factors; leave it out.")
    return replace(table, ctf=replace(table.ctf, bfactor_a2=np.abs(table.ctf.bfactor_a2)))


def _header_pixel_size(stack: MrcStack, path: Path) -> float:
    """Pixel size of the stacks' headers, if it looks like one: many programs leave 0 or 1 there."""
    sizes = stack.header_pixel_sizes_a
    if len(sizes) > 1 or sizes[0] in (0.0, 1.0):
        found = ", ".join(f"{size:g}" for size in sizes)
        raise InputError(
            f"{path} comes without a pixel size (the stack headers say {found} Å, which many programs write when they "
            "do not know); give it with --pixel-size."
        )
    return sizes[0]


def _with_boxes(
    table: ParticleTable, boxes_px: Int[np.ndarray, " n"], path: Path, override_a: float | None
) -> ParticleTable:
    """Fill in the boxes, after checking that the file speaks of images of this size.

    A group whose particles were extracted in several boxes becomes one group for each.
    """
    pairs, optics_group = np.unique(np.stack([table.optics_group, boxes_px], axis=-1), axis=0, return_inverse=True)
    optics = []
    for number, box in pairs:
        group = table.optics[number]
        if group.box_px not in (None, box) and override_a is None:
            raise InputError(
                f"{path} describes images of {group.box_px} px, but the stacks hold images of {box} px, so its "
                "pixel size is in doubt; give the stacks it was made for, or --pixel-size."
            )
        name = group.name if (pairs[:, 0] == number).sum() == 1 else f"{group.name}_{box}px"
        optics.append(replace(group, name=name, box_px=int(box)))
    return replace(table, optics=tuple(optics), optics_group=optics_group.reshape(-1))


def drop_unused(table: ParticleTable) -> ParticleTable:
    """Leave out stacks and optics groups that no particle uses."""
    stacks, stack_of = np.unique(table.stack_of, return_inverse=True)
    groups, optics_group = np.unique(table.optics_group, return_inverse=True)
    return replace(
        table,
        stacks=tuple(table.stacks[i] for i in stacks),
        stack_of=stack_of,
        optics=tuple(table.optics[i] for i in groups),
        optics_group=optics_group,
    )


def _loading_notes(table: ParticleTable, stack: MrcStack, override_a: float | None) -> list[str]:
    notes = []
    if override_a is not None:
        notes.append(f"Pixel size {override_a:g} Å was given and replaces that of the files.")
    sizes = sorted({group.pixel_size_a for group in table.optics})
    in_headers = [size for size in stack.header_pixel_sizes_a if size > 0]
    if any(min(abs(header / size - 1.0) for size in sizes) > _PIXEL_SIZE_TOLERANCE for header in in_headers):
        said, used = (", ".join(f"{size:.4g}" for size in some) for some in (in_headers, sizes))
        notes.append(f"Stack headers say {said} Å per pixel; {used} Å is used.")
    return notes
