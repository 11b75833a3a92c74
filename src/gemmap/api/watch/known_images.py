"""Which image is which, for images that were read before: a file that grows is not read anew from its beginning."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gemmap._types import Bool, Int
from gemmap.errors import GemError
from gemmap.io.settling import Stamp
from gemmap.io.tensors import load_tensors, save_tensors

_SCHEMA, _VERSION = "gemmap-known-images", 1


@dataclass(eq=False)
class _Stack:
    """Images of one file, as it was when they were read; ``ids`` has a place for each image, used if ``read``."""

    stamp: Stamp
    ids: Int[np.ndarray, " m"]
    read: Bool[np.ndarray, " m"]


class KnownImages:
    """What images are recognised by (:mod:`gemmap.particles.identity`), by stack and place, while stacks are unchanged.

    It saves time and decides nothing: an image that is not here is read.
    """

    def __init__(self) -> None:
        self._stacks: dict[str, _Stack] = {}

    def recall(
        self, paths: Sequence[Path], stack_of: Int[np.ndarray, " n"], index: Int[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Return what images are recognised by, and of which that is known.

        Parameters
        ----------
        paths
            Stacks.
        stack_of, index
            (n,), the stack of each image and its 0-based place there.
        """
        ids, known = np.zeros(len(index), np.int64), np.zeros(len(index), bool)
        for number in np.unique(stack_of):
            stack = self._stacks.get(str(paths[number]))
            if stack is None or stack.stamp != Stamp.of(paths[number]):
                continue
            rows = np.flatnonzero(stack_of == number)
            rows = rows[index[rows] < len(stack.ids)]
            ids[rows], known[rows] = stack.ids[index[rows]], stack.read[index[rows]]
        return ids, known

    def learn(
        self,
        paths: Sequence[Path],
        stamps: Sequence[Stamp],
        stack_of: Int[np.ndarray, " n"],
        index: Int[np.ndarray, " n"],
        ids: Int[np.ndarray, " n"],
    ) -> None:
        """Remember images that were read from stacks when these had the given stamps."""
        for number in np.unique(stack_of):
            rows = np.flatnonzero(stack_of == number)
            name, size = str(paths[number]), int(index[rows].max()) + 1
            stack = self._stacks.get(name)
            if stack is None or stack.stamp != stamps[number]:
                stack = _Stack(stamps[number], np.zeros(0, np.int64), np.zeros(0, bool))
            more = max(0, size - len(stack.ids))
            stack.ids, stack.read = np.pad(stack.ids, (0, more)), np.pad(stack.read, (0, more))
            stack.ids[index[rows]], stack.read[index[rows]] = ids[rows], True
            self._stacks[name] = stack

    def save(self, path: Path) -> None:
        """Write them to a file.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        stacks = list(self._stacks.values())
        tensors = {
            "ids": torch.from_numpy(np.concatenate([s.ids for s in stacks] or [np.zeros(0, np.int64)])),
            "read": torch.from_numpy(np.concatenate([s.read for s in stacks] or [np.zeros(0, bool)])),
        }
        described = [[name, s.stamp.size_bytes, s.stamp.modified_ns, len(s.ids)] for name, s in self._stacks.items()]
        save_tensors(path, tensors, {"schema": _SCHEMA, "version": _VERSION, "stacks": described})

    @classmethod
    def load(cls, path: Path) -> "KnownImages":
        """Return those of a file; none if it is not there, or damaged: images are read again then."""
        known = cls()
        try:
            tensors, description = load_tensors(path)
            if (description["schema"], description["version"]) != (_SCHEMA, _VERSION):
                return known
            ids, read, start = tensors["ids"].numpy(), tensors["read"].numpy(), 0
            for name, size_bytes, modified_ns, length in description["stacks"]:
                here = slice(start, start + length)
                known._stacks[name] = _Stack(Stamp(size_bytes, modified_ns), ids[here].copy(), read[here].copy())
                start += length
        except (GemError, KeyError, TypeError, ValueError):
            return cls()
        return known
