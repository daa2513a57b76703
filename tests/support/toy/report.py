"""Tables of the toy study."""

from pipeline.core.tables import markdown_table


def values_table(values):
    """One row per quota."""
    return markdown_table(["quota", "values"], [[k, str(v)] for k, v in values.items()])


TABLES = {"TOY_VALUES": ("toy/values.json", values_table)}
