"""CryoDRGN's files: images (``.mrcs``, ``.txt``, or the names in a ``.star`` or ``.cs``), ``poses.pkl``, ``ctf.pkl``.

Rotations are ours as they stand. Shifts are fractions of the box with RELION's sign. ``ctf.pkl`` has nine columns
``[D, Apix, defocus U (Å), defocus V (Å), angle (deg), kV, Cs (mm), amplitude contrast, phase shift (deg)]``, where
D x Apix is the side of the box in Å whatever the images were downsampled to. CryoDRGN's CTF is minus RELION's and it
multiplies the images by -1, so images on disk are those RELION would take: bright particles.
Sources: docs/conventions.md.

Every pickle may be given as ``.npz`` too: ``rot`` and ``trans``, ``ctf``, ``ind``.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemmap._types import Float, Int, Rotations, Shifts
from gemmap.errors import FormatError, InputError
from gemmap.geometry.rotations import require_rotations
from gemmap.io.cs import cs_images
from gemmap.io.cs_fields import read_cs_fields
from gemmap.io.image_list import FileKind, ImageList
from gemmap.io.mrc_header import read_header
from gemmap.io.npy import load_npz
from gemmap.io.opening import read_text
from gemmap.io.paths import resolve_stacks
from gemmap.io.pickles import load_arrays
from gemmap.io.relion_table import read_relion_images
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters


def read_images(
    path: Path, kind: FileKind, *, strip_prefix: str | None = None, datadir: Path | None = None
) -> tuple[ImageList, tuple[str, ...]]:
    """Read which images a file holds or names, and notes about what was assumed.

    Parameters
    ----------
    path
        A stack, a text file with one stack per line (relative to its folder), or a RELION or cryoSPARC particle file.
    strip_prefix, datadir
        Where the stacks of a text file are looked up (``io.paths.resolve_stacks``).

    Raises
    ------
    InputError
        If stacks named in a text file are missing.
    """
    if kind == "star":
        return read_relion_images(path), ()
    if kind == "cs":
        notes: list[str] = []
        return cs_images(read_cs_fields(path), notes), tuple(notes)
    names = _listed_stacks(path) if kind == "txt" else (path.name,)
    found = resolve_stacks(names, [path.parent], strip_prefix=strip_prefix, datadir=datadir)
    counts = [read_header(stack).shape[0] for stack in found]
    images = ImageList(
        stacks=names,
        stack_of=np.repeat(np.arange(len(names)), counts),
        index_in_stack=np.concatenate([np.arange(count) for count in counts]),
        sign=np.ones(sum(counts)),
        half=np.zeros(sum(counts), np.int64),
    )
    return images, ()


def _listed_stacks(path: Path) -> tuple[str, ...]:
    lines = read_text(path, "one MRC stack per line").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise FormatError(f"{path} lists no stacks; expected one MRC stack per line.")
    return names


def read_rows(path: Path, n_images: int) -> Int[np.ndarray, " k"]:
    """Read ``ind.pkl`` (or ``.npz``): 0-based numbers of the images to keep, in that order.

    Raises
    ------
    FormatError
        If they are not whole numbers, or outside the images given.
    """
    rows = _arrays(path, ("ind",))[0]
    if rows.dtype.kind == "b" and rows.shape == (n_images,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise FormatError(f"{path} holds {rows.dtype} of shape {rows.shape}; expected a list of image numbers from 0.")
    if len(rows) and (rows.min() < 0 or rows.max() >= n_images):
        raise FormatError(f"{path} names image {int(rows.max())}; expected numbers from 0 to {n_images - 1}.")
    return rows.astype(np.int64)


def read_poses(path: Path, trans: Path | None = None) -> tuple[Rotations, Float[np.ndarray, "n 2"]]:
    """Read ``poses.pkl`` (or ``.npz``): rotations A, and shifts as fractions of the box (0 for a bare rotation array).

    Parameters
    ----------
    trans
        File of the shifts, where they are in one of their own.

    Raises
    ------
    FormatError, InputError
        If shapes are wrong, a matrix is no rotation, shifts are in pixels (older files), or there are two sets of them.
    """
    arrays = _arrays(path, ("rot", "trans"))
    if trans is not None:
        if len(arrays) > 1:
            raise InputError(f"{path} has shifts of its own; leave out --trans, or give rotations alone.")
        arrays = (arrays[0], *_arrays(trans, ("trans",)))
    source = path if trans is None else trans
    rotations = require_rotations(arrays[0], str(path))
    shifts = np.zeros((len(rotations), 2)) if len(arrays) == 1 else arrays[1].astype(np.float64)
    if len(arrays) > 2 or shifts.shape != (len(rotations), 2):
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise FormatError(f"{source} holds arrays of shapes {shapes}; expected (n, 3, 3) and (n, 2).")
    if np.abs(shifts).max(initial=0.0) > 1.0:
        raise InputError(
            f"{source} has shifts up to {np.abs(shifts).max():.3g}; expected fractions of the box (at most 1): the "
            "file is of an old version with shifts in pixels, so parse the poses again."
        )
    return rotations, shifts


def read_ctf(path: Path) -> Float[np.ndarray, "n 9"]:
    """Read ``ctf.pkl`` (or ``.npz``): nine columns, see the head of this module.

    Raises
    ------
    FormatError
        If the shape is not (n, 9) or the box or pixel size is not positive.
    """
    values = _arrays(path, ("ctf",))[0].astype(np.float64)
    if values.ndim != 2 or values.shape[1] != 9:
        raise FormatError(f"{path} holds an array of shape {values.shape}; expected (n, 9), as parse_ctf writes it.")
    if not (values[:, :2] > 0).all():
        raise FormatError(f"{path} has a box or pixel size (its first two columns) that is not positive.")
    return values


def _arrays(path: Path, names: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    """Arrays of a pickle in order, or those of an ``.npz`` by name (the first is required)."""
    if Path(path).suffix != ".npz":
        return load_arrays(path)
    arrays = load_npz(path, names)
    return tuple(arrays[name] for name in names if name in arrays)


@dataclass(frozen=True, eq=False)
class Views:
    """What cryoDRGN's files say about the particles kept."""

    images: ImageList
    rotations: Rotations
    shift_fractions: Shifts
    ctf: Float[np.ndarray, "n 9"] | None


def read_views(
    images: ImageList, poses: Path, trans: Path | None, ctf: Path | None, ind: Path | None, first: int | None
) -> Views:
    """Read poses and CTFs of images, and keep the rows of ``ind`` and the first so many of them.

    Raises
    ------
    InputError
        If there are more or fewer poses or CTFs than images.
    """
    rotations, shifts = read_poses(poses, trans)
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

    return Views(
        images=images.select(rows[:first]),
        rotations=kept(rotations, poses),
        shift_fractions=kept(shifts, poses),
        ctf=None if values is None or ctf is None else kept(values, ctf),
    )


def build_table(
    images: ImageList,
    rotations: Rotations,
    shift_fractions: Float[np.ndarray, "n 2"],
    ctf: Float[np.ndarray, "n 9"] | None,
    box_px: int,
    pixel_size_a: float | None,
) -> ParticleTable:
    """Put images, poses and CTFs of the same n particles together.

    Parameters
    ----------
    box_px
        Side of the images on disk: with ``ctf`` their pixel size is D x Apix / box_px.
    pixel_size_a
        Pixel size of the images on disk; replaces that of ``ctf``. Shifts, fractions of the box, are converted with it.

    Raises
    ------
    InputError
        If neither ``ctf`` nor ``pixel_size_a`` gives the pixel size.
    """
    n = len(images)
    if pixel_size_a is not None:
        pixel_sizes = np.full(n, pixel_size_a)
    elif ctf is not None:
        pixel_sizes = ctf[:, 0] * ctf[:, 1] / box_px
    else:
        raise InputError("The files give no pixel size; give it with --pixel-size.")
    keys = np.stack([pixel_sizes, np.zeros(n) if ctf is None else ctf[:, 5]], axis=-1)
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    optics = tuple(
        OpticsGroup(f"opticsGroup{number}", float(pixel_sizes[row]), box_px)
        for number, row in enumerate(first, start=1)
    )
    return ParticleTable(
        rotations=rotations,
        shifts_a=shift_fractions * (pixel_sizes * box_px)[:, None],
        ctf=None if ctf is None else _ctf_parameters(ctf),
        scale=np.ones(n),
        optics_group=np.asarray(group, np.int64).reshape(-1),
        optics=optics,
        half=images.half,
        stack_of=images.stack_of,
        index_in_stack=images.index_in_stack,
        stacks=images.stacks,
        image_sign=images.sign,
    )


def _ctf_parameters(ctf: Float[np.ndarray, "n 9"]) -> CtfParameters:
    return CtfParameters(
        defocus_u_a=ctf[:, 2],
        defocus_v_a=ctf[:, 3],
        defocus_angle_rad=np.radians(ctf[:, 4]),
        voltage_kv=ctf[:, 5],
        cs_mm=ctf[:, 6],
        amplitude_contrast=ctf[:, 7],
        phase_shift_rad=np.radians(ctf[:, 8]),
        bfactor_a2=np.zeros(len(ctf)),
        scale=np.ones(len(ctf)),
    )
