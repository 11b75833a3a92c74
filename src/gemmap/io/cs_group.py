"""CryoSPARC's result groups (``.csg``): a YAML text that says in which ``.cs`` file each group of fields stands.

``results`` maps a slot, which is the prefix of its fields (``blob``, ``ctf``, ``alignments3D``), to its ``metafile``.
A name that starts with ``>`` is relative to the folder of the ``.csg``; others are relative to the project folder.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gemmap.errors import FormatError, InputError, reason_of, shortened
from gemmap.io.opening import file_bytes, is_file, open_input, read_text
from gemmap.io.paths import project_folders

#: The file whose rows are the particles: that of the first of these slots which the job itself wrote.
_LEADING_SLOTS = ("alignments3D", "alignments3D_multi", "alignments_class_0", "blob", "ctf")
_LARGEST_BYTES = 2**20


@dataclass(frozen=True)
class CsGroup:
    """The files of a group.

    Attributes
    ----------
    main
        File whose rows are the particles.
    slots
        Files, ``main`` first, and the prefixes of the fields to take from each.
    """

    main: Path
    slots: dict[Path, tuple[str, ...]]


def read_group(path: Path) -> CsGroup:
    """Read a ``.csg`` file and find the files it names.

    Raises
    ------
    InputError
        If it cannot be read, is no group of particles, or names a file that is not there.
    FormatError
        If it is not such a file.
    """
    results = _results(path)
    files: dict[str, list[str]] = {}
    for slot, result in results.items():
        metafile = result.get("metafile") if isinstance(result, dict) else None
        if not isinstance(metafile, str) or not metafile.strip(">"):
            raise FormatError(f"{path} names no metafile for its slot {slot!r}; expected a .cs file.")
        files.setdefault(metafile, []).append(str(slot))
    order = sorted(files, key=lambda name: (is_passthrough(Path(name)), _leading_place(files[name])))
    found = {name: _find(path, name) for name in order}
    slots: dict[Path, tuple[str, ...]] = {}
    for name in order:
        slots[found[name]] = (*slots.get(found[name], ()), *files[name])
    return CsGroup(found[order[0]], slots)


def is_passthrough(file: Path) -> bool:
    """Whether a file holds fields that a job passed on from an earlier one, by its name."""
    return "passthrough" in file.name


def _leading_place(slots: list[str]) -> int:
    return min(_LEADING_SLOTS.index(slot) if slot in _LEADING_SLOTS else len(_LEADING_SLOTS) for slot in slots)


def _results(path: Path) -> dict[str, Any]:
    with open_input(path) as handle:
        if file_bytes(handle) > _LARGEST_BYTES:
            raise FormatError(f"{path} is no cryoSPARC group: such files are short texts.")
    try:
        content = yaml.safe_load(read_text(path, "a cryoSPARC group"))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise FormatError(f"{path} is not a readable .csg file ({reason_of(error)}).") from error
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not results:
        raise FormatError(f"{path} has no results; expected a cryoSPARC group (.csg), which names .cs files under it.")
    group = content.get("group")
    kind = group.get("type") if isinstance(group, dict) else None
    if kind not in (None, "particle"):
        raise InputError(f"{path} is a group of type {kind!r}; expected one of particles.")
    return results


def _find(path: Path, metafile: str) -> Path:
    name = metafile.removeprefix(">")
    folders = (path.resolve().parent,) if metafile.startswith(">") else project_folders(path)
    for folder in folders:
        if is_file(folder / name):
            return folder / name
    # Files downloaded from the web interface carry the project, and perhaps the job, in front of their name.
    pattern = re.compile(r"cryosparc_P\d+_(J\d+_)?" + re.escape(Path(name).name))
    downloaded = [file for file in path.resolve().parent.glob("*.cs") if pattern.fullmatch(file.name)]
    if len(downloaded) == 1:
        return downloaded[0]
    raise InputError(
        f"{path} names {shortened(name)}, which is not in {folders[0]}; keep the files of a group together."
    )
