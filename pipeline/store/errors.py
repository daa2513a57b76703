"""What can be wrong with a store, told apart so that a run can mend what can be mended."""

from pipeline.core.errors import InputError


class DamagedStore(InputError):  # noqa: N818
    """A store's metadata or lists cannot be read back: planning it anew replaces it."""


class DamagedShard(InputError):  # noqa: N818
    """An instance's values are there and cannot be trusted: they have to be evaluated again."""


class MissingInstance(InputError):  # noqa: N818
    """An instance's values are not there: not asked for, or not evaluated yet."""


class UnreachableStore(InputError):  # noqa: N818
    """What is behind a URL cannot be reached, or its files cannot be listed."""


class UnusableValues(InputError):  # noqa: N818
    """Values that a store does not take: of another shape, or not finite."""
