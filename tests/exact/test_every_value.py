"""No value gets lost: every answer of `mcgrad.exact` that was known once is known still, and is the same.

The numbers were computed by theories that shared no code with each other, with one hand-written case for each estimator.
"""

import every_value
import numpy as np
import pytest

STORED = every_value.stored()


@pytest.mark.parametrize("name", STORED)
def test_every_value_of(name):
    answers, missing, wrong = every_value.table([name])[name], [], []
    for question, expected in STORED[name].items():
        if question not in answers:
            missing.append(question)
            continue
        found = answers[question]
        scale = np.abs(expected) + 1e-6 * size_of(question, STORED[name]) + 1e-5
        if found.shape != expected.shape or not (np.abs(found - expected) <= 1e-8 * scale).all():
            wrong.append((question, found, expected))
    assert not missing and not wrong


def size_of(question, answers):
    """Return how large a covariance could be: that of what varies most; rounding is measured against it."""
    kind, _, name = question.partition(" of ")
    if kind not in ("covariance", "variance", "mean"):
        return np.abs(answers[question]).max()
    variance = answers.get(f"variance of {name.rpartition(' and ')[0] or name}", answers[question])
    partner = answers.get("variance of to go, none", np.zeros(1))
    return float(np.sqrt(np.abs(variance).max() * max(np.abs(partner).max(), np.abs(variance).max())))
