"""Amounts with units, as users write them."""

import pytest

from gemmap.errors import InputError
from gemmap.units import memory_text, parse_memory


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


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(1_000_000_000, "1.0 GB"), (999_000_000, "999 MB"), (1_000_000, "1 MB"), (1000, "1 kB"), (999, "999 bytes")],
)
def test_amounts_as_they_are_printed(n_bytes: int, text: str) -> None:
    assert memory_text(n_bytes) == text
