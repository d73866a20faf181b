"""What is narrow: answered where comparisons find it, refused where it may be hidden; a wrong number never comes out.

Each problem is one that was answered wrongly once, by grids, or nodes of noise, that agreed about what neither of them saw. The
witnesses are integrals by hand.
"""

import numpy as np
import pytest
from scipy.special import ndtr

import mcgrad as mg

AT, WIDTH = 0.377, 1e-3
BUMP = 1000.0


def problem(step=None, reward=None, init=lambda p, z: (z[0],), horizon=1, **noise):
    environment = mg.Environment(
        states=1, actions=1, initial_noises=1, init=init, **{"noises": 1, **noise},
        step=step or (lambda p, s, a, w: (0.8 * s[0] + a[0] + 0.2 * w[0],)),
        reward=reward or (lambda p, s, a, s_next, w: np.tanh(s_next[0])),
    )  # fmt: skip
    return mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.3), horizon)


def inside(x):
    return mg.where((x > AT) & (x < AT + WIDTH), 1.0, 0.0)


def bump(x):
    return np.exp(-(((x - AT) / WIDTH) ** 2))


def mass(width=1.0):
    """Return the probability that a normal of some width is where the jumps are."""
    return ndtr((AT + WIDTH) / width) - ndtr(AT / width)


def objective(problem, work=0.5):
    return mg.exact.value(problem, [-0.3], work=work).objective


def test_jumps_of_the_noise_are_found():
    """0.8 s + a + 30 [w in a narrow interval]: of 65 points of w that were looked at, none lies in it."""
    one = problem(lambda p, s, a, w: (0.8 * s[0] + a[0] + BUMP * inside(w[0]),), lambda p, s, a, s_next, w: s_next[0])
    assert objective(one) == pytest.approx(BUMP * mass(), rel=1e-7)


def test_jumps_of_the_start_are_found():
    one = problem(init=lambda p, z: (3.0 * inside(z[0]),), reward=lambda p, s, a, s_next, w: s[0] ** 2)
    assert objective(one, 3.0) == pytest.approx(9.0 * mass(), rel=1e-6)


def test_jumps_of_the_state_are_found():
    """A grid is broken there, and so is noise that only moves the state, at the nodes from which it leads there."""
    one = problem(reward=lambda p, s, a, s_next, w: inside(s[0]) + 0.0 * s_next[0])
    assert objective(one) == pytest.approx(mass(), rel=1e-7)
    two = problem(
        lambda p, s, a, w: (0.5 * s[0] + 0.2 * a[0] + w[0],), lambda p, s, a, s_next, w: inside(s[0]), horizon=2
    )
    spread = np.sqrt((0.5 - 0.06) ** 2 + 0.06**2 + 1.0)
    try:
        assert objective(two, 3.0) == pytest.approx(mass() + mass(spread), rel=1e-4)
    except mg.exact.NoClosedForm as error:
        assert "no convergence" in str(error)


@pytest.mark.parametrize(
    "what",
    [
        {"reward": lambda p, s, a, s_next, w: BUMP * bump(s[0])},
        {"step": lambda p, s, a, w: (0.8 * s[0] + a[0] + 30.0 * bump(w[0]),)},
    ],
    ids=["state", "noise"],
)
def test_a_smooth_bump_is_refused(what):
    """Between two points of a grid, and of a quadrature, where both of the last levels have nothing."""
    with pytest.raises(mg.exact.NoClosedForm, match="may be something between the points at [sw]0 = 0[.][34]"):
        objective(problem(**what), 0.2)


def test_a_bump_as_wide_as_a_gap_is_none():
    """What a grid resolves is answered as ever; the check does not mistake steepness for something hidden."""
    one = problem(reward=lambda p, s, a, s_next, w: np.exp(-(((s[0] - AT) / 0.3) ** 2)) + np.tanh(5 * s[0]))
    exact = 0.3 / np.sqrt(0.09 + 2) * np.exp(-(AT**2) / (0.09 + 2))
    assert objective(one, 5.0) == pytest.approx(exact, rel=1e-5)


def test_two_numbers_that_decide_together():
    """P(w v > 0.5), w and v normal: quadratures of both agree about another number where one was taken for a choice."""
    one = problem(noises=2, reward=lambda p, s, a, s_next, w: mg.where(w[0] * w[1] > 0.5, 1.0, 0.0))
    x = np.linspace(1e-6, 9.0, 400_001)
    exact = 2 * np.trapezoid(np.exp(-x * x / 2) / np.sqrt(2 * np.pi) * ndtr(-0.5 / x), x)
    try:
        assert objective(one, 0.2) == pytest.approx(exact, rel=1e-4)
    except mg.exact.NoClosedForm as error:
        assert "no convergence" in str(error)
