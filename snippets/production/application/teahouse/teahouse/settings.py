"""What differs from one place to the next comes from the environment.

换个地方就要变的，都从环境变量读取。
"""

import os
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field
from sqlalchemy import URL, make_url


def parse(value: str) -> URL:
    try:
        return make_url(value).set(drivername="postgresql+asyncpg")
    except Exception:  # whose words have parts of it
        raise ValueError("not a URL of a database") from None


class Settings(
    BaseModel, arbitrary_types_allowed=True, hide_input_in_errors=True
):
    url: Annotated[URL, BeforeValidator(parse)] = Field(alias="database_url")
    application_name: str = "teahouse"
    pool_size: int = Field(5, gt=0)  # to a pool, 0 means no limit
    max_overflow: int = Field(5, ge=0)


def read_settings() -> Settings:
    given = {name.lower(): value for name, value in os.environ.items()}
    return Settings.model_validate(given)
