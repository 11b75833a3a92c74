"""ChimeraX command files for the maps of a run."""

from collections.abc import Sequence
from pathlib import Path

from gemmap.io.atomic import atomic_path

_COLOURS = {
    "run_class001.mrc": "#5b8bbf",
    "run_half1_class001_unfil.mrc": "#8fb996",
    "run_half2_class001_unfil.mrc": "#d9a15b",
    "backprojection.mrc": "#b0b0b0",
}
_CONTOUR = ("run_class001_sharpened.mrc", *_COLOURS)


def session_commands(folder: Path, local_resolution: tuple[float, float] | None = None) -> list[str]:
    """Return commands that open the maps of a run folder, the final map shown and the others hidden.

    Parameters
    ----------
    folder
        Of the run; what is not there is left out.
    local_resolution
        Range in Å of the colours of the sharpened map, if ``locres.mrc`` is there.
    """
    there = [name for name in (*_CONTOUR, "mask.mrc", "locres.mrc") if (folder / name).exists()]
    number = {name: place for place, name in enumerate(there, start=1)}
    commands = [f'open "{name}"' for name in there]
    commands += [f"color #{number[name]} {colour}" for name, colour in _COLOURS.items() if name in number]
    if "mask.mrc" in number:
        commands.append(f"volume #{number['mask.mrc']} style mesh level 0.5 color #00000040")
    shown = next((name for name in _CONTOUR if name in number), None)
    commands += [f"hide #{place} models" for name, place in number.items() if name != shown]
    if local_resolution is not None and shown is not None and "locres.mrc" in number:
        low_a, high_a = local_resolution
        commands += [
            f"color sample #{number[shown]} map #{number['locres.mrc']} palette viridis range {low_a:.2f},{high_a:.2f}",
            f"key viridis :{low_a:.1f} :{high_a:.1f}",
        ]
    return [*commands, "set bgColor white", "lighting soft", "view"]


def write_commands(path: Path, commands: Sequence[str]) -> None:
    """Write a ``.cxc`` file, to be opened where the files that it names lie.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([*commands, ""]), encoding="utf-8")
