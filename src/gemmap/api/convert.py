"""Particles from any format to any other; images stay where they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from gemmap.api.reading import ReadingOptions, read
from gemmap.errors import InputError, OutputError
from gemmap.io.cryodrgn_write import cryodrgn_losses, write_cryodrgn
from gemmap.io.cs_write import cs_losses, has_cs_aberrations, with_low_orders_moved, write_cs
from gemmap.io.folders import prepare_folder, require_free
from gemmap.io.formats import bfactor_notes, file_kind, read_table
from gemmap.io.losses import Loss
from gemmap.io.mrc_header import read_header
from gemmap.io.paths import names_for, project_folders, resolve_stacks
from gemmap.io.relion_write import image_addresses, star30_losses, star31_losses, write_star30, write_star31
from gemmap.particles.table import ParticleTable

#: What is written, in words.
_TARGETS = {"star31": "RELION 3.1", "star30": "RELION 3.0", "cs": "cryoSPARC", "cryodrgn": "cryoDRGN"}
_Target = Literal["star31", "star30", "cs", "cryodrgn"]
#: Files of a folder for cryoDRGN.
CRYODRGN_FILES = ("poses.pkl", "ctf.pkl", "particles.star")


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes
    ----------
    n_particles
        Particles written.
    format_name
        Format, in words.
    files
        Files written.
    notes
        What was assumed, and what the format cannot say; one sentence each.
    """

    n_particles: int
    format_name: str
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def convert(
    options: ReadingOptions,
    output: Path | str,
    *,
    relion30: bool = False,
    relative_to: Path | str | None = None,
    absolute: bool = False,
    keep_names: bool = False,
    lossy: bool = False,
    overwrite: bool = False,
) -> Conversion:
    """Write particles in another format.

    Parameters
    ----------
    options
        What to read, and how. ``cs_aberrations`` concerns what is written to a ``.cs`` file too.
    output
        A ``.star`` file (RELION 3.1 and later), a ``.cs`` file, or a folder for cryoDRGN: ``poses.pkl``, ``ctf.pkl``
        and ``particles.star``, which names the images.
    relion30
        Write a STAR file of RELION 3.0 and earlier.
    relative_to
        Folder that stack names are written relative to, such as the project folder of RELION or cryoSPARC. By default
        names stay as they are if they lead to the stacks from the new file, and else are relative to its folder; for
        cryoDRGN, which looks nowhere else, they are always.
    absolute
        Write the full paths of stacks.
    keep_names
        Write stack names as they were read; stacks are not looked for.
    lossy
        Write also what changes the images described (aberrations, scales that the format has no place for).
    overwrite
        Replace files that exist.

    Raises
    ------
    InputError, FormatError
        If the particles cannot be read, or the format cannot say what they are and ``lossy`` is False.
    OutputError
        If a file exists, or cannot be written.
    """
    output = Path(output).absolute()
    target = _target(output, relion30)
    _require_one_naming(relative_to, absolute, keep_names)
    if relative_to is not None and not Path(relative_to).is_dir():
        raise InputError(
            f"--relative-to is {relative_to}, which is no folder; expected one that exists, such as the project folder "
            "that RELION or cryoSPARC runs in."
        )
    _require_writable(output, target, options, overwrite)
    table, stacks, notes = _read(options, keep_names)
    if options.invert:
        table = replace(table, image_sign=-table.image_sign)
    if not keep_names:
        metadata = output / CRYODRGN_FILES[-1] if target == "cryodrgn" else output
        folder = None if relative_to is None else Path(relative_to)
        if target == "cryodrgn" and folder is None:
            folder = output  # cryoDRGN looks nowhere else
        table = replace(table, stacks=tuple(names_for(metadata, table.stacks, stacks, folder, absolute)))
        table = _with_boxes(table, stacks)
    table, own_notes = _fitted(table, target, options, lossy)
    files, writing_notes = _write(table, target, output)
    all_notes = (*notes, *bfactor_notes(table), *own_notes, *writing_notes)
    return Conversion(len(table), _TARGETS[target], files, tuple(dict.fromkeys(all_notes)))


def _target(output: Path, relion30: bool) -> _Target:
    suffix = output.suffix.lower()
    if relion30 and suffix != ".star":
        raise InputError(f"--relion30 goes with a .star file; {output.name} is none.")
    if suffix == ".star":
        return "star30" if relion30 else "star31"
    if suffix == ".cs":
        return "cs"
    if suffix == "" or output.is_dir():
        return "cryodrgn"
    raise InputError(
        f"{output.name} is no format GEM writes; expected a name that ends in .star (RELION) or .cs (cryoSPARC), or a "
        "folder (cryoDRGN)."
    )


def _require_one_naming(relative_to: object, absolute: bool, keep_names: bool) -> None:
    given = [
        name
        for name, value in (("--relative-to", relative_to), ("--absolute", absolute), ("--keep-names", keep_names))
        if value
    ]
    if len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]} contradict each other; give one of them.")


def _require_writable(output: Path, target: _Target, options: ReadingOptions, overwrite: bool) -> None:
    if target == "cryodrgn":
        require_free(output, overwrite)
        written = [output / name for name in CRYODRGN_FILES]
    else:
        if output.is_dir():
            raise OutputError(f"{output} is a folder; expected a file to write to: choose another name.")
        if output.exists() and not overwrite:
            raise OutputError(f"{output} exists; choose another name, or give --overwrite to replace it.")
        if not output.parent.is_dir():
            raise OutputError(f"{output.parent} is not a folder; make it, or choose another name.")
        written = [output]
    inputs = {path.resolve() for path in options.input_files}
    clash = next((path for path in written if path.resolve() in inputs), None)
    if clash is not None:
        raise InputError(f"{clash} is read and would be replaced; choose another name.")


def _read(options: ReadingOptions, keep_names: bool) -> tuple[ParticleTable, Sequence[Path], tuple[str, ...]]:
    """Table, the path of each of its stacks (none if names are kept), and notes."""
    path = options.particles
    if path is None:
        raise InputError("There are no particles; give a particle file.")
    kind = file_kind(path)
    if kind != "cs" or options.poses is not None:
        # For other files the option says what to write.
        options = replace(options, cs_aberrations="refuse")
    if options.poses is not None or kind in ("mrc", "txt"):
        if keep_names:
            raise InputError("--keep-names goes with a .star or .cs file whose poses are used; leave it out.")
        loaded = read(options)
        return loaded.table, loaded.stack.paths, loaded.notes
    for name in ("trans", "ctf"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} goes with --poses; a .star or .cs file brings its own.")
    table, notes, _ = read_table(
        path,
        ind=options.ind,
        passthrough=options.passthrough,
        no_ctf=options.no_ctf,
        first=options.first,
        pixel_size_a=options.pixel_size_a,
        class_number=options.class_number,
        bfactor_sign=options.bfactor_sign,
        cs_aberrations=options.cs_aberrations,
    )
    if keep_names:
        return table, (), notes
    stacks = resolve_stacks(
        table.stacks,
        project_folders(path),
        strip_prefix=options.strip_prefix,
        datadir=options.datadir,
    )
    return table, stacks, notes


def _with_boxes(table: ParticleTable, stacks: Sequence[Path]) -> ParticleTable:
    """Fill in boxes that the file does not give, from the header of a stack of each such group."""
    optics = list(table.optics)
    for number, group in enumerate(optics):
        rows = np.flatnonzero(table.optics_group == number)
        if group.box_px is None and len(rows):
            stack = stacks[int(table.stack_of[rows[0]])]
            optics[number] = replace(group, box_px=read_header(stack).shape[-1])
    return replace(table, optics=tuple(optics))


def _fitted(
    table: ParticleTable, target: _Target, options: ReadingOptions, lossy: bool
) -> tuple[ParticleTable, tuple[str, ...]]:
    """Return the table as the format takes it, and notes; refuse what would change the images unasked."""
    notes: tuple[str, ...] = ()
    if target == "cs" and has_cs_aberrations(table):
        table, notes = _with_cs_choice(table, options)
    if target == "cryodrgn":
        table = with_low_orders_moved(table)
    serious = [loss.sentence for loss in _losses(table, target) if loss.changes_model]
    if serious and not lossy:
        raise InputError(
            f"{_TARGETS[target]}'s format cannot say what these particles are: {' '.join(serious)} Give --lossy to "
            "write the file all the same."
        )
    return table, notes


def _losses(table: ParticleTable, target: _Target) -> list[Loss]:
    if target == "star31":
        return star31_losses(table)
    if target == "star30":
        return star30_losses(table)
    return cs_losses(table) if target == "cs" else cryodrgn_losses(table)


def _with_cs_choice(table: ParticleTable, options: ReadingOptions) -> tuple[ParticleTable, tuple[str, ...]]:
    if options.cs_aberrations == "refuse":
        raise InputError(
            "The particles have aberrations or anisotropic magnification, whose sign and factor in a .cs file "
            "cryoSPARC does not document: give --cs-aberrations model to write them by the convention in the manual "
            "(conventions, cryoSPARC), or --cs-aberrations ignore to leave them out."
        )
    if options.cs_aberrations == "model":
        return table, ("Aberrations and magnification are written by a convention cryoSPARC does not document.",)
    plain = tuple(replace(g, odd_zernike=(), even_zernike=(), magnification=(1.0, 0.0, 0.0, 1.0)) for g in table.optics)
    return replace(table, optics=plain), ("Aberrations and anisotropic magnification are left out as asked.",)


def _write(table: ParticleTable, target: _Target, output: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    if target == "star31":
        return (output,), write_star31(output, table)
    if target == "star30":
        return (output,), write_star30(output, table)
    if target == "cs":
        return (output,), write_cs(output, table)
    box_px = table.optics[0].box_px
    if box_px is None:
        raise InputError("The box of the images is not known, which ctf.pkl states; leave out --keep-names.")
    prepare_folder(output, CRYODRGN_FILES)
    poses, ctf, images = (output / name for name in CRYODRGN_FILES)
    notes = write_cryodrgn(poses, None if table.ctf is None else ctf, table, box_px)
    write_star31(images, table, image_addresses(table, table.stacks))
    return (poses, images) if table.ctf is None else (poses, ctf, images), notes
