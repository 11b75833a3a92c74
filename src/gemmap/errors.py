"""The error tree. Every message is one sentence a user can act on: what was got, what was expected, what to do."""


class GemError(Exception):
    """Base of every error that GEM raises on purpose. The command line prints its text and exits with code 2."""


class InputError(GemError):
    """The data or the options given by the user cannot be used."""


class FormatError(InputError):
    """A file is not what its name or header says, or is damaged."""


class OutputError(GemError):
    """A result could not be written (existing folder, full disk, no permission)."""


class BackendError(GemError):
    """A kernel backend or a device that was asked for by name cannot be used."""


class NumericsError(GemError):
    """A computation left the range in which its result means something."""


class SaidElsewhereError(Exception):
    """This process ends because another one of the same run did, which says why.

    Attributes
    ----------
    interrupted
        Whether the user stopped the run.
    """

    def __init__(self, interrupted: bool = False) -> None:
        super().__init__("another process says why")
        self.interrupted = interrupted


#: Characters of somebody else's text that go into a sentence of ours: some libraries quote a whole file.
_MOST_QUOTED = 200


def reason_of(error: BaseException, prefix: str = "") -> str:
    """What another library says went wrong, on one line and not endless; the kind of error if it says nothing."""
    return shortened(" ".join(str(error).removeprefix(prefix).split()).rstrip(".")) or type(error).__name__


def shortened(text: str) -> str:
    """Return text from a file as it may stand in a sentence: its beginning, if it is long."""
    return f"{text[:_MOST_QUOTED]}..." if len(text) > _MOST_QUOTED else text
