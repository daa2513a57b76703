"""Types that parameters are made of."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number, not a truth value")
    return value


Number = Annotated[int, BeforeValidator(_no_truth_value)]
Count = Annotated[Number, Field(ge=1)]
Seed = Annotated[Number, Field(ge=0, lt=2**63)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Parameters that stand together; unknown names are refused, and nothing can be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
