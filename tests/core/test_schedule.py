"""The schedule of a trial: how many reports are kept, and where each goes."""

import jax.numpy as jnp
import pytest

from jaxhpt.core.schedule import Schedule


@pytest.mark.parametrize(
    ("schedule", "reports", "places"),
    [
        (Schedule(30, 10), 1, {1: 0, 10: 0, 30: 0}),
        (Schedule(30, 5, 10), 3, {1: 0, 10: 0, 11: 1, 20: 1, 21: 2, 30: 2}),
        (Schedule(25, 5, 10), 3, {20: 1, 25: 2, 30: 2}),  # the last event may end beyond the longest trial
        (Schedule(7, 7, 7), 1, {0: 0, 7: 0}),
    ],
)
def test_every_report_has_a_place_of_its_own(schedule, reports, places):
    assert schedule.reports == reports
    found = schedule.place(jnp.array(list(places), jnp.int32))
    assert found.dtype == jnp.int32
    assert found.tolist() == list(places.values())


@pytest.mark.parametrize(("steps", "expected"), [(1, 4), (4, 4), (5, 8), (0, 0)])
def test_steps_are_rounded_up_to_an_event(steps, expected):
    assert Schedule(20, 4).up_to_interval(steps) == expected


def test_schedules_are_told_apart_by_value():
    assert len({Schedule(5, 1), Schedule(5, 1), Schedule(5, 1, exact=True)}) == 2
