"""Hypothesis invents schedules, and finds the shortest that costs a connection.

Hypothesis 随机安排各种顺序，并找出丢失连接的最短的一种。
"""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from house import Forgetful, House

SETTINGS = settings(
    max_examples=10,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
)


@pytest.mark.parametrize("house", [House, Forgetful])
def test_no_schedule_costs_a_connection(house: type[House]) -> None:
    run_state_machine_as_test(house, settings=SETTINGS)


#> FAILED test_schedules.py::test_no_schedule_costs_a_connection[Forgetful] - AssertionError: 1 lent, 0 guests
#> 1 failed, 1 passed
