"""What is public: functions, and the few types that a user's program names. A new type in here is a decision."""

import inspect

import pytest

import mcgrad as mg

# Room -> the names that are no functions.
TYPES = {
    "estimators": {"BehaviourPolicy", "Combined", "Estimator", "PerStep", "RolloutVariant"},
    "baselines": {"Baseline"},
    "critics": {"Critic"},
    "designs": {"Design"},
    "noises": set(),
}


@pytest.mark.parametrize("room", TYPES)
def test_rooms_show_functions_and_the_types_that_users_need(room):
    home = getattr(mg, room)
    assert {name for name in home.__all__ if not inspect.isfunction(getattr(home, name))} == TYPES[room]
    assert len(set(home.__all__)) == len(home.__all__) and not any(name[0] == "_" for name in home.__all__)
    assert not [name for name in home.__all__ if name.startswith("as_")]  # what reads a user's argument is internal
    assert dir(home) == sorted(home.__all__)  # nothing else is offered at a prompt


def test_every_estimator_is_among_the_kinds():
    """Theories tell estimators apart by their records: each that a file makes is in `estimators.kinds`."""
    from mcgrad.estimators import kinds

    assert all(issubclass(getattr(kinds, name), mg.estimators.Estimator) for name in kinds.__all__)
    assert not set(kinds.__all__) & set(mg.estimators.__all__)
