"""Aggregates on disk: what the particles say, kept for adding more particles later."""

from pathlib import Path

from gemmap.fit.aggregate import Aggregate
from gemmap.fit.aggregate_tensors import aggregate_from_tensors, aggregate_to_tensors
from gemmap.io.tensors import load_tensors, save_tensors


def save_aggregate(path: Path | str, aggregate: Aggregate) -> None:
    """Write an aggregate as a safetensors file, lossless.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    save_tensors(Path(path), *aggregate_to_tensors(aggregate))


def load_aggregate(path: Path | str) -> Aggregate:
    """Read an aggregate; two of them, of different particles in the same frame, add with ``+``.

    Raises
    ------
    InputError, FormatError
        If the file cannot be read, is damaged, or holds something else.
    """
    return aggregate_from_tensors(*load_tensors(Path(path)), source=str(path))
