"""What differs from one place to the next comes from the environment.

换个地方就要变的，都从环境变量读取。
"""

import os

from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import URL, make_url


class Settings(BaseModel):
    model_config = ConfigDict(
        arbitrary_types_allowed=True,  # URL
        hide_input_in_errors=True,  # it has the password
    )

    url: URL = Field(validation_alias="database_url")
    application_name: str = "teahouse"
    pool_size: int = 5
    max_overflow: int = 5

    @field_validator("url", mode="before")
    @classmethod
    def parse(cls, value: str) -> URL:
        try:
            return make_url(value).set(drivername="postgresql+asyncpg")
        except Exception:  # whose words have parts of it
            raise ValueError("not a URL of a database") from None


def read_settings() -> Settings:
    given = {name.lower(): value for name, value in os.environ.items()}
    return Settings.model_validate(given)
