"""Names of the tests, and which of them are asked for; nothing numerical is imported with it."""

from collections.abc import Sequence

from gemmap.errors import InputError

#: All tests, in the order in which they are done.
TESTS = ("noise-substitution", "held-out", "pure-noise", "particle-count")


def checked(tests: Sequence[str]) -> tuple[str, ...]:
    """Return the tests in their usual order; ``all`` stands for all of them.

    Raises
    ------
    InputError
        If one is unknown, or none is given.
    """
    unknown = [name for name in tests if name not in (*TESTS, "all")]
    if unknown or not tests:
        raise InputError(f"The test is {(unknown or ['none'])[0]!r}; expected all, or some of {', '.join(TESTS)}.")
    return TESTS if "all" in tests else tuple(name for name in TESTS if name in tests)


def named(text: str) -> tuple[str, ...]:
    """Return the tests that a text names, with commas between them; raises as `checked`."""
    return checked([name.strip() for name in text.split(",") if name.strip()])
