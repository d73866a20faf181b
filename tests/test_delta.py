"""The delta method: trajectory by trajectory against its formula, exact variances against quadrature and measurement."""

import math

import numpy as np
import pytest
from support import standard_errors

import mcgrad as mg

E, NUMPY = mg.estimators, {"machine": "numpy"}
SF, TO_GO, PW = E.score_function(), E.reward_to_go(), E.reparameterization()
EVERY = {
    "tangent": E.delta(1),
    "tangent, centred": E.delta(1, centred=True),
    "curved": E.delta(),
    "curved, centred": E.delta(centred=True),
    "followed tangent": E.delta(1, pathwise=True),
    "followed": E.delta(pathwise=True),
}
FREED = {
    "SF": E.difference(SF, EVERY["curved"]),
    "SF, tangent": E.difference(SF, EVERY["tangent"]),
    "to go": E.difference(TO_GO, EVERY["curved, centred"]),
    "to go, tangent": E.difference(TO_GO, EVERY["tangent, centred"]),
    "PW": E.difference(PW, EVERY["followed"]),
    "PW, tangent": E.difference(PW, EVERY["followed tangent"]),
}


def wavy():
    """Return a problem of two actions whose reward bends, through the next state and the process noise too."""
    environment = mg.Environment(
        states=1,
        actions=2,
        noises=1,
        initial_noises=1,
        init=lambda p, z: (0.4 + 0.3 * z[0],),
        step=lambda p, s, a, w: (0.8 * s[0] + a[0] + 0.5 * w[0],),
        reward=lambda p, s, a, s_next, w: np.sin(s_next[0]) * a[1] + a[0] * a[1] ** 2,
    )
    policy = mg.policies.linear_gaussian(1, 2, cov=[[0.4, 0.15], [0.15, 0.3]], learn_std=True)
    return mg.Problem(environment, policy, 2, 0.9), np.array([-0.4, 0.6, 0.2, -0.3])


def by_formula(problem, theta, order, pathwise, centred, count, seed):
    """Return the sum over time of h in plain NumPy: derivatives by hand, means by a rule that is exact for polynomials."""
    found = mg.rollout(problem, theta, count, seed, **NUMPY)
    root = np.diag(np.exp(theta[2:])) @ np.linalg.cholesky([[0.4, 0.15], [0.15, 0.3]])
    precision = np.linalg.inv(root @ root.T)
    x, weights = np.polynomial.hermite_e.hermegauss(5)
    grid = np.array(np.meshgrid(x, x)).reshape(2, -1).T
    weights = np.outer(weights, weights).ravel() / weights.sum() ** 2
    total = np.zeros((count, 4))
    for i in range(count):
        for t in range(2):
            s, a, s_next = found.states[i, t, 0], found.actions[i, t], found.states[i, t + 1, 0]
            mu = theta[:2] * s
            sine, cosine = np.sin(s_next - a[0] + mu[0]), np.cos(s_next - a[0] + mu[0])
            level = sine * mu[1] + mu[0] * mu[1] ** 2
            g = np.array([cosine * mu[1] + mu[1] ** 2, sine + 2 * mu[0] * mu[1]])
            H = np.array([[-sine * mu[1], cosine + 2 * mu[1]], [cosine + 2 * mu[1], 2 * mu[0]]]) * (order == 2)

            def term(u, s=s, g=g, H=H, level=level):
                if pathwise:
                    slope = g + H @ u
                    return np.concatenate([slope * s, slope * u])
                taylor = level + g @ u + 0.5 * u @ H @ u - centred * (level + 0.5 * np.trace(H @ root @ root.T))
                v = precision @ u
                return taylor * np.concatenate([v * s, u * v - 1.0])

            expected = weights @ np.array([term(root @ e) for e in grid])
            total[i] += 0.9**t * (term(a - mu) - expected)
    return total


@pytest.mark.parametrize("name", EVERY)
def test_samples_are_those_of_the_formula(name, seed):
    problem, theta = wavy()
    h = EVERY[name]
    expected = by_formula(problem, theta, h.order, h.pathwise, h.centred, 5, seed)
    found = mg.sample(problem, theta, {"h": h}, 5, seed, **NUMPY)["h"]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert np.abs(expected[:, 2:]).min() > 1e-6  # none of it is zero by itself


def test_unbiased_with_later_rewards_and_process_noise(seed):
    """Over two steps with a terminal-like tail the mean is zero, and a term forgotten in it would be seen."""
    problem, theta = wavy()
    found = mg.measure(problem, theta, EVERY, 200_000, seed, **NUMPY)
    for name in EVERY:
        some = found[name].variance > 0
        z = found[name].mean[some] / found[name].stderr[some]
        assert np.abs(z).max() < 5, name
    # Without the curvature in E[z T], diag(H L L^T) of the log scales, the mean would be off by more than that.
    rolled = mg.rollout(problem, theta, 2000, seed, **NUMPY)
    mu = rolled.states[:, :2] * theta[:2]
    root = np.diag(np.exp(theta[2:])) @ np.linalg.cholesky([[0.4, 0.15], [0.15, 0.3]])
    forgotten = (0.9 ** np.arange(2) * 2 * mu[:, :, 0] * (root @ root.T)[1, 1]).sum(axis=1)  # of H_22 alone
    assert abs(forgotten.mean()) > 5 * found["curved"].stderr[3]


@pytest.mark.parametrize("kind", ["cosine", "exponential", "sinusoid on parabola", "quadratic"])
def test_exact_variances_are_those_of_quadrature(kind):
    """Two actions: what one of them adds to the reward is noise to the other."""
    cost = mg.environments.one_step.OneStepCost(kind, 0.9)
    c, slope, bend = {
        "cosine": (lambda x: np.cos(0.9 * x), lambda x: -0.9 * np.sin(0.9 * x), lambda x: -0.81 * np.cos(0.9 * x)),
        "exponential": (
            lambda x: np.exp(-0.9 * x * x),
            lambda x: -1.8 * x * np.exp(-0.9 * x * x),
            lambda x: (3.24 * x * x - 1.8) * np.exp(-0.9 * x * x),
        ),
        "sinusoid on parabola": (
            lambda x: -(0.1 * np.sin(0.9 * x / np.pi) + 0.01 * x * x + 0.1),
            lambda x: -(0.09 / np.pi * np.cos(0.9 * x / np.pi) + 0.02 * x),
            lambda x: -(-0.081 / np.pi**2 * np.sin(0.9 * x / np.pi) + 0.02),
        ),
        "quadratic": (lambda x: (x - 0.9) ** 2, lambda x: 2 * (x - 0.9), lambda x: 2.0 + 0 * x),
    }[kind]
    environment = mg.environments.one_step.of_actions(cost, 2, lambda x, k: c(x))
    problem, theta = mg.Problem(environment, mg.policies.gaussian(2), 1), np.array([0.6, -0.3, 0.5, 0.8])
    x, weights = np.polynomial.hermite_e.hermegauss(60)
    e = np.array(np.meshgrid(x, x)).reshape(2, -1)
    weights = np.outer(weights, weights).ravel() / weights.sum() ** 2
    mu, std = theta[:2, None], theta[2:, None]
    u, f = std * e, c(mu + std * e).sum(axis=0)
    score = np.vstack([e / std, (e * e - 1) / std])

    def variance(sample):
        return (sample**2) @ weights - (sample @ weights) ** 2

    for order in (1, 2):
        curved = bend(mu) * (order == 2)
        taylor = (c(mu) + slope(mu) * u + 0.5 * curved * u * u).sum(axis=0)
        along = slope(mu) + curved * u
        followed = slope(mu + u) - along
        scored, centred = E.delta(order), E.delta(order, centred=True)
        expected = {
            "scored": (E.difference(SF, scored), (f - taylor) * score),
            "centred": (E.difference(SF, centred), (f - taylor + taylor @ weights) * score),
            "followed": (E.difference(PW, E.delta(order, pathwise=True)), np.vstack([followed, followed * e])),
            "alone": (scored, taylor * score),
            "pairs": (E.antithetic(scored), (taylor * score + (taylor * score)[:, ::-1]) / 2),
        }
        for name, (estimator, sample) in expected.items():
            exact = mg.exact.variance(problem, theta, estimator)
            np.testing.assert_allclose(exact, variance(sample), rtol=1e-8, atol=1e-12, err_msg=f"{name}, order {order}")
    np.testing.assert_allclose(
        mg.exact.mean(problem, theta, FREED["SF"]), mg.exact.gradient(problem, theta), rtol=1e-12
    )
    assert not mg.exact.mean(problem, theta, E.delta(centred=True)).any()


def linear_quadratic(horizon, terminal=None):
    environment = mg.environments.linear_quadratic(
        [[0.9, 0.2], [-0.1, 0.8]],
        [[0.5, 0.1], [0.2, 0.7]],
        [[1.0, 0.2], [0.2, 0.5]],
        [[0.6, 0.1], [0.1, 0.4]],
        terminal_cost=terminal,
        process_noise=0.05 * np.eye(2),
        initial_mean=[1.0, -0.5],
        initial_cov=0.3 * np.eye(2),
    )
    policy = mg.policies.linear_gaussian(2, 2, cov=[[0.4, 0.1], [0.1, 0.3]], learn_std=True)
    return mg.Problem(environment, policy, horizon, 0.9), policy.theta(0.1 - 0.4 * np.eye(2))


def test_measured_is_exact(seed):
    cosine = mg.Problem(mg.environments.cosine_cost(1.4), mg.policies.gaussian(1), 1), [0.6, 0.8]
    for problem, theta in (cosine, linear_quadratic(3, np.eye(2))):
        best = E.control_variate(TO_GO, [EVERY["curved"], E.score()])
        best = E.control_variate(TO_GO, [EVERY["curved"], E.score()], mg.exact.coefficients(problem, theta, best))
        ladder = FREED | {"best": best}
        found = mg.measure(problem, theta, ladder, 200_000, seed, **NUMPY)
        for name, estimator in ladder.items():
            mean, variance = mg.exact.mean(problem, theta, estimator), mg.exact.variance(problem, theta, estimator)
            np.testing.assert_allclose(mean, mg.exact.gradient(problem, theta), rtol=1e-10)
            assert standard_errors(found[name], mean, variance) < 5, name
        # A variance that is 7 % off would be seen, and so would one of the other order.
        assert standard_errors(found["PW"], mean, 1.07 * mg.exact.variance(problem, theta, FREED["PW"])) > 5
        assert standard_errors(found["PW"], mean, mg.exact.variance(problem, theta, FREED["PW, tangent"])) > 5
        assert (mg.exact.variance(problem, theta, best) <= mg.exact.variance(problem, theta, TO_GO)).all()


def test_a_reward_of_state_and_action_is_an_estimate_of_zero_in_every_environment():
    """It has no covariance with the doubly robust estimator, like all that is zero whatever the environment does."""
    problem, theta = linear_quadratic(3, np.eye(2))
    robust = E.doubly_robust()
    assert (mg.exact.covariance(problem, theta, EVERY["curved"], TO_GO) > 1.0).all()  # what it is for
    for name, h in EVERY.items():
        both = mg.exact.covariance(problem, theta, h, robust)
        size = np.sqrt(mg.exact.variance(problem, theta, h) * mg.exact.variance(problem, theta, robust))
        assert (np.abs(both) <= 1e-12 * size).all(), name


def test_the_price_of_a_std_that_sees_more_than_the_expansion():
    """The numbers that its docstring gives."""
    plain, freed = E.score_function(mg.baselines.mean_return()), FREED["SF"]
    problem = mg.Problem(mg.environments.cosine_cost(1.0), mg.policies.gaussian(1), 1)
    ratios = [np.divide(*(mg.exact.variance(problem, [0.6, std], x)[0] for x in (freed, plain))) for std in (0.1, 2.0)]
    np.testing.assert_allclose(ratios, [1 / 7500, 60], rtol=0.1)


def test_nothing_is_left_of_a_quadratic_reward_of_one_step(seed):
    problem, theta = linear_quadratic(1)
    pairs = {"SF": FREED["SF"], "PW": FREED["PW"]}
    plain = mg.exact.variance(problem, theta, PW)
    samples = mg.sample(problem, theta, pairs, 20, seed)  # compiled
    for name, estimator in pairs.items():
        # What is left is the start: the gradient given s_0.
        assert (mg.exact.variance(problem, theta, estimator) < plain).all()
        np.testing.assert_allclose(samples[name][:, 4:], samples["PW"][:, 4:], rtol=1e-9)
        assert samples[name][:, 4:].std(axis=0).max() < 1e-12 * np.abs(samples[name]).max()
    np.testing.assert_allclose(samples["SF"], samples["PW"], rtol=1e-9, atol=1e-12)


def test_jumps_bias_nothing(seed):
    environment = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: mg.where(a[0] > 0.3, 1.0, 0.0) + a[0] ** 3 + abs(a[0]),
    )
    problem, mu, std = mg.Problem(environment, mg.policies.gaussian(1, std=0.7), 1), 0.1, 0.7
    density = math.exp(-0.5 * ((0.3 - mu) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    of_kink = math.erf(mu / (std * math.sqrt(2)))
    exact = density + 3 * (mu**2 + std**2) + of_kink
    ladder = {"SF": FREED["SF"], "fitted": E.control_variate(SF, [EVERY["curved"], E.score()])}
    found = mg.measure(problem, [mu], ladder, 100_000, seed, **NUMPY)
    for name in ladder:
        assert abs(found[name].mean[0] - exact) < 5 * found[name].stderr[0], name
        assert abs(found[name].mean[0] - (exact - density)) > 5 * found[name].stderr[0]  # what a pathwise one finds


def by_state(states, actions):
    """Return an environment with a bending reward for other policies."""
    return mg.Environment(
        states=states,
        actions=actions,
        initial_noises=states,
        init=lambda p, z: z,
        step=lambda p, s, a, w: tuple(0.9 * y + 0.3 * a[0] for y in s),
        reward=lambda p, s, a, s_next, w: sum(np.cos(y) for y in a) + np.sin(s[0]) * a[0] * a[-1],
    )


def test_any_gaussian_policy(seed):
    """Networks, heads, a mean that is a number, and components without noise: the mean is zero."""
    heads, maps = mg.policies.heads, mg.policies.maps
    network = mg.policies.tanh_network(1, 2, 3, std=0.4, learn_std=True)
    of_state = mg.policies.joint(
        1,
        force=heads.gaussian(maps.linear(), log_std=maps.linear()),
        gain=heads.deterministic(maps.linear(), actions=1),
    )
    centred = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        parameters=("log std",),
        eta=lambda p, theta, s: theta,
        sample=lambda p, eta, e: (np.exp(eta[0]) * e[0],),
        log_prob=lambda p, eta, a: -eta[0] - 0.5 * (a[0] * np.exp(-eta[0])) ** 2,
    )
    rng = np.random.default_rng(0)
    for policy in (network, of_state, centred):
        problem = mg.Problem(by_state(1, policy.actions), policy, 2)
        theta = 0.4 * rng.normal(size=len(policy.parameters))
        pair = {"scored": E.delta(), "followed": E.delta(pathwise=True)}
        found = mg.measure(problem, theta, pair, 40_000, seed, **NUMPY)
        for name in pair:
            some = found[name].variance > 1e-20
            assert some.any()
            assert (np.abs(found[name].mean[some]) < 5 * found[name].stderr[some]).all(), (policy.name, name)


def test_other_policies_are_refused():
    heads, maps = mg.policies.heads, mg.policies.maps
    sampled = {
        "squared": lambda p, eta, e: (eta[0] + e[0] * e[0],),
        "two sheets": lambda p, eta, e: (mg.where(e[0] > 0.0, eta[0], eta[0] + 1.0) + e[0],),
        "one over": lambda p, eta, e: (eta[0] / (2.0 + e[0]),),
        "two at once": lambda p, eta, e: (eta[0] + e[0] * (1.0 + e[0]),),
    }
    own = [
        mg.Policy(
            states=1,
            actions=1,
            noises=1,
            parameters=("mean",),
            eta=lambda p, theta, s: theta,
            sample=sample,
            log_prob=lambda p, eta, a: -0.5 * (a[0] - eta[0]) ** 2,
            name=name,
        )
        for name, sample in sampled.items()
    ]
    line = maps.linear()
    others = (
        heads.squashed_gaussian(line, std=0.3),
        heads.truncated_normal(line, std=0.3, low=-1.0, high=1.0),
        heads.beta(maps.above(1.0, line), 2.0),
        heads.mixture(2, maps.linear(), maps.linear(), std=0.3),
    )
    for policy in (*own, *(mg.policies.joint(1, head) for head in others)):
        problem = mg.Problem(by_state(1, 1), policy, 1)
        with pytest.raises(ValueError, match="no delta method here: expected a Gaussian policy"):
            mg.sample(problem, np.full(len(policy.parameters), 0.1), {"h": E.delta()}, 2, **NUMPY)
    chosen = mg.Problem(mg.environments.random_walk(3), mg.policies.softmax(3, 2), 2)
    with pytest.raises(ValueError, match="no delta method here"):
        mg.sample(chosen, np.zeros(len(chosen.parameters)), {"h": E.delta()}, 2, **NUMPY)


def test_arguments_and_what_it_knows():
    for call, message in (
        (lambda: E.delta(3), "order: expected a whole number"),
        (lambda: E.delta(pathwise=1), "pathwise: expected"),
        (lambda: E.delta(pathwise=True, centred=True), "centred: expected False with pathwise=True"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert E.knows(E.delta()).kind == "another quantity"
    for estimator in (FREED["SF"], E.control_variate(SF, [E.delta()])):
        assert E.knows(estimator).kind == "simulator"
        assert not E.knows(estimator).has_floor
    jumpy = mg.Problem(mg.environments.linear_ramp(0.1), mg.policies.gaussian(1), 1)
    with pytest.raises(mg.exact.NoClosedForm, match="Delta"):
        mg.exact.variance(jumpy, [0.1, 0.5], FREED["SF"], work=0)
