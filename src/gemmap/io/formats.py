"""Particles from any supported file: finds out what the file is, reads it, filters it and opens its images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gemmap._types import Float, Rotations, Shifts
from gemmap.errors import FormatError, InputError
from gemmap.io.cryodrgn import build_table, read_ctf, read_images, read_poses, read_rows
from gemmap.io.cs import read_cs
from gemmap.io.image_list import FileKind, ImageList
from gemmap.io.mrc import MrcStack, open_images, open_stack
from gemmap.io.opening import open_input
from gemmap.io.outside import require_inside
from gemmap.io.paths import project_folders
from gemmap.io.relion import read_relion
from gemmap.particles.table import ParticleTable

_PIXEL_SIZE_TOLERANCE = 1e-3
_SUFFIXES: dict[str, FileKind] = {".star": "star", ".cs": "cs", ".txt": "txt", ".mrcs": "mrc", ".mrc": "mrc"}


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
    ctf: Path | None = None,
    ind: Path | None = None,
    passthrough: Sequence[Path] = (),
    no_ctf: bool = False,
    first: int | None = None,
    pixel_size_a: float | None = None,
    datadir: Path | None = None,
    strip_prefix: str | None = None,
    invert: bool = False,
    allow_outside: bool = False,
) -> LoadedParticles:
    """Read particles and open their images.

    Parameters
    ----------
    path
        ``.star`` (RELION), ``.cs`` (cryoSPARC), or with ``poses`` any list of images: ``.mrcs``, ``.txt``, ``.star``,
        ``.cs``.
    poses, ctf
        CryoDRGN's ``poses.pkl`` and ``ctf.pkl`` (or ``.npz``).
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
    allow_outside
        Read stacks wherever the file says they are (:func:`gemmap.io.outside.require_inside`).

    Raises
    ------
    InputError, FormatError
        One sentence that says what was got, what was expected and what to do.
    """
    path = Path(path)
    kind = file_kind(path)
    _require_consistent_options(kind, poses, ctf, passthrough, no_ctf, pixel_size_a, first)
    if kind == "mrc" and (datadir is not None or strip_prefix):
        raise InputError(f"{path} is itself the stack; --datadir and --strip-prefix go with files that name stacks.")
    folders = project_folders(path) if kind in ("star", "cs") else (path.parent,)
    if poses is None:
        if kind == "star":
            table, notes = read_relion(path, no_ctf=no_ctf, pixel_size_a=pixel_size_a)
        else:
            table, notes = read_cs(path, passthrough=passthrough, no_ctf=no_ctf, pixel_size_a=pixel_size_a)
        n_in_file = len(table)
        table = table.select(_kept_rows(ind, first, n_in_file))
        stack = open_stack(table, folders, strip_prefix=strip_prefix, datadir=datadir, invert=invert)
    else:
        images, notes = read_images(path, kind, strip_prefix=strip_prefix, datadir=datadir)
        n_in_file = len(images)
        views = _read_views(images, poses, ctf, ind, first)
        stack = open_images(views.images, folders, strip_prefix=strip_prefix, datadir=datadir, invert=invert)
        size = pixel_size_a
        if ctf is None and pixel_size_a is None:
            size = _header_pixel_size(stack, path)
            notes = (*notes, f"Pixel size {size:g} Å taken from the stack headers.")
        table = build_table(views.images, views.rotations, views.shift_fractions, views.ctf, stack.box_px, size)

    table = _with_box(_drop_unused(table), stack.box_px, path, pixel_size_a)
    if not allow_outside:
        require_inside(table.stacks, stack.paths, path, datadir=datadir, has_prefix=bool(strip_prefix))
    name = "cryoDRGN" if poses is not None else {"star": "RELION", "cs": "cryoSPARC"}[kind]
    notes = (*notes, *_loading_notes(table, stack, pixel_size_a))
    return LoadedParticles(table, stack, notes, name, n_in_file)


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


@dataclass(frozen=True, eq=False)
class _Views:
    """What cryoDRGN's files say about the particles kept."""

    images: ImageList
    rotations: Rotations
    shift_fractions: Shifts
    ctf: Float[np.ndarray, "n 9"] | None


def _read_views(images: ImageList, poses: Path, ctf: Path | None, ind: Path | None, first: int | None) -> _Views:
    rotations, shifts = read_poses(poses)
    values = None if ctf is None else read_ctf(ctf)
    rows = np.arange(len(images)) if ind is None else read_rows(ind, len(images))

    def kept(array: np.ndarray, source: Path) -> np.ndarray:
        # Poses and CTFs may have been filtered by ind already, or not.
        if len(array) == len(images):
            return array[rows][:first]
        if len(array) == len(rows):
            return array[:first]
        chosen = "" if ind is None else f" ({len(rows)} after {ind})"
        raise InputError(f"{source} has {len(array)} rows; expected one for each of the {len(images)} images{chosen}.")

    return _Views(
        images=images.select(rows[:first]),
        rotations=kept(rotations, poses),
        shift_fractions=kept(shifts, poses),
        ctf=None if values is None or ctf is None else kept(values, ctf),
    )


def _kept_rows(ind: Path | None, first: int | None, n: int) -> np.ndarray:
    return (np.arange(n) if ind is None else read_rows(ind, n))[:first]


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


def _with_box(table: ParticleTable, box_px: int, path: Path, override_a: float | None) -> ParticleTable:
    """Fill in the box, after checking that the file speaks of images of this size."""
    for group in table.optics:
        if group.box_px not in (None, box_px) and override_a is None:
            raise InputError(
                f"{path} describes images of {group.box_px} px, but the stacks hold images of {box_px} px, so its "
                "pixel size is in doubt; give the stacks it was made for, or --pixel-size."
            )
    return replace(table, optics=tuple(replace(group, box_px=box_px) for group in table.optics))


def _drop_unused(table: ParticleTable) -> ParticleTable:
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
    if table.ctf is not None and (table.ctf.bfactor_a2 < 0).any():
        notes.append(
            f"The B-factor is negative for {int((table.ctf.bfactor_a2 < 0).sum())} of {len(table)} particles: "
            "exp(-B k^2 / 4) then amplifies high frequencies, as in RELION; tilt-series programs mean damping by it."
        )
    return notes
