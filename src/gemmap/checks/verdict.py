"""What a check found, as a value."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

#: ``ok``; ``warning``: look at it; ``error``: the result would be wrong; ``unknown``: the data do not say.
Level: TypeAlias = Literal["ok", "warning", "error", "unknown"]

#: Standard errors by which an assumption must lead to be called right.
CERTAIN = 6.0


@dataclass(frozen=True)
class Verdict:
    """One question about the particles, and its answer.

    Attributes
    ----------
    check
        Name of the check; the same in every report.
    level
        How the answer is to be taken.
    text
        One sentence: what was found, and what to do.
    measured
        The numbers it rests on.
    """

    check: str
    level: Level
    text: str
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckReport:
    """Facts and verdicts about a set of particles.

    Attributes
    ----------
    source
        File and format, in words.
    facts
        Name and value of everything in the table, ready for a file; lengths in Å, angles in degrees.
    verdicts
        In the order in which they are shown.
    notes
        What was assumed while reading, one sentence each.
    seconds
        Time it took.
    """

    source: str
    facts: Mapping[str, Any]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def of(self, level: Level) -> tuple[Verdict, ...]:
        """Verdicts of one level."""
        return tuple(verdict for verdict in self.verdicts if verdict.level == level)

    def __getitem__(self, check: str) -> Verdict:
        """Return the verdict of a check, by its name."""
        for verdict in self.verdicts:
            if verdict.check == check:
                return verdict
        raise KeyError(check)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: texts, numbers, lists and mappings."""
        return {**asdict(self), "n_errors": len(self.of("error")), "n_warnings": len(self.of("warning"))}


def counted(n: int, total: int, noun: str = "particles") -> str:
    """Return ``3 of 2,000 particles``."""
    return f"{n:,} of {total:,} {noun}"


def first_of(rows: Iterable[int]) -> str:
    """Return ``the first is particle 17``, counted from 1."""
    return f"the first is particle {next(iter(rows)) + 1}"
