"""What a watch has done so far, as a file: another process goes on from it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from gemmap.api.options import ReconstructionOptions
from gemmap.api.reading import ReadingOptions
from gemmap.errors import InputError
from gemmap.io.atomic import atomic_path
from gemmap.io.opening import read_bytes, read_text
from gemmap.io.settling import Stamp
from gemmap.report.record import to_plain

_SCHEMA, _VERSION = "gemmap-watch", 1
#: Options that decide what is added to the sums, beside those of reading.
_INSERTING = (
    "flip_hand", "phase_flipped", "premultiplied", "box_px", "target_pixel_size_a", "max_resolution_a", "normalise",
    "window", "sym", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class TakenFile:
    """A particle file as it was when its particles were added.

    Attributes
    ----------
    size_bytes, modified_ns, digest
        Size, time of change, and BLAKE2b of its content.
    n_particles, n_new, n_dead
        In it; of these, added then; and left out for their images.
    taken
        When, as ISO 8601 text with its time zone.
    """

    size_bytes: int
    modified_ns: int
    digest: str
    n_particles: int
    n_new: int
    n_dead: int
    taken: str

    @property
    def stamp(self) -> Stamp:
        """Size and time of change."""
        return Stamp(self.size_bytes, self.modified_ns)


@dataclass(eq=False)
class WatchState:
    """Files that were taken, by name in the folder that is watched, and the options of reading and inserting.

    It saves time and tells the user; which particles were added, the sums themselves say.
    """

    path: Path
    options: dict[str, Any]
    files: dict[str, TakenFile] = field(default_factory=dict)
    set_aside: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, options: ReconstructionOptions) -> Self:
        """Return the state of a file, or a new one if there is none.

        Raises
        ------
        InputError
            If it was begun with other options, or is damaged.
        """
        state = cls(path, _inserting(options))
        if not path.exists():
            return state
        try:
            content = json.loads(read_text(path, "the state of gemmap watch"))
            if (content["schema"], content["version"]) != (_SCHEMA, _VERSION):
                raise ValueError
            before = dict(content["options"])
            state.files = {str(name): TakenFile(**taken) for name, taken in content["files"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"{path} is not what gemmap watch wrote; remove it to have all files looked at again: no particle is "
                "added twice."
            ) from None
        _require_same(before, state.options, path.parent)
        return state

    def save(self) -> None:
        """Write it, whole or not at all.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        content = {
            "schema": _SCHEMA,
            "version": _VERSION,
            "options": self.options,
            "files": {name: asdict(taken) for name, taken in sorted(self.files.items())},
            "set_aside": dict(sorted(self.set_aside.items())),
        }
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", errors="backslashreplace")


def digest_of(path: Path) -> str:
    """BLAKE2b of a file's content.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    return hashlib.blake2b(read_bytes(path), digest_size=16).hexdigest()


def _inserting(options: ReconstructionOptions) -> dict[str, Any]:
    names = [f.name for f in fields(ReadingOptions) if f.name != "particles"] + list(_INSERTING)
    plain: dict[str, Any] = json.loads(json.dumps(to_plain({name: getattr(options, name) for name in names})))
    return plain


def _require_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Refuse to add particles that were read or inserted in another way."""
    for name, value in now.items():
        if name in before and before[name] != value:
            raise InputError(
                f"The particles in {folder} were added with {name} {before[name]}, and now it is {value}; expected the "
                "same: give the same option, or another folder for the results."
            )
