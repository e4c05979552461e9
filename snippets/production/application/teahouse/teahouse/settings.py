"""What differs from one place to the next comes from the environment.

换个地方就要变的，都从环境变量读取。
"""

import os

from pydantic import BaseModel, ConfigDict
from sqlalchemy import URL, make_url


class Settings(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)  # it has the password

    database_url: str
    application_name: str = "teahouse"
    pool_size: int = 5
    max_overflow: int = 5

    @property
    def url(self) -> URL:
        url = make_url(self.database_url)
        return url.set(drivername="postgresql+asyncpg")


def read_settings() -> Settings:
    given = {name.lower(): value for name, value in os.environ.items()}
    return Settings.model_validate(given)
