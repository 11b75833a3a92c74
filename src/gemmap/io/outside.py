"""Stacks outside the project: a particle file from elsewhere can name any file of this machine."""

import os
from collections.abc import Sequence
from pathlib import Path

from gemmap.errors import InputError
from gemmap.io.opening import is_file

#: What RELION keeps in the folder of a project.
_PROJECT_MARK = "default_pipeline.star"
_NAMED = 3


def require_inside(
    names: Sequence[str], stacks: Sequence[Path], metadata: Path, *, datadir: Path | None, has_prefix: bool = False
) -> None:
    """Refuse stacks whose names lead out of the folders that a user means by giving the file.

    These are the folder of the particle file, RELION's project folder above it, the working folder and ``datadir``.
    A name relative to any folder above the file that does not climb out of it (no leading ``..``) is inside as well.
    Symbolic links are followed: whoever made them had access to this machine.

    Parameters
    ----------
    names, stacks
        Each stack as it is written in the file, and where it was found.
    has_prefix
        Text was removed from the front of names, so that none is absolute any more.

    Raises
    ------
    InputError
        If there are others: how many, the first three, and how to allow them.
    """
    roots = _roots(metadata, datadir)
    outside = [
        stack
        for name, stack in zip(names, stacks, strict=True)
        if _climbs(name.lstrip("/") if has_prefix else name) and not _is_inside(stack, roots)
    ]
    if outside:
        named = ", ".join(str(stack) for stack in outside[:_NAMED]) + (", ..." if len(outside) > _NAMED else "")
        raise InputError(
            f"{len(outside)} of {len(names)} image stacks that {metadata} names lie outside its folder, its project "
            f"and the working folder ({named}): give --datadir with the folder that holds them, or --allow-outside if "
            "you trust the file."
        )


def _roots(metadata: Path, datadir: Path | None) -> list[str]:
    own = {metadata.absolute().parent, metadata.resolve().parent}
    projects = [folder for start in own for folder in start.parents if is_file(folder / _PROJECT_MARK)]
    given = [] if datadir is None else [datadir.absolute()]
    return [os.path.normpath(folder) for folder in (*own, *projects, Path.cwd(), *given)]


def _climbs(name: str) -> bool:
    """Whether a name is absolute, or leads out of the folder that it is relative to."""
    return os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir


def _is_inside(stack: Path, roots: Sequence[str]) -> bool:
    place = os.path.normpath(stack.absolute())
    return any(os.path.commonpath([place, root]) == root for root in roots)
