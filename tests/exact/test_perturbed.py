"""Perturbed gains: published numbers, brute-force quadrature, dense pairs with shared noise, limits, errors."""

from dataclasses import replace

import numpy as np
import pytest
from exact_cases import canonical, random_system
from exact_dense import Dense, covariance, expectation
from lq_leaves import Reparameterization, gradient, objective, return_variance, variance

from mcgrad.exact.linear_quadratic.persistent import persistent_evolution_strategies
from mcgrad.exact.linear_quadratic.perturbed import (
    evolution_strategies,
    finite_differences,
    return_moments,
    spsa,
)

SMALL = random_system(5, 2, 1, 2, learn_scale=False)
WIDE = random_system(6, 2, 2, 2, learn_scale=False)


def evolution_strategies_limit(system, direction="normal", width=1.0):
    """The variance of two points with common noise as the width, in proportion to `width`, goes to 0: (P,).

    "normal": 2 E pw_i^2 + sum_j (h_j / h_i)^2 E pw_j^2 - g_i^2; "sign" (SPSA): without the first term.
    """
    var, g = variance(system, Reparameterization()), gradient(system)
    own = 2 * (var + g**2) if direction == "normal" else 0.0
    h = np.broadcast_to(width, g.shape)
    return own + ((var + g**2) @ h**2) / h**2 - g**2


def rule(system, nodes):
    """Directions (N, mn) and weights of an ordinary tensor rule."""
    z, weight = np.polynomial.hermite_e.hermegauss(nodes)
    z = np.stack(np.meshgrid(*[z] * system.K.size), axis=-1).reshape(-1, system.K.size)
    weight = np.prod(np.meshgrid(*[weight / weight.sum()] * system.K.size), axis=0).ravel()
    return z, weight


def at(system, h, z):
    return replace(system, K=system.K + h * z.reshape(system.K.shape))


def slope_moments(system, h, z, noise):
    """Mean and variance of (R+ - R-) / (2 h) from two systems, their covariance from the dense referee."""
    up, down = at(system, h, z), at(system, -h, z)
    if noise == "independent":
        mean, var = objective(up) - objective(down), return_variance(up) + return_variance(down)
    else:
        up, down = ([(Dense(s).to_go[0],)] for s in (up, down))
        mean = expectation(up) - expectation(down)
        var = covariance(up, up) + covariance(down, down) - 2 * covariance(up, down)
    return mean / (2 * h), var / (4 * h**2)


@pytest.mark.parametrize(
    ("T", "width", "mean", "var"),
    [(10, 0.05, None, 7090), (10, 0.1, -2.3485, 1910), (10, 0.2, None, 736), (5, 0.1, None, 1217), (5, 0.2, None, 394)],
)
def test_one_point_published(T, width, mean, var):
    found = evolution_strategies(canonical(T), width, points=1)
    assert found.variance[0] == pytest.approx(var, rel=4e-4)
    if mean is not None:
        assert found.mean[0] == pytest.approx(mean, abs=5e-5)


@pytest.mark.parametrize(("T", "var"), [(5, 20.735), (10, 35.936)])
def test_two_points_published(T, var):
    assert evolution_strategies_limit(canonical(T))[0] == pytest.approx(var, rel=3e-5)
    assert evolution_strategies(canonical(T), 1e-5).variance[0] == pytest.approx(var, rel=3e-5)


def test_return_moments():
    gains = np.stack([WIDE.K, 0 * WIDE.K, 2 * WIDE.K])
    mean, var = return_moments(WIDE, gains)
    systems = [replace(WIDE, K=K) for K in gains]
    np.testing.assert_allclose(mean, [objective(s) for s in systems], rtol=1e-13)
    np.testing.assert_allclose(var, [return_variance(s) for s in systems], rtol=1e-13)


@pytest.mark.parametrize("width", [0.03, 0.7])
def test_one_point_by_brute_force(width):
    z, weight = rule(SMALL, 9)
    systems = [at(SMALL, width, x) for x in z]
    J = np.array([objective(s) for s in systems])
    second = J**2 + np.array([return_variance(s) for s in systems])
    mean = weight * J @ z / width
    found = evolution_strategies(SMALL, width, points=1)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-10)
    np.testing.assert_allclose(found.variance, weight * second @ z**2 / width**2 - mean**2, rtol=1e-11)


@pytest.mark.parametrize("noise", ["common", "independent"])
@pytest.mark.parametrize("width", [0.1, 0.7])
def test_two_points_by_brute_force(noise, width):
    z, weight = rule(SMALL, 7)
    mean, var = np.array([slope_moments(SMALL, width, x, noise) for x in z]).T
    first = weight * mean @ z
    found = evolution_strategies(SMALL, width, noise=noise)
    np.testing.assert_allclose(found.mean, first, rtol=1e-10)
    np.testing.assert_allclose(found.variance, weight * (mean**2 + var) @ z**2 - first**2, rtol=1e-9)


@pytest.mark.parametrize("noise", ["common", "independent"])
def test_signs_and_differences_by_brute_force(noise):
    z = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 4), axis=-1).reshape(-1, 4)
    mean, var = np.array([slope_moments(WIDE, 0.2, x, noise) for x in z]).T
    found = spsa(WIDE, 0.2, noise)
    np.testing.assert_allclose(found.mean, mean @ z / 16, rtol=1e-10)
    np.testing.assert_allclose(found.variance, np.mean(mean**2 + var) - found.mean**2, rtol=1e-9)
    found, truth = finite_differences(WIDE, 0.2, noise), [slope_moments(WIDE, 0.2, e, noise) for e in np.eye(4)]
    np.testing.assert_allclose(np.transpose(found), truth, rtol=1e-9)


def test_a_width_for_each_parameter_is_another_unit():
    """States in other units, s~ = D s and K~ = K / D: widths h / D, and gradients D g."""
    D = np.array([1.0, 3.0])
    scaled = {"A": np.diag(D) @ SMALL.A / D, "B": D[:, None] * SMALL.B, "K": SMALL.K / D, "mean": D * SMALL.mean}
    scaled |= {name: getattr(SMALL, name) / np.outer(D, D) for name in ("Q", "Qf")}
    scaled |= {name: getattr(SMALL, name) * np.outer(D, D) for name in ("W", "cov")}
    other = replace(SMALL, **scaled)
    np.testing.assert_allclose(gradient(other), D * gradient(SMALL), rtol=1e-12)
    for noise in ("common", "independent"):
        for of in (
            lambda s, h, noise: evolution_strategies(s, h, 2, noise),
            lambda s, h, noise: evolution_strategies(s, h, 1, noise),
            spsa,
            finite_differences,
            lambda s, h, noise: persistent_evolution_strategies(s, h, 1, 2, noise),
            lambda s, h, noise: persistent_evolution_strategies(s, h, 1, 1, noise, True),
        ):
            found, expected = of(other, 0.3 / D, noise), of(SMALL, 0.3, noise)
            np.testing.assert_allclose(found.mean, D * expected.mean, rtol=1e-10)
            np.testing.assert_allclose(found.variance, D**2 * expected.variance, rtol=1e-10)
            assert np.abs(of(other, 0.3, noise).variance / found.variance - 1).max() > 1e-3
    for direction in ("normal", "sign"):
        limit = evolution_strategies_limit(other, direction, 1 / D)
        np.testing.assert_allclose(limit, D**2 * evolution_strategies_limit(SMALL, direction), rtol=1e-12)
    tiny = evolution_strategies(other, 1e-5 / D).variance
    np.testing.assert_allclose(tiny, evolution_strategies_limit(other, width=1 / D), rtol=1e-6)


def test_more_nodes_change_nothing(monkeypatch):
    """2T + 2 nodes are exact, 2T + 1 are not."""
    from mcgrad.exact.linear_quadratic import perturbed

    points, counts = perturbed.normal_rule, {}
    for extra in (-1, 0, 1, 4):
        monkeypatch.setattr(perturbed, "normal_rule", lambda nodes, size, extra=extra: points(nodes + extra, size))
        counts[extra] = evolution_strategies(SMALL, 0.5, points=1).variance
    np.testing.assert_allclose(counts[1], counts[0], rtol=1e-12)
    np.testing.assert_allclose(counts[4], counts[0], rtol=1e-12)
    assert np.all(np.abs(counts[-1] / counts[0] - 1) > 1e-9)


def test_small_widths():
    """Common noise: all goes to the limits, the error falling as the square of the width; independent: Var R / h^2."""
    g, pw = gradient(WIDE), variance(WIDE, Reparameterization())
    cases = [
        (lambda h: spsa(WIDE, h), evolution_strategies_limit(WIDE, "sign")),
        (lambda h: finite_differences(WIDE, h), pw),
        (lambda h: evolution_strategies(WIDE, h), evolution_strategies_limit(WIDE)),
    ]
    for of, limit in cases:
        far, near = (np.abs(of(h).variance / limit - 1) for h in (2e-3, 1e-3))
        np.testing.assert_allclose(far / near, 4, rtol=0.05)
        tiny = of(1e-7)
        np.testing.assert_allclose(tiny.variance, limit, rtol=1e-10)
        np.testing.assert_allclose(tiny.mean, g, rtol=1e-10, atol=1e-10)
    both = [f(WIDE, 1e-5, noise="independent").variance for f in (evolution_strategies, spsa, finite_differences)]
    np.testing.assert_allclose(both, return_variance(WIDE) / 2e-10, rtol=1e-4)
    scales = random_system(6, 2, 2, 2)  # the limit has log scales too
    normal, sign = (evolution_strategies_limit(scales, d) for d in ("normal", "sign"))
    pw_square = variance(scales, Reparameterization()) + gradient(scales) ** 2
    np.testing.assert_allclose(normal - sign, 2 * pw_square)
    np.testing.assert_allclose(sign + gradient(scales) ** 2, pw_square.sum())


def test_many_blocks(monkeypatch):
    from mcgrad.exact.linear_quadratic import perturbed

    whole = evolution_strategies(SMALL, 0.3)
    monkeypatch.setattr(perturbed, "BLOCK", 7)
    np.testing.assert_allclose(evolution_strategies(SMALL, 0.3), whole, rtol=1e-12)


def test_policy_without_noise():
    system = replace(SMALL, L=0 * SMALL.L)
    np.testing.assert_allclose(
        finite_differences(system, 1e-6).variance, variance(system, Reparameterization()), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evolution_strategies(random_system(1, 2, 1, 2), 0.1), "log scales"),
        (lambda: spsa(random_system(1, 2, 1, 2), 0.1), "log scales"),
        (lambda: finite_differences(random_system(1, 2, 1, 2), 0.1), "log scales"),
        (
            lambda: evolution_strategies(random_system(1, 4, 2, 10, learn_scale=False), 0.1),
            r"22\^8 = 54875873536 nodes",
        ),
        (lambda: spsa(random_system(1, 6, 4, 3, learn_scale=False), 0.1), r"2\^24 signs"),
        (lambda: evolution_strategies(SMALL, 0.0), "width: expected a positive"),
        (lambda: spsa(SMALL, [0.1, 0.2, 0.3]), "one for each of the 2 entries of K"),
        (lambda: evolution_strategies(SMALL, 0.1, points=3), "points"),
        (lambda: evolution_strategies(SMALL, 0.1, noise="same"), "noise"),
        (lambda: return_moments(SMALL, SMALL.K), "gains: expected shape"),
        (lambda: evolution_strategies(canonical(200), 1.0), "overflows"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
