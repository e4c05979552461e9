"""fileConfig in env.py silences the application's loggers.

env.py 里的 fileConfig 会让应用的日志静音。
"""

import io
import logging
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config

CALL = "fileConfig(config.config_file_name)"
CALM = "fileConfig(config.config_file_name, disable_existing_loggers=False)"
WHEN = "if config.config_file_name is not None"
CALL_ALWAYS = f"{WHEN}:\n    {CALL}"
ALONE = f"{WHEN} and not logging.getLogger().handlers:\n    {CALM}"
WAYS = {
    "as generated": (CALL, CALL),
    "disable_existing_loggers=False": (CALL, CALM),
    "and only without a handler": (CALL_ALWAYS, ALONE),
}
log = logging.getLogger("teahouse")
root = logging.getLogger()


def start_logging(said: io.StringIO) -> None:
    logging.basicConfig(stream=said, level="INFO", force=True)
    log.disabled = False


def upgrade(folder: str, old: str, new: str) -> None:
    config = Config(f"{folder}/alembic.ini")
    command.init(config, f"{folder}/migrations", template="async")
    env = Path(folder, "migrations/env.py")
    source = "import logging\n" + env.read_text("utf-8").replace(old, new)
    env.write_text(source, "utf-8")
    config.set_main_option("sqlalchemy.url", "postgresql://")
    command.upgrade(config, "head", sql=True)  # prints SQL, needs no server


for way, (old, new) in WAYS.items():
    said = io.StringIO()
    start_logging(said)
    quiet = redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO())
    with TemporaryDirectory() as folder, quiet[0], quiet[1]:
        upgrade(folder, old, new)
    log.info("served")
    level = logging.getLevelName(root.level)
    heard = "served" in said.getvalue()
    print(f"{way}: disabled {log.disabled}, root {level}, heard {heard}")
    #> as generated: disabled True, root WARNING, heard False
    #> disable_existing_loggers=False: disabled False, root WARNING, heard False
    #> and only without a handler: disabled False, root INFO, heard True
