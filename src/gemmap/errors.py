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
