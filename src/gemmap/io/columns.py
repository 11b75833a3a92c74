"""Columns of particle tables turned into numbered lists: groups, names."""

from collections.abc import Sequence

import numpy as np

from gemmap._types import Int


def number_rows(keys: Sequence[np.ndarray]) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " n"]]:
    """Number the distinct rows of some columns in sorted order, the first column the most significant.

    Returns
    -------
    tuple
        The first row of each number, and the number of each row.
    """
    number = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        values, code = np.unique(key, return_inverse=True)
        number = np.unique(number * len(values) + code.reshape(-1), return_inverse=True)[1].reshape(-1)
    return np.unique(number, return_index=True)[1], number


def number_names(names: Sequence[str]) -> tuple[tuple[str, ...], Int[np.ndarray, " n"]]:
    """Number the distinct names in the order in which they appear."""
    numbers: dict[str, int] = {}
    of_row = np.fromiter((numbers.setdefault(name, len(numbers)) for name in names), np.int64, len(names))
    return tuple(numbers), of_row
