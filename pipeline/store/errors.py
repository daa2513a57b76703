"""Errors of a store, one class per kind, so that a run can repair what is repairable."""

from pipeline.core.errors import InputError


class DamagedStore(InputError):  # noqa: N818
    """A store's metadata or lists cannot be read back. Planning it again replaces it."""


class DamagedShard(InputError):  # noqa: N818
    """An instance's stored values are damaged and must be evaluated again."""


class MissingInstance(InputError):  # noqa: N818
    """A store does not list an instance, or its values have not been evaluated yet."""


class UnreachableStore(InputError):  # noqa: N818
    """A URL cannot be reached, or its files cannot be listed."""


class UnusableValues(InputError):  # noqa: N818
    """Values that a store refuses: they have another shape or are not finite."""
