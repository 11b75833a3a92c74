"""Several processes that do one reconstruction: who reads which particles, and how what they found is put together."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from gemmap._types import Int
from gemmap.fit.keeper import Piece

N_HALVES = 2


class Team(Protocol):
    """The processes of a run; all of them call the collective methods in the same order.

    Attributes
    ----------
    rank, size
        Number of this process, from 0, and of all processes.
    local_rank, local_size
        The same among the processes on this machine.
    n_cores
        Cores of this machine that are this process's share; None for all that it may use.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    n_cores: int | None

    def add_up(self, array: np.ndarray) -> None:
        """Replace an array, on every process, by the sum over all of them (collective)."""

    def pass_on(self, array: np.ndarray) -> None:
        """Replace an array, on every process, by that of process 0 (collective)."""

    def gather(self, value: Any) -> Sequence[Any]:
        """Return the small values that all processes give, by rank, on every process (collective)."""

    def send(self, piece: Piece, to: int) -> None:
        """Hand a piece to another process, which must `receive` it."""

    def receive(self, of: int) -> Piece:
        """Return the piece that another process sends."""

    def divide(self, crews: int) -> "Team":
        """Deal the processes out to crews in turn, and return this process's, numbered anew from 0 (collective)."""


class Alone:
    """The team of one process."""

    rank, size = 0, 1
    local_rank, local_size = 0, 1
    n_cores: int | None = None

    def add_up(self, array: np.ndarray) -> None:
        """The sum over one process is there already."""

    def pass_on(self, array: np.ndarray) -> None:
        """The array of the one process is there already."""

    def gather(self, value: Any) -> Sequence[Any]:
        """Return the value of the one process."""
        return [value]

    def send(self, piece: Piece, to: int) -> None:
        """There is nobody to send to."""
        raise AssertionError(f"process {to} of a team of one")

    def receive(self, of: int) -> Piece:
        """There is nobody to receive from."""
        raise AssertionError(f"process {of} of a team of one")

    def divide(self, crews: int) -> Team:
        """One process is the only one of its crew."""
        return self


def share_begin(count: int, team: Team) -> int:
    """Return how many of ``count`` rows come before those that `share` gives this process."""
    each, more = divmod(count, team.size)
    return team.rank * each + min(team.rank, more)


def share(rows: Int[np.ndarray, " n"], team: Team) -> Int[np.ndarray, " m"]:
    """Return the rows that this process reads: a run of neighbours, which mostly lie in the same stacks."""
    return np.array_split(rows, team.size)[team.rank]


def owner(half: int, team: Team) -> int:
    """Return the process that fits a half: the first two each have one, the first both if it is alone."""
    return (half - 1) % team.size


def helped_half(team: Team) -> int:
    """Return the half whose owner a further process helps: that of the crew which `Team.divide` deals it out to."""
    return team.rank % N_HALVES + 1
