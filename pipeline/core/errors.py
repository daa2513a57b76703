"""The error that is the user's to mend."""


class InputError(ValueError):
    """Bad input: a file, a parameter or an argument that cannot be used.

    The message names what was looked at, says what was found and what is allowed, and what to do.
    Commands print it without a traceback and exit with status 1.
    """
