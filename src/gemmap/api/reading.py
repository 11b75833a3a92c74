"""How particle files are read: the options that every command which reads particles has, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from gemmap.errors import InputError
from gemmap.io.formats import LoadedParticles, read_particles


@dataclass(frozen=True)
class ReadingOptions:
    """Options of :func:`gemmap.io.formats.read_particles`, which describes them; paths are absolute.

    ``particles`` is None for particles given as arrays.
    """

    particles: Path | None
    poses: Path | None = None
    ctf: Path | None = None
    ind: Path | None = None
    passthrough: tuple[Path, ...] = ()
    no_ctf: bool = False
    datadir: Path | None = None
    strip_prefix: str | None = None
    first: int | None = None
    invert: bool = False
    pixel_size_a: float | None = None

    def __post_init__(self) -> None:
        given = [f.name for f in fields(ReadingOptions) if getattr(self, f.name) not in (f.default, None)]
        if self.particles is None and given:
            raise InputError(f"{given[0]} is for particles read from a file; leave it out or give a path.")
        # The same options can be used from any folder.
        for name in ("particles", "poses", "ctf", "ind", "datadir"):
            path = getattr(self, name)
            object.__setattr__(self, name, None if path is None else Path(path).absolute())
        object.__setattr__(self, "passthrough", tuple(Path(path).absolute() for path in self.passthrough))

    @property
    def input_files(self) -> tuple[Path, ...]:
        """Files named by the options, without the image stacks that those files name."""
        named = (self.particles, self.poses, self.ctf, self.ind, *self.passthrough)
        return tuple(path for path in named if path is not None)


def read(options: ReadingOptions) -> LoadedParticles:
    """Read the particles that the options name, and open their images.

    Raises
    ------
    InputError, FormatError
        If no file is named, or as :func:`gemmap.io.formats.read_particles` says.
    """
    if options.particles is None:
        raise InputError("There are no particles; give a particle file.")
    named = {f.name: getattr(options, f.name) for f in fields(ReadingOptions) if f.name != "particles"}
    return read_particles(options.particles, **named)


def require_choices(options: object, choices: Mapping[str, tuple[str, ...]]) -> None:
    """Raise InputError unless every option named in ``choices`` is one of its words."""
    for name, allowed in choices.items():
        if getattr(options, name) not in allowed:
            raise InputError(f"The {name} is {getattr(options, name)!r}; expected {' or '.join(allowed)}.")
