"""Heads: densities, scores and draws against SciPy's distributions; the derivative of the draw against differences of it.

theta are the parameters of the distribution themselves (constant maps), so that nothing but the head is tested.
"""

import functools

import numpy as np
import pytest
from refusals import refused
from scipy import special, stats
from test_smooth_environments import plain

import mcgrad as mg
from mcgrad.compiler import on_numpy
from mcgrad.compiler.emit import function_text
from mcgrad.compiler.trace import Graph
from mcgrad.policies import heads, joint, maps
from mcgrad.policies.heads.beta import logit_quantile
from mcgrad.policies.heads.mixture import quantile as mixture_quantile

free = maps.constant


def squashed(m, log_std, low=-1.0, high=2.0):
    """Return log density and cumulative distribution of low + (high - low) (1 + tanh u) / 2."""
    half = 0.5 * (high - low)
    normal = stats.norm(m, np.exp(log_std))

    def u(a):
        return np.arctanh((a - low) / half - 1.0)

    def logpdf(a):
        return normal.logpdf(u(a)) - np.log(half) - np.log1p(-(((a - low) / half - 1.0) ** 2))

    return logpdf, lambda a: normal.cdf(u(a))


def truncated(m, s, low=-1.0, high=2.0):
    return of(stats.truncnorm((low - m) / s, (high - m) / s, loc=m, scale=s))


def mixed(logits, means, stds):
    """Return log density and cumulative distribution of a mixture of normals."""
    chances, parts = special.softmax(logits), stats.norm(means, stds)
    return lambda a: np.log(parts.pdf(np.asarray(a)[..., None]) @ chances), lambda a: chances @ parts.cdf(a)


def of(distribution):
    return distribution.logpdf, distribution.cdf


# name -> the head, theta, and (log density, cumulative distribution) as functions of theta.
CONTINUOUS = {
    "gaussian": (lambda: heads.gaussian(free(), std=free()), [0.3, 0.7], lambda m, s: of(stats.norm(m, s))),
    "gaussian, log std": (
        lambda: heads.gaussian(free(), log_std=free()),
        [0.3, -0.7],
        lambda m, log_std: of(stats.norm(m, np.exp(log_std))),
    ),
    "gaussian, fixed std": (lambda: heads.gaussian(free(), std=0.4), [0.3], lambda m: of(stats.norm(m, 0.4))),
    "squashed gaussian": (
        lambda: heads.squashed_gaussian(free(), log_std=free(), low=-1.0, high=2.0),
        [0.3, -0.7],
        squashed,
    ),
}
CONTINUOUS |= {
    "truncated normal": (
        lambda: heads.truncated_normal(free(), log_std=free(), low=-1.0, high=2.0),
        [0.3, 0.2],
        lambda m, log_std: truncated(m, np.exp(log_std)),
    ),
    "truncated normal, far out": (
        lambda: heads.truncated_normal(free(), std=free(), low=-1.0, high=2.0),
        [-4.5, 0.6],
        lambda m, s: truncated(m, s),
    ),
    "beta": (
        lambda: heads.beta(free(), free(), low=-1.0, high=2.0),
        [2.3, 3.1],
        lambda a, b: of(stats.beta(a, b, loc=-1.0, scale=3.0)),
    ),
    "mixture": (
        lambda: heads.mixture(2, free(), free(), log_std=free()),
        [0.4, -0.3, -0.6, 0.9, -0.8, -1.2],
        lambda *x: mixed(x[:2], x[2:4], np.exp(x[4:])),
    ),
    "mixture of three": (
        lambda: heads.mixture(3, [0.1, 0.5, -0.2], free(), std=[0.3, 0.4, 0.2]),
        [-1.0, 0.2, 0.9],
        lambda *x: mixed((0.1, 0.5, -0.2), x, (0.3, 0.4, 0.2)),
    ),
}
NOISES = (-2.3, -0.9, -0.1, 0.4, 1.7)


@functools.cache
def policy_of(name):
    make, theta, reference = CONTINUOUS[name]
    return joint(1, make()), np.array(theta), reference


def drawn(policy, theta, e):
    """Return (eta, a) for one standard normal."""
    p = plain(policy)
    eta = tuple(policy.eta(p, tuple(theta), (0.0,)))
    return eta, tuple(policy.sample(p, eta, (e,)))


def slopes(f, theta, h=1e-4):
    """Return the gradient of f by central differences of fourth order."""
    shifts = h * np.eye(len(theta))
    near, far = (np.array([f(theta + k * d) - f(theta - k * d) for d in shifts]) for k in (1, 2))
    return (8 * near - far) / (12 * h)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_density_and_score(name):
    policy, theta, reference = policy_of(name)
    p = plain(policy)
    for e in NOISES:
        eta, a = drawn(policy, theta, e)
        assert policy.log_prob(p, eta, a) == pytest.approx(reference(*theta)[0](a[0]), rel=1e-10, abs=1e-10)
        expected = slopes(lambda x, a=a: reference(*x)[0](a[0]), theta)
        np.testing.assert_allclose(policy.score(p, eta, a, (e,)), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_draw_is_the_quantile_of_its_noise(name):
    """F(a) = Phi(e), in both tails: no Monte Carlo is needed to see that the draw has the distribution."""
    policy, theta, reference = policy_of(name)
    for e in (*NOISES, -5.0, 5.0):
        (a,) = drawn(policy, theta, e)[1]
        assert reference(*theta)[1](a) == pytest.approx(special.ndtr(e), rel=1e-8)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_derivative_of_the_draw(name):
    """Trajectory by trajectory, against differences of the draw at the same noise."""
    policy, theta, _ = policy_of(name)
    problem = mg.Problem(one_step(), policy, 1)
    found = mg.sample(problem, theta, PW, 8, seed=4, machine="numpy")["PW"]
    for gradient, e in zip(
        found, mg.rollout(problem, theta, 8, seed=4, machine="numpy").noise.action[:, 0, 0], strict=True
    ):
        slope = slopes(lambda x, e=e: drawn(policy, x, e)[1][0], theta, 1e-3)
        reward = 1.0 + 3.0 * np.cos(3.0 * drawn(policy, theta, e)[1][0])
        np.testing.assert_allclose(gradient, reward * slope, rtol=1e-7, atol=1e-9)


PW = {"PW": mg.estimators.reparameterization()}


def one_step(actions=1, choices=None, reward=lambda a: a[0] + np.sin(3.0 * a[0])):
    """Return the environment whose one reward is a function of the action."""
    return mg.Environment(
        states=1,
        actions=actions,
        choices=choices,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: reward(a),
        name="one step",
    )


def test_all_heads_side_by_side(seed):
    """Score function and pathwise gradient of one action made by all heads, against quadrature over their noise."""
    names = list(CONTINUOUS)
    policy = joint(1, **{f"h{k}": CONTINUOUS[name][0]() for k, name in enumerate(names)})
    theta = np.concatenate([CONTINUOUS[name][1] for name in names])
    environment = one_step(len(names), reward=lambda a: sum(x + np.sin(3.0 * x) for x in a))
    estimators = {"SF": mg.estimators.score_function(), "PW": mg.estimators.reparameterization()}
    found = mg.measure(mg.Problem(environment, policy, 1), theta, estimators, 40_000, seed, machine="numpy")
    exact = np.concatenate(
        [slopes(lambda t, name=name: mean_reward(name, t), policy_of(name)[1], 1e-3) for name in names]
    )
    for name in estimators:
        z = np.abs(found[name].mean - exact) / found[name].stderr
        assert z.max() < 5, (name, z)
    # A fourth of any parameter's gradient would be missed by the pathwise gradient alone.
    assert np.all(5 * found["PW"].stderr < 0.25 * np.abs(exact)), found["PW"].stderr / np.abs(exact)


def mean_reward(name, theta):
    """Return E[a + sin 3a] by SciPy's quadrature of the reference density."""
    logpdf, cdf = CONTINUOUS[name][2](*theta)
    support = {"squashed": (-1.0, 2.0), "truncate": (-1.0, 2.0), "beta": (-1.0, 2.0)}
    low, high = support.get(name[:8], (-9.0, 9.0))
    x, w = np.polynomial.legendre.leggauss(400)
    a = 0.5 * (low + high) + 0.5 * (high - low) * x
    return 0.5 * (high - low) * w @ (np.exp(logpdf(a)) * (a + np.sin(3.0 * a)))


def test_compiled_heads_are_those_of_numpy():
    """Lanes against arrays, for the heads whose draws are computed by iterations."""
    policy = joint(1, x=CONTINUOUS["beta"][0](), y=CONTINUOUS["truncated normal"][0]())
    theta = np.concatenate([CONTINUOUS[x][1] for x in ("beta", "truncated normal")])
    problem = mg.Problem(one_step(2, reward=lambda a: sum(x + np.sin(3.0 * x) for x in a)), policy, 1)
    a, b = (mg.sample(problem, theta, PW, 64, seed=4, machine=machine)["PW"] for machine in ("simd", "numpy"))
    np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


def test_saturated_actions_have_an_exact_score(seed):
    """tanh u = 1 in all digits for half of the draws: the score comes from the noise, and is finite."""
    policy, theta = joint(1, heads.squashed_gaussian(free(), log_std=free())), [19.0, 1.0]
    problem = mg.Problem(one_step(reward=lambda a: -((a[0] - 0.3) ** 2)), policy, 1)
    actions = mg.rollout(problem, theta, 1000, machine="numpy").actions
    assert np.mean(actions == 1.0) > 0.4
    found = mg.sample(problem, theta, {"Z": mg.estimators.score()}, 1000, machine="numpy")["Z"]
    e = mg.rollout(problem, theta, 1000, machine="numpy").noise.action[:, 0, 0]
    np.testing.assert_allclose(found, np.array([np.exp(-1.0) * e, e**2 - 1.0]).T, rtol=1e-12, atol=1e-12)


# ---- accuracy over the whole range -----------------------------------------------------------------------------


def evaluated(graph, output, values):
    """Return an output of a graph of inputs s0, s1, ... on arrays."""
    names = on_numpy.names()
    exec(function_text("f", {"s": [f"s{i}" for i in range(len(values))]}, graph, [output]), names)
    with np.errstate(all="ignore"):
        return names["f"](values)[0]


@pytest.mark.parametrize(("highest", "bound"), [(100.0, 1e-8), (1e4, 1e-6)])
def test_beta_quantiles_over_their_range(highest, bound):
    """The relative error of the smaller tail, out to 8.5 standard deviations, against SciPy's incomplete beta function."""
    graph = Graph()
    inputs = tuple(graph.input(f"s{i}") for i in range(3))
    rng = np.random.default_rng(2)
    n = 20_000
    a, b = 10.0 ** rng.uniform(0.0, np.log10(highest), (2, n))
    e = np.where(rng.random(n) < 0.5, rng.normal(size=n), rng.uniform(-8.5, 8.5, n))
    y = evaluated(graph, logit_quantile(*inputs), (a, b, e))
    below = special.betainc(a, b, special.expit(y))
    above = special.betainc(b, a, special.expit(-y))
    assert np.max(np.abs(np.where(e < 0, below, above) / special.ndtr(-np.abs(e)) - 1.0)) < bound


def test_mixture_quantiles_over_their_range():
    """Four normals with means 20 apart and stds from 0.03 to 30; 1 in 1000 may be worse than 1e-9, 1 in 10,000 than 1e-4."""
    graph = Graph()
    inputs = tuple(graph.input(f"s{i}") for i in range(13))
    rng = np.random.default_rng(2)
    n = 20_000
    chances = special.softmax(rng.normal(0.0, 2.0, (4, n)), axis=0)
    means, stds = rng.uniform(-10.0, 10.0, (4, n)), np.exp(rng.uniform(-3.5, 3.5, (4, n)))
    e = np.where(rng.random(n) < 0.5, rng.normal(size=n), rng.uniform(-8.5, 8.5, n))
    drawn = mixture_quantile(inputs[:4], inputs[4:8], inputs[8:12], inputs[12])
    a = evaluated(graph, drawn, (*chances, *means, *stds, e))
    tail = np.sum(chances * special.ndtr(np.where(e < 0, 1.0, -1.0) * (a - means) / stds), axis=0)
    error = np.abs(tail / special.ndtr(-np.abs(e)) - 1.0)
    assert np.mean(error > 1e-9) < 1e-3 and np.mean(error > 1e-4) < 1e-4, (np.mean(error > 1e-9), error.max())


def test_shapes_out_of_range_are_counted():
    policy = joint(1, heads.beta(free(), free()))
    _, a = drawn(policy, (2.0, 2e4), 0.3)
    assert np.isnan(a[0])
    with pytest.warns(UserWarning, match="finite"):
        assert mg.measure(mg.Problem(one_step(), policy, 1), [0.5, 2.0], PW, 10, machine="numpy")["PW"].nonfinite == 10


# ---- wrong input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: heads.gaussian(free()), "std, log_std: expected exactly one of them, got std=None and log_std=None"),
        (lambda: heads.gaussian(free(), std=0.3, log_std=free()), "std, log_std: expected exactly one of them"),
        (lambda: heads.gaussian(free(), std=-0.3), "std: expected standard deviations > 0, got -0.3"),
        (lambda: heads.gaussian("x", std=0.3), "mean: expected real numbers, got str 'x'"),
        (lambda: heads.gaussian(free(), std=0.3, actions=0), "actions: expected a whole number >= 1, got 0"),
        (lambda: heads.gaussian(None, std=0.3), "mean: expected a map of the state or numbers, got None"),
        (lambda: heads.squashed_gaussian(free(), std=1.0, low=1.0), "low, high: expected low < high, got 1.0 and 1.0"),
        (
            lambda: heads.discrete(1, free()),
            "choices: expected a whole number >= 2|choices: expected a whole number from 2",
        ),
        (
            lambda: heads.switch(free(), heads.gaussian(free(), std=0.3)),
            "heads: expected at least two to choose between, got 1",
        ),
        (
            lambda: heads.switch(free(), heads.discrete(2, free()), heads.discrete(2, free())),
            "heads: expected heads of continuous random actions",
        ),
        (
            lambda: heads.switch(free(), heads.gaussian(free(), std=0.3), heads.gaussian(free(), std=0.3, actions=2)),
            r"heads: expected the same number of components for each, got \[1, 2\]",
        ),
    ],
)
def test_wrong_heads(make, message):
    refused(f"^{message}", make)
