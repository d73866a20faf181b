"""Finitely many states, which nobody has said are a table: found from the start on, and then as exact as tables are.

The witnesses are tables that are written down here, outcome by outcome, and their closed forms.
"""

import dataclasses
import math

import numpy as np
import pytest

import mcgrad as mg
from mcgrad.exact.recursion import cells, chain, reachable, refine

e = mg.estimators
CHOSEN = {"to go": e.reward_to_go(), "total": e.score_function()}


def table_of(states, actions, start, outcomes, ends=()):
    """Return the table of {state: number} with outcomes(state, action) -> [(probability, next state, reward)]."""
    number, found = {s: i for i, s in enumerate(states)}, [[outcomes(s, a) for a in range(actions)] for s in states]
    S, R = len(states), max(len(x) for row in found for x in row)
    probability, reward = np.zeros((2, S, actions, S, R))
    for i, row in enumerate(found):
        for a, ways in enumerate(row):
            for r, (p, s_next, x) in enumerate(ways):
                probability[i, a, number[s_next], r] += p
                reward[i, a, number[s_next], r] = x
    transition = probability.sum(axis=3)
    among = np.divide(
        probability, transition[..., None], out=np.zeros_like(probability), where=transition[..., None] > 0
    )
    among[transition == 0.0] = np.eye(R)[0]
    chances = [dict(start).get(s, 0.0) for s in states]
    return mg.environments.tabular(
        transition, reward, chances, reward_probability=among, ends=[number[s] for s in ends]
    )


def agree(problem, theta, known, estimators=CHOSEN, tolerance=1e-13):
    """Assert that the recursion finds what the closed form of a table says."""
    found = mg.exact.moments(problem, theta, estimators)
    assert "states that can be reached" in found.space
    for name, estimator in estimators.items():
        variance, mean = mg.exact.variance(known, theta, estimator), mg.exact.mean(known, theta, estimator)
        np.testing.assert_allclose(
            found[name].variance, variance, atol=tolerance * variance.max(), rtol=0, err_msg=name
        )
        np.testing.assert_allclose(found[name].mean, mean, atol=tolerance * np.abs(mean).max(), rtol=0, err_msg=name)
    return found


def undeclared():
    """Return a table with ends, random rewards and a last one, the same without its closed form, and theta."""
    rng = np.random.default_rng(4)
    chances, among = rng.dirichlet(np.ones(6), (6, 2)), rng.dirichlet(np.ones(2), (6, 2, 6))
    table = mg.environments.tabular(
        chances, rng.normal(size=(6, 2, 6, 2)), rng.dirichlet(np.ones(6)), reward_probability=among, ends=[1, 4],
        terminal=rng.normal(size=6),
    )  # fmt: skip
    known = mg.Problem(table, mg.policies.softmax(6, 2), 8, 0.9)
    hidden = mg.Problem(dataclasses.replace(table, closed_form=None), known.policy, 8, 0.9)
    return known, hidden, rng.normal(size=12)


def test_a_table_whose_closed_form_is_gone():
    known, hidden, theta = undeclared()
    found = agree(hidden, theta, known, {**CHOSEN, "two": e.leave_one_out(2)})
    assert found.space == "a table of 6 states that can be reached" and not found.change
    np.testing.assert_allclose(
        mg.exact.mean(hidden, theta, CHOSEN["to go"]), mg.exact.gradient(known, theta), atol=1e-13
    )


def test_pairs_on_a_table():
    """Antithetic pairs are a chain of two states, whose cells are cut by the noise of both: of a declared table, too."""
    table = mg.environments.tabular(
        [[[0.3, 0.7], [0.6, 0.4]], [[1.0, 0.0], [0.2, 0.8]]], [[1.0, 2.0], [0.0, -1.0]], [0.5, 0.5]
    )
    problem, theta = mg.Problem(table, mg.policies.softmax(2, 2), 3), [0.3, -0.2, 0.5, 0.1]
    pairs = {"pairs": e.antithetic(e.reward_to_go())}
    found = mg.exact.moments(problem, theta, pairs)["pairs"]
    np.testing.assert_allclose(found.mean, mg.exact.gradient(problem, theta), atol=1e-13)
    measured = mg.measure(problem, theta, pairs, 100_000, machine="numpy")["pairs"]
    assert np.all(np.abs(measured.variance - found.variance) < 5 * measured.variance_stderr)
    assert np.all(found.variance < 0.95 * mg.exact.variance(problem, theta, CHOSEN["to go"]) / 2)


def test_its_values_and_a_baseline_of_them():
    known, hidden, theta = undeclared()
    V, W = mg.exact.value(hidden, theta), mg.exact.value(known, theta)
    assert V.objective == pytest.approx(W.objective, abs=1e-13) and "can be reached" in V.space
    np.testing.assert_allclose(V.V, W.V, atol=1e-13)
    np.testing.assert_allclose(V(3, [[0.0], [5.0]]), W(3, [[0.0], [5.0]]), atol=1e-13)
    assert np.isnan(V(3, [0.5]))
    g = {"x": e.reward_to_go(mg.baselines.value())}
    one, two = (mg.sample(x, theta, g, 8, machine="numpy")["x"] for x in (hidden, known))
    np.testing.assert_allclose(one, two, atol=1e-12)


def test_a_grid_of_cells_that_is_two_numbers():
    """With a slip that takes two numbers of noise, walls, an end, and a start that is drawn."""
    n, slip, price = 4, 0.15, 0.04
    last = (n - 1.0, n - 1.0)

    def moved(s, k):
        dx, dy = [(1, 0), (-1, 0), (0, 1), (0, -1)][int(k)]
        return min(max(s[0] + dx, 0.0), n - 1.0), min(max(s[1] + dy, 0.0), n - 1.0)

    def step(p, s, a, w):
        k = mg.where(w[0] < p.slip, np.floor(4 * w[1]), a[0])
        dx, dy = (mg.where(k == i, 1.0, 0.0) - mg.where(k == i + 1, 1.0, 0.0) for i in (0, 2))
        return tuple(np.minimum(np.maximum(x + d, 0.0), n - 1.0) for x, d in zip(s, (dx, dy), strict=True))

    environment = mg.Environment(
        states=2, actions=1, choices=4, uniforms=2, initial_uniforms=1, params={"slip": slip}, step=step,
        init=lambda p, z: (np.floor(3 * z[0]), 0.0),
        reward=lambda p, s, a, s_next, w: mg.where((s_next[0] == last[0]) & (s_next[1] == last[1]), 1.0, -price),
        done=lambda p, s: (s[0] == last[0]) & (s[1] == last[1]),
    )  # fmt: skip

    def outcomes(s, a):
        chances = {k: slip / 4 + (1 - slip) * (k == a) for k in range(4)}
        return [(p, moved(s, k), 1.0 if moved(s, k) == last else -price) for k, p in chances.items()]

    states = [(float(x), float(y)) for x in range(n) for y in range(n)]
    table = table_of(states, 4, {(x, 0.0): 1 / 3 for x in (0.0, 1.0, 2.0)}, outcomes, [last])
    features = np.array([np.kron(np.eye(4), [x / n, y / n, 1.0]) for x, y in states])
    policy = mg.policies.softmax_of_state(lambda s: (s[0] / n, s[1] / n, 1.0), 2, 4)
    known = mg.Problem(table, mg.policies.linear_softmax(features), 12, 0.95)
    agree(mg.Problem(environment, policy, 12, 0.95), np.linspace(-1, 1, 12), known)


def stock(probability, where=mg.where):
    """Return a store of at most 6, and its table; demand has given probabilities, and what is sold pays 2."""
    edges = np.cumsum(probability)[:-1]

    def demand(w):
        return sum(where(w[0] > c, 1.0, 0.0) for c in edges)

    environment = mg.Environment(
        states=1, actions=1, choices=3, uniforms=1, init=lambda p, z: (2.0,),
        step=lambda p, s, a, w: (np.minimum(np.maximum(s[0] + a[0] - demand(w), 0.0), 6.0),),
        reward=lambda p, s, a, s_next, w: 2 * np.minimum(s[0] + a[0], demand(w)) - 0.3 * s_next[0],
    )  # fmt: skip

    def outcomes(s, a):
        after = [min(max(s + a - k, 0.0), 6.0) for k in range(len(probability))]
        return [(p, x, 2 * min(s + a, k) - 0.3 * x) for k, (p, x) in enumerate(zip(probability, after, strict=True))]

    table = table_of([float(k) for k in range(7)], 3, {2.0: 1.0}, outcomes)
    features = np.array([np.kron(np.eye(3), [k / 6, 1.0]) for k in range(7)])
    hidden = mg.Problem(environment, mg.policies.softmax_of_state(lambda s: (s[0] / 6, 1.0), 1, 3), 10)
    return hidden, mg.Problem(table, mg.policies.linear_softmax(features), 10), np.linspace(-1, 1, 6)


def poisson(mean, count):
    found = [math.exp(-mean) * mean**k / math.factorial(k) for k in range(count)]
    return [*found, 1.0 - sum(found)]


def test_a_store():
    hidden, known, theta = stock(poisson(1.5, 7))
    agree(hidden, theta, known)


def test_no_threshold_is_missed_however_close_it_is_to_another():
    """A demand of 2 has a probability of 1e-9, and is worth seeing: a threshold that is left out is far off."""
    rare = [0.5, 0.2, 1e-9, 0.3 - 1e-9]
    hidden, known, theta = stock(rare)
    found = agree(hidden, theta, known)["total"]
    without = mg.exact.mean(stock([0.5, 0.2, 0.0, 0.3])[1], theta, CHOSEN["total"])
    assert np.abs(found.mean - without).max() > 1e4 * 1e-13 * np.abs(without).max()


def test_a_number_of_failures_and_a_policy_that_compares():
    """Demand is geometric, by a logarithm; the policy is a threshold that theta moves, not one of the library."""
    q, most = 0.6, 5.0

    def eta(p, theta, s):
        return (1.0 / (1.0 + np.exp(-(theta[0] * s[0] / most + theta[1]))),)

    policy = mg.Policy(
        states=1, actions=1, noises=0, uniforms=1, choices=2, parameters=("slope", "offset"), eta=eta,
        sample=lambda p, eta, e: (mg.where(e[0] < eta[0], 1.0, 0.0),),
        log_prob=lambda p, eta, a: mg.where(a[0] > 0.5, np.log(eta[0]), np.log(1.0 - eta[0])),
    )  # fmt: skip
    environment = mg.Environment(
        states=1, actions=1, choices=2, uniforms=1, init=lambda p, z: (3.0,),
        step=lambda p, s, a, w: (
            np.minimum(np.maximum(s[0] + 2 * a[0] - np.floor(np.log(w[0]) / np.log(q)), 0.0), most),
        ),
        reward=lambda p, s, a, s_next, w: -((s_next[0] - 2.0) ** 2) - a[0],
    )  # fmt: skip

    def outcomes(s, a):
        ways = [(q**k * (1 - q), k) for k in range(7)] + [(q**7, 7)]
        after = [min(max(s + 2 * a - k, 0.0), most) for _, k in ways]
        return [(p, x, -((x - 2.0) ** 2) - a) for (p, _), x in zip(ways, after, strict=True)]

    table = table_of([float(k) for k in range(6)], 2, {3.0: 1.0}, outcomes)
    features = np.array([[[0.0, 0.0], [k / most, 1.0]] for k in range(6)])
    known = mg.Problem(table, mg.policies.linear_softmax(features), 7)
    agree(mg.Problem(environment, policy, 7), [0.7, -0.4], known)


def test_normal_rewards_and_a_gaussian_policy_whose_sign_acts():
    """What moves rewards and scores alone is integrated: moments of two orders do not tell a normal from a coin."""

    def environment(**noise):
        return mg.Environment(
            states=1, actions=1, init=lambda p, z: (0.0,), **noise,
            step=lambda p, s, a, w: (np.minimum(np.maximum(s[0] + mg.where(a[0] > 0.3, 1.0, -1.0), -2.0), 2.0),),
            reward=lambda p, s, a, s_next, w: s_next[0] ** 2
            + (1 + a[0]) * (w[0] if "noises" in noise else mg.where(w[0] < 0.5, 1.0, -1.0)),
        )  # fmt: skip

    policy = mg.policies.linear_gaussian(1, 1, std=0.7)
    one, two = (mg.Problem(environment(**{k: 1}), policy, 6) for k in ("noises", "uniforms"))
    found, same = (mg.exact.moments(x, [0.4], {"to go": CHOSEN["to go"]}) for x in (one, two))
    assert found.change["noise"] < 1e-12 and found.space == "a table of 5 states that can be reached"
    np.testing.assert_allclose(found["to go"].variance, same["to go"].variance, rtol=1e-12)
    measured = mg.measure(two, [0.4], {"to go": CHOSEN["to go"]}, 100_000, machine="numpy")["to go"]
    assert np.all(np.abs(measured.mean - same["to go"].mean) < 5 * measured.stderr)
    assert np.all(np.abs(measured.variance - same["to go"].variance) < 5 * measured.variance_stderr)


# ---- what is no table


def doubling(draw, uniforms=1):
    environment = mg.Environment(
        states=1, actions=1, choices=2, uniforms=uniforms, init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: (0.9 * s[0] + draw(w) + a[0],), reward=lambda p, s, a, s_next, w: s_next[0],
    )  # fmt: skip
    return environment, mg.policies.softmax_of_state(lambda s: (s[0], 1.0), 1, 2), np.linspace(-0.5, 0.5, 4)


def refused(problem, theta):
    """Return why there is no table of states, and the work that it took to tell."""
    model, work = chain.Model(problem, np.asarray(theta), CHOSEN), refine.Work(20.0)
    rule = cells.Cells(4, 1, lambda operations, memory: work.spend(operations))
    with pytest.raises(mg.exact.NoClosedForm) as error:
        reachable.Reachable(*model.chains.values(), [()], [], rule)
    return str(error.value), work.spent


def test_growth_is_noticed_early():
    """States that double from step to step: a few trajectories tell, long before there are as many states."""
    environment, policy, theta = doubling(lambda w: mg.where(w[0] < 0.5, 1.0, -1.0))
    why, spent = refused(mg.Problem(environment, policy, 50), theta)
    assert "more than 50000 can be reached" in why and spent < 0.02
    assert mg.exact.moments(mg.Problem(environment, policy, 4), theta, CHOSEN).space.startswith("a table of 256 states")


def test_two_numbers_that_choose_together_are_no_choices():
    """P(u v < 0.3) is no probability of one number; it was taken for P(v < 0.6) once."""
    environment, policy, theta = doubling(lambda w: mg.where(w[0] * w[1] < 0.3, 1.0, 0.0), uniforms=2)
    why, _ = refused(mg.Problem(environment, policy, 3), theta)
    assert "decide something together" in why
    steep = mg.Problem(environment, policy, 1)
    exact = 0.3 * (1 - np.log(0.3))
    try:
        found = mg.exact.value(steep, theta, work=0.3).objective
    except mg.exact.NoClosedForm:
        return
    assert found == pytest.approx(exact + 1 / (1 + np.exp(theta[1] - theta[3])), abs=1e-4)


def test_continuous_noise_that_moves_the_state_is_seen_at_once():
    environment, policy, theta = doubling(lambda w: w[0])
    why, spent = refused(mg.Problem(environment, policy, 50), theta)
    assert "moves the state by more or less" in why and spent == 0.0


def test_a_counter_beside_a_number_is_refused_where_a_table_is_read_by_it():
    environment = mg.Environment(
        states=2, actions=1, noises=1, params={"price": np.array([1.0, 3.0, 2.0])}, init=lambda p, z: (0.5, 0.0),
        step=lambda p, s, a, w: (0.9 * mg.where(s[0] > 0.0, s[0], 2.0 * s[0]) + a[0] + 0.1 * w[0], s[1] + 1.0),
        reward=lambda p, s, a, s_next, w: -mg.lookup(p.price, s[1]) * s_next[0] ** 2,
    )  # fmt: skip
    policy = mg.policies.linear_features(lambda s: (s[0],), 2, 1, std=0.3)
    with pytest.raises(mg.exact.NoClosedForm, match="a table is read between its places"):
        mg.exact.variance(mg.Problem(environment, policy, 3), [-0.4], CHOSEN["to go"])


def test_looking_for_sides_is_counted_as_work():
    """Each place where a side may change costs; a table of many outcomes has as many."""
    environment = mg.Environment(
        states=1, actions=1, uniforms=1, init=lambda p, z: (0.5,),
        step=lambda p, s, a, w: (
            0.5 * s[0] + a[0] + sum(mg.where(w[0] > k / 60 + 0.001 * s[0], 0.01, 0.0) for k in range(60)),
        ),
        reward=lambda p, s, a, s_next, w: -(s_next[0] ** 2),
    )  # fmt: skip
    problem = mg.Problem(environment, mg.policies.linear_gaussian(1, 1, std=0.3), 20)
    with pytest.raises(mg.exact.NoClosedForm, match="no grid converges within work=0.05"):
        mg.exact.value(problem, [-0.3], work=0.05)
