"""Two pods that migrate at the same moment take turns, and both end well.

两个 pod 同时跑迁移，一个接一个来，都正常结束。
"""

import os
import subprocess
import sys

from alembic import command
from alembic.config import Config

UPGRADE = [sys.executable, "-m", "alembic", "-c"]


def test_two_pods_migrate_at_once(config: Config) -> None:
    words = [*UPGRADE, str(config.config_file_name), "upgrade", "head"]
    env = os.environ | {"PYTHONPATH": os.getcwd()}
    pods = [subprocess.Popen(words, env=env, stderr=-1) for _ in range(2)]
    said = b"".join(pod.communicate()[1] for pod in pods)
    assert [pod.returncode for pod in pods] == [0, 0]
    assert said.count(b"Running upgrade") == 1
    command.check(config)  # the tables are those of the models


#> 1 passed
