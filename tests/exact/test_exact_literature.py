"""Published and derived numbers: the canonical scalar problem, its limits, one-step and 2-d checks."""

import numpy as np
import pytest
from exact_cases import canonical
from lq_leaves import (
    AllActions,
    Reparameterization,
    RewardToGo,
    ScoreFunction,
    System,
    ValueGradient,
    gradient,
    measure_valued_variance,
    objective,
    optimal_constant,
    value_baseline,
    variance,
)

TABLE = """
T   J          grad       SF        SF_J      SF_best   b        to_go     to_go_V   PW        SVG0      all
1   -1.061     0.12       66.41526  43.90084  25.889304 -3.183   66.41526  0.1402    0.0388    0.0388    0.0288
2   -1.56515   -.4461     186.73274 120.32881 73.024472 -4.40878 139.62385 3.1136095 .55864426 .53034714 .42268914
5   -2.3058861 -1.4818854 408.63332 240.1141  154.60739 -5.49253 259.52317 19.481781 5.4478396 4.3001139 3.375755
10  -3.2686661 -2.2364779 633.34557 298.3181  209.35742 -6.03141 367.55598 33.40124  8.6441279 5.9709976 4.3504879
20  -5.1779346 -3.6006683 1304.7119 396.66573 303.94188 -7.44372 660.69557 59.789066 12.422279 7.8273884 5.1499625
"""


def row(system):
    """The columns of the table."""
    J, b = objective(system), optimal_constant(system, ScoreFunction())[0]
    estimators = [
        ScoreFunction(),
        ScoreFunction(J),
        ScoreFunction(b),
        RewardToGo(),
        RewardToGo(value_baseline(system)),
        Reparameterization(),
        ValueGradient(),
        AllActions(),
    ]
    variances = [variance(system, X)[0] for X in estimators]
    return [J, gradient(system)[0], *variances[:3], b, *variances[3:]]


@pytest.mark.parametrize("line", TABLE.strip().splitlines()[1:])
def test_canonical_table(line):
    T, *truth = (float(x) for x in line.split())
    np.testing.assert_allclose(row(canonical(int(T))), truth, rtol=2e-6)


@pytest.mark.parametrize(
    ("std", "W", "truth"),
    [
        (0.01, 0.04, (801770, 499698, 10719.8, 4.98796)),
        (0.1, 0.04, (8237.03, 5114.32, 124.129, 5.10507)),
        (1.0, 0.04, (871.515, 475.579, 94.2145, 28.3694)),
        (3.0, 0.04, (24155.3, 12995.1, 3270.29, 1055.74)),
        (0.01, 0.0, (614236, 412343, 9.92787, 3.53353)),
        (1.0, 0.0, (698.159, 386.973, 74.1075, 23.393)),
    ],
)
def test_noise_sweep(std, W, truth):
    found = np.array(row(canonical(10, std=std, W=W)))[[2, 6, 7, 8]]
    np.testing.assert_allclose(found, truth, rtol=5e-6)


@pytest.mark.parametrize(
    ("pole", "truth"),
    [
        (0.0, (483.97, 303.81, 1.063)),
        (0.9, (8.137e4, 3.9324e4, 3989.6)),
        (1.0, (3.8767e6, 1.895e6, 1.9545e5)),
        (1.1, (1.8431e9, 7.6979e8, 2.9105e7)),
        (1.2, (4.5034e12, 1.8315e12, 6.7137e9)),
    ],
)
def test_pole_sweep(pole, truth):
    found = np.array(row(canonical(20, K=(pole - 0.9) / 0.5)))[[2, 6, 8]]
    np.testing.assert_allclose(found, truth, rtol=2e-4)


def test_deterministic_limit():
    """s_0 = 1, no process noise: Var PW = 8.189 std^2 -> 0, Var SF = R^2 sum s_t^2 / std^2 -> infinity."""
    for std, grad in ((1.0, -3.5423), (0.1, -1.35118), (0.01, -1.329264), (0.001, -1.329045)):
        assert gradient(canonical(10, std=std, W=0.0, cov=0.0, mean=1.0))[0] == pytest.approx(grad, abs=5e-5)
    system = canonical(10, std=1e-5, W=0.0, cov=0.0, mean=1.0)
    assert gradient(system)[0] == pytest.approx(-1.3290430944, abs=2e-9)
    s = 0.6 ** np.arange(10)
    constant = np.sum(s**2 * 1.036) ** 2 * np.sum(s**2)
    assert constant == pytest.approx(4.09385, rel=2e-6)
    assert variance(system, ScoreFunction())[0] * 1e-10 == pytest.approx(constant, rel=1e-8)
    assert variance(system, Reparameterization())[0] * 1e10 == pytest.approx(8.189, abs=5e-4)
    assert variance(system, RewardToGo(value_baseline(system)))[0] == pytest.approx(2.13, abs=5e-3)


def test_one_step_with_cost_on_the_next_state():
    """T = 1, r = -(q s_next^2 + r a^2): closed forms for five estimators (F = a + bk)."""
    a, b, q, r, k, var, start = 0.9, 0.5, 1.0, 0.1, -0.6, 0.25, 1.3
    F = a + b * k
    ss, se, ee = F * F * q + k * k * r, F * q * b + k * r, b * b * q + r
    s0 = start**2
    system = canonical(1, std=var**0.5, W=0.0, K=k, cov=s0)
    data = {name: getattr(system, name) for name in ("A", "B", "K", "L", "R", "W", "mean", "cov", "horizon")}
    system = System(**data, Q=[[0.0]], Qf=[[q]])
    assert gradient(system)[0] == pytest.approx(-2 * se * s0)
    truth = [
        15 * s0**3 * ss**2 / var + 15 * s0 * var * ee**2 + 18 * s0**2 * ss * ee + 32 * s0**2 * se**2,
        32 * s0**2 * se**2 + 10 * s0 * var * ee**2,
        8 * s0**2 * se**2 + 4 * s0 * var * ee**2,
        8 * s0**2 * se**2,
    ]
    estimators = [ScoreFunction(), RewardToGo(value_baseline(system)), Reparameterization(), AllActions()]
    np.testing.assert_allclose([variance(system, X)[0] for X in estimators], truth, rtol=1e-13)
    np.testing.assert_allclose(measure_valued_variance(system, "critic"), (48 / np.pi - 4) * s0**2 * se**2, rtol=1e-13)


@pytest.mark.parametrize(
    ("T", "gain", "scale", "nsr"), [(5, 24002.326, 929.34938, 101317.38), (10, 140725.13, 5844.792, 205548)]
)
def test_double_integrator(T, gain, scale, nsr):
    """Noise-to-signal of the score function [Han & Yang 2026], Sigma = .1."""
    A, B, K = np.array([[1, 0.1], [0, 1]]), np.array([[0.0], [0.1]]), np.array([[-1.0, -3.0]])
    system, own = cost_on_next_state(A, B, K, T), [0, 1, 4]
    found = variance(system, ScoreFunction())[own]
    assert found[:2].sum() == pytest.approx(gain, rel=1e-6)
    assert found[2] == pytest.approx(scale, rel=1e-6)
    assert found.sum() / np.sum(gradient(system)[own] ** 2) == pytest.approx(nsr, rel=5e-6)


def cost_on_next_state(A, B, K, T):
    """States (s, y) with y_{t+1} = s_{t+1} and y_0 = 0: cost I on y, t = 1 .. T, and .01 on the actions."""
    zero = np.zeros((2, 2))
    return System(
        A=np.block([[A, zero], [A, zero]]),
        B=np.vstack([B, B]),
        K=np.hstack([K, 0 * K]),
        L=[[0.1**0.5]],
        Q=np.diag([0, 0, 1.0, 1.0]),
        R=[[0.01]],
        Qf=np.diag([0, 0, 1.0, 1.0]),
        W=np.zeros((4, 4)),
        mean=np.zeros(4),
        cov=np.diag([1.0, 1, 0, 0]),
        horizon=T,
        learn_scale=True,
    )
