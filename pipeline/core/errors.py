"""The error for input that the user has to correct."""


class InputError(ValueError):
    """Bad input: a file, a parameter or an argument that cannot be used.

    The message names the file or argument, and says what was found, what is allowed and what to do.
    Commands print it without a traceback and exit with status 1.
    """


class TooLittleMemory(InputError):  # noqa: N818
    """What is asked for does not fit into the memory that is free. A part of it may fit."""
