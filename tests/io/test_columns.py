"""Numbered rows and names."""

import numpy as np

from gemmap.io.columns import number_names, number_rows


def test_rows_in_sorted_order_of_the_first_column() -> None:
    first, number = number_rows([np.array([2, 1, 2, 1, 2]), np.array([0.5, 9.0, 0.25, 9.0, 0.5])])
    assert number.tolist() == [2, 0, 1, 0, 2]
    assert first.tolist() == [1, 2, 0]


def test_one_row_and_many_columns() -> None:
    first, number = number_rows([np.array([7.0])] * 40)
    assert (first.tolist(), number.tolist()) == ([0], [0])


def test_columns_with_many_values_do_not_overflow() -> None:
    rng = np.random.default_rng(0)
    keys = [rng.permutation(1000) for _ in range(12)]
    first, number = number_rows([*keys, keys[0]])
    assert len(first) == 1000
    np.testing.assert_array_equal(number, keys[0])


def test_names_in_order_of_appearance() -> None:
    names, of_row = number_names(["b", "a", "b", "c"])
    assert names == ("b", "a", "c")
    assert of_row.tolist() == [0, 1, 0, 2]
