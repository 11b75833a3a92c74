"""Where the stacks named in a metadata file are on this machine."""

import os
from collections.abc import Sequence
from pathlib import Path

from gemmap.errors import InputError
from gemmap.io.opening import is_file


def project_folders(metadata: Path) -> tuple[Path, ...]:
    """Folders a relative stack name is looked up in: the file's own, its parents, then the working folder.

    RELION and cryoSPARC write names relative to the project folder, which is some parent of the file.
    """
    folder = metadata.resolve().parent
    return tuple(dict.fromkeys((folder, *folder.parents, Path.cwd())))


def find_stacks(
    names: Sequence[str],
    folders: Sequence[Path],
    *,
    strip_prefix: str | None = None,
    datadir: Path | None = None,
) -> list[Path | None]:
    """Return the path of every stack, None for those that are nowhere.

    Parameters
    ----------
    names
        Names as written in the metadata file.
    folders
        Folders to look in, in that order; not used when ``datadir`` is given.
    strip_prefix
        Text removed from the front of every name that starts with it.
    datadir
        The one folder that names are relative to.

    Raises
    ------
    InputError
        If no name starts with ``strip_prefix``.
    """
    if strip_prefix and names and not any(name.startswith(strip_prefix) for name in names):
        raise InputError(
            f"No image name starts with {strip_prefix!r} (the first is {names[0]!r}); correct --strip-prefix."
        )
    search = [Path(datadir)] if datadir is not None else list(folders)
    found: list[Path | None] = []
    for written in names:
        name = written.removeprefix(strip_prefix).lstrip("/") if strip_prefix else written
        found.append(next((folder / name for folder in search if is_file(folder / name)), None))
    return found


def missing_stacks(
    names: Sequence[str], found: Sequence[Path | None], folders: Sequence[Path], datadir: Path | None
) -> InputError:
    """Return the error that says how many stacks `find_stacks` did not find, the first three, and where it looked."""
    missing = [name for name, path in zip(names, found, strict=True) if path is None]
    where = str(datadir) if datadir is not None else f"{folders[0]} and the folders above it"
    return InputError(
        f"{len(missing)} of {len(names)} image stacks are missing ({', '.join(missing[:3])}"
        f"{', ...' if len(missing) > 3 else ''}); looked in {where}: give --datadir or --strip-prefix."
    )


def resolve_stacks(
    names: Sequence[str],
    folders: Sequence[Path],
    *,
    strip_prefix: str | None = None,
    datadir: Path | None = None,
) -> list[Path]:
    """Return the path of every stack; parameters as `find_stacks`.

    Raises
    ------
    InputError
        If stacks are missing (how many, and the first three), or if no name starts with ``strip_prefix``.
    """
    found = find_stacks(names, folders, strip_prefix=strip_prefix, datadir=datadir)
    present = [path for path in found if path is not None]
    if len(present) < len(names):
        raise missing_stacks(names, found, folders, datadir)
    return present


def names_from(metadata: Path, names: Sequence[str], stacks: Sequence[Path]) -> list[str]:
    """Return names under which stacks are found from a metadata file elsewhere.

    Parameters
    ----------
    metadata
        The file the names are for.
    names, stacks
        Each stack's name in the file it was read from, kept if it leads to the same stack, and its path, which is
        taken otherwise.
    """
    folders = project_folders(metadata)
    kept = []
    for name, stack in zip(names, stacks, strict=True):
        hit = next((folder / name for folder in folders if is_file(folder / name)), None)
        kept.append(name if hit is not None and hit.samefile(stack) else str(stack.absolute()))
    return kept


def names_for(
    metadata: Path, names: Sequence[str], stacks: Sequence[Path], relative_to: Path | None, absolute: bool
) -> list[str]:
    """Return names of stacks for a new metadata file.

    Parameters
    ----------
    metadata
        The file the names are for.
    names, stacks
        Each stack's name in the file it was read from, and its path.
    relative_to
        Folder to write names relative to. Without it a name that leads to its stack from ``metadata`` too is kept, and
        others are written relative to the folder of ``metadata``.
    absolute
        Write full paths.
    """
    if absolute:
        return [str(stack.absolute()) for stack in stacks]
    if relative_to is not None:
        return [_relative(stack, relative_to) for stack in stacks]
    kept = names_from(metadata, names, stacks)
    return [
        _relative(stack, metadata.absolute().parent) if name != old else name
        for name, old, stack in zip(kept, names, stacks, strict=True)
    ]


def _relative(stack: Path, folder: Path) -> str:
    # Folders that are links are followed, or '..' would lead elsewhere; the stack's own name stays.
    return os.path.relpath(os.path.join(os.path.realpath(stack.parent), stack.name), os.path.realpath(folder))
