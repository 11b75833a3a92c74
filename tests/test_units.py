"""Amounts with units, as users write them."""

import pytest

from gemmap.errors import InputError
from gemmap.units import parse_memory


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("8GB", 8 * 10**9),
        ("8", 8 * 10**9),
        (" 1.5 gb", 1500 * 10**6),
        ("8GiB", 2**33),
        ("500M", 5 * 10**8),
        ("2T", 2 * 10**12),
    ],
)
def test_amounts(text: str, n_bytes: int) -> None:
    assert parse_memory(text) == n_bytes


@pytest.mark.parametrize("text", ["", "much", "-8GB", "8 PB", "8iB", "1e3", "0GB", "nan"])
def test_no_amounts(text: str) -> None:
    with pytest.raises(InputError, match=r"^The memory is .*; expected .*8GB\.$"):
        parse_memory(text)
