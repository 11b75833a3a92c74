"""What other libraries say, as part of a sentence."""

import pytest

from gemmap.errors import reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("bad\n  value."), "bad value"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 300), "x" * 200 + "..."),
        (ValueError("data:3: odd"), "3: odd"),
    ],
)
def test_a_reason_is_one_short_line(error: Exception, reason: str) -> None:
    assert reason_of(error, "data:") == reason
