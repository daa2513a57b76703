"""Parameters of the page of results."""

from typing import Annotated

from pydantic import Field

from pipeline.core.fields import Count, Number, Section


class Params(Section):
    """What the page shows, which bounds its size."""

    videos: Count
    classes: Annotated[list[str], Field(min_length=1)] | None
    thumbnail: Annotated[Number, Field(ge=16, le=640)]
