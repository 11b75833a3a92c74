"""What is watched, and when it ends."""

import math
from dataclasses import dataclass
from pathlib import Path

from gemmap.errors import InputError


@dataclass(frozen=True)
class WatchOptions:
    """Options of :class:`gemmap.api.watch.loop.Watch`.

    Attributes
    ----------
    folder
        Where particle files appear.
    run
        Folder for sums and results.
    pattern
        Of their names, relative to the folder; ``**`` stands for folders.
    every_s
        Shortest time from the end of one fit to the start of the next.
    settle_s
        Time between looks; a file is taken when it has not changed for so long.
    until
        End when so many particles are in.
    idle_s
        End when nothing new has come for so long.
    once
        End when all that is there was taken.
    """

    folder: Path
    run: Path
    pattern: str = "*.star"
    every_s: float = 300.0
    settle_s: float = 5.0
    until: int | None = None
    idle_s: float | None = None
    once: bool = False

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is no folder; give the folder in which particle files will appear.")
        if not self.pattern or Path(self.pattern).is_absolute():
            raise InputError(f"The pattern is {self.pattern!r}; expected one of names in the folder, such as '*.star'.")
        for name, value in (("--every", self.every_s), ("--idle-timeout", self.idle_s)):
            if value is not None and not 0.0 <= value < math.inf:
                raise InputError(f"{name} is {value:g} s; expected 0 or more.")
        if not 0.0 < self.settle_s < math.inf:
            raise InputError(f"--settle is {self.settle_s:g} s; expected more than 0.")
        if self.until is not None and self.until < 1:
            raise InputError(f"--until is {self.until} particles; expected at least 1.")
        object.__setattr__(self, "folder", self.folder.absolute())
        object.__setattr__(self, "run", self.run.absolute())
