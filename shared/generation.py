"""How a model is asked to write: the parameters of a request."""

from pydantic import BaseModel, ConfigDict, Field


class Generation(BaseModel):
    """Request parameters of the OpenAI API. Others pass through as they are, since engines have their own."""

    model_config = ConfigDict(extra="allow")

    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
