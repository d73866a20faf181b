"""On 200 random problems: the bounds are ordered as matrices, and those below them are exactly those that say so."""

import functools

import numpy as np
import pytest
from support import CASES, reference_problem

import mcgrad as mg

E, B, EXACT = mg.estimators, mg.baselines, mg.critics.exact()
TABLES, SYSTEMS = 120, 80


def table(seed):
    """A random table, some with an end, rewards random, up to 4 steps."""
    rng = np.random.default_rng(seed)
    S, A, T = 3, 2, 1 + seed % 4
    environment = mg.environments.tabular(
        rng.dirichlet(np.full(S, 0.5), size=(S, A)),
        rng.normal(size=(S, A, S, 2)),
        rng.dirichlet(np.ones(S)),
        reward_probability=rng.dirichlet(np.ones(2), size=(S, A, S)),
        ends=(2,) if seed % 2 else (),
        terminal=rng.normal(size=S),
    )
    return mg.Problem(environment, mg.policies.softmax(S, A), T, 0.5 + seed % 6 / 10), rng.normal(size=S * A)


def system(seed):
    """A random linear-quadratic problem of one state or two, noise correlated, start noncentral, log scales learned."""
    rng = np.random.default_rng(seed)
    n, m, T = 1 + seed % 2, 1 + seed // 2 % 2, 1 + seed % 3

    def cov(k):
        root = rng.normal(size=(k, k)) / np.sqrt(k)
        return root @ root.T

    environment = mg.environments.linear_quadratic(
        0.7 * rng.normal(size=(n, n)), rng.normal(size=(n, m)), cov(n), cov(m), process_noise=rng.choice([0.03, 1]) * cov(n),
        initial_mean=rng.normal(size=n), initial_cov=cov(n),
    )  # fmt: skip
    policy = mg.policies.linear_gaussian(n, m, std=0.3 + rng.random(m), learn_std=True)
    return mg.Problem(environment, policy, T, 0.9), policy.theta(0.4 * rng.normal(size=(m, n)))


PROBLEMS = [functools.partial(table, seed) for seed in range(TABLES)]
PROBLEMS += [functools.partial(system, seed) for seed in range(SYSTEMS)]
INSIDE = {
    "total, J": E.score_function(B.mean_return()),
    "total, optimal": E.score_function(B.optimal_constant()),
    "to go": E.reward_to_go(),
    "to go, mean": E.reward_to_go(B.mean_to_go()),
    "to go, over time": E.reward_to_go(B.optimal_over_time()),
    "to go, V": E.reward_to_go(B.value()),
    "action": E.action_control_variate(),
    "action, wrong": E.action_control_variate(EXACT.wrong(scale=0.7, shift=0.5)),
    "trajectory": E.trajectory_control_variate(),
    "doubly robust": E.doubly_robust(),
    "doubly robust, wrong": E.doubly_robust(EXACT.wrong(scale=0.8, shift=0.3)),
    "gae, 1": E.generalized_advantage(1.0),
    "leave one out": E.leave_one_out(3),
}
ALWAYS = ("to go, V", "action", "trajectory", "doubly robust", "leave one out")  # the others on every eleventh problem
OUTSIDE = {
    "gae, .5": E.generalized_advantage(0.5),
    "advantage": E.advantage(),
    "all actions": E.all_actions(),
    "Q": E.q_function(),
    "pathwise": E.reparameterization(),
    "value gradient": E.value_gradient(),
    "mixture": E.mixture(E.reward_to_go(B.value()), E.reparameterization()),
    "to go, mirrored": E.antithetic(E.reward_to_go(), "actions"),
    "measure-valued": E.measure_valued(),
}


def below(problem, theta, estimators, tree):
    """Return the names of those with a variance below a bound, rollouts counted; what has no closed form is left out."""
    found = set()
    for name, estimator in estimators.items():
        try:
            variance = mg.exact.variance(problem, theta, estimator) * E.estimator.rollouts(estimator, problem)
        except ValueError:
            continue
        if (variance < tree * (1 - 1e-9) - 1e-13 * tree.max()).any():
            found.add(name)
    return found


def is_below(lower, upper, tiny):
    """Tell whether upper - lower is positive semidefinite, up to rounding."""
    return np.linalg.eigvalsh(upper - lower).min() > -tiny


def test_the_order_of_the_bounds_and_who_is_below_them():
    everything, seen, strict, planted = INSIDE | OUTSIDE, set(), 0, 0
    for number, make in enumerate(PROBLEMS):
        problem, theta = make()
        tree, markov = (mg.exact.efficiency_bound(problem, theta, x, matrix=True) for x in ("tree", "markov"))
        tiny = 1e-11 * np.trace(tree)
        assert is_below(markov, tree, tiny), make
        try:
            pooled = mg.exact.efficiency_bound(problem, theta, "stationary", matrix=True)
            assert is_below(pooled, markov, tiny), make
            strict += np.trace(pooled) < 0.999 * np.trace(markov)
        except mg.exact.NoClosedForm:
            assert problem.environment.states > 1
        planted += not is_below(tree, 1.001 * markov, tiny) and not is_below(1.001 * tree, tree, tiny)
        chosen = everything if number % 11 == 4 else {name: INSIDE[name] for name in ALWAYS}
        seen |= below(problem, theta, chosen, np.diag(tree))
    assert seen == set(OUTSIDE)
    assert {name for name, e in everything.items() if not E.knows(e).has_floor} == set(OUTSIDE)
    assert strict > 100 and planted > 100  # the order is one, and one that the other way round would be seen


KEYS = (
    "total",
    "rtg",
    "rtg_V",
    "qcv",
    "qprop",
    "total_bopt",
    "total_bJ",
    "rtg_bopt",
    "rtg_bJ",
    "rtg_V_bopt",
    "rtg_btmean",
)
KEYS += (
    "rtg_btopt",
    "rtg_btnaive",
    "rtg_V_btopt",
    "total_boptK",
    "rtg_boptK",
    "rtg_btoptK",
    "total_cvfull",
    "rtg_cvfull",
)
KEYS += ("rtg_qopt",)
NEVER = {
    "Q",
    "gae(0.9)",
    "anti_all(total)",
    "anti_all(rtg)",
    "anti_all(rtg_V)",
    "anti_all(total_bopt)",
}  # on these systems


def test_all_keys_of_the_reference():
    """Its variances were found without this library: no key of trajectories alone is below, and nearly all others are."""
    seen, every = set(), set()
    for case in CASES:
        problem, theta = reference_problem(case["system"])
        tree = mg.exact.efficiency_bound(problem, theta, "tree")
        found = {}
        for key, entry in case["estimators"].items():
            ours = [i for i, name in enumerate(entry["params"]) if name != "ls"]
            found[key] = np.array(entry["var"])[ours] * (2 if key.startswith("anti") else 1)
        every |= set(found)
        for key, variance in found.items():
            tiny = 1e-11 * found["rtg_V"][: len(variance)]
            if (variance < tree[: len(variance)] * (1 - 1e-9) - tiny).any():
                seen.add(key)
    assert set(KEYS) < every and not seen & set(KEYS)
    assert every - seen - set(KEYS) == NEVER


@pytest.mark.parametrize("name", ["to go, V", "trajectory"])
def test_the_price_of_what_is_not_taken_out(name):
    """Var(X) = tree bound + sum_t E Cov(E[X | h_t, a_t] | h_t): on a bandit, what a baseline leaves of the arms' values."""
    values, theta = np.array([1.0, -0.5, 0.7]), np.array([0.2, -0.4, 0.1])
    problem = mg.Problem(mg.environments.bandit(values, 0.3), mg.policies.softmax(1, 3), 1)
    pi = np.exp(theta) / np.exp(theta).sum()
    score = np.eye(3) - pi
    left = score * (values - pi @ values)[:, None] if name == "to go, V" else np.zeros((3, 3))
    exact = 0.09 * pi @ score**2 + pi @ left**2 - (pi @ left) ** 2
    found = mg.exact.variance(problem, theta, INSIDE[name])
    np.testing.assert_allclose(found, exact, rtol=1e-12)
    np.testing.assert_allclose(mg.exact.efficiency_bound(problem, theta, "tree"), 0.09 * pi @ score**2, rtol=1e-12)
