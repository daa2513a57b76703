"""Parameters of the toy study."""

from typing import Annotated

from pydantic import Field

from pipeline.core.fields import Count, Section


class VoteParams(Section):
    """The vote."""

    weights: Annotated[list[Count], Field(min_length=1)]
    quotas: Annotated[list[Count], Field(min_length=1)]


class ValuesParams(Section):
    """How values are written."""

    digits: Count


class Params(Section):
    """The study."""

    vote: VoteParams
    values: ValuesParams
