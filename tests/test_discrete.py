"""Discrete problems: what is drawn, what is estimated, and what is refused."""

import numpy as np
import pytest
from scipy import stats

import mcgrad as mg

RNG = np.random.default_rng(8)
SF = {"SF": mg.estimators.score_function(), "to go": mg.estimators.reward_to_go(baseline=0.3)}


def chain(S=6, A=3, sparse=False, ends=(), rewards="sas"):
    """Return a random Markov decision process and a problem on it."""
    rng = np.random.default_rng(S + A)
    transition = rng.dirichlet(np.full(S, 0.5), size=(S, A))
    if sparse:
        transition[transition < 0.2] = 0.0
        transition[..., 0] += transition.sum(axis=2) == 0.0
        transition /= transition.sum(axis=2, keepdims=True)
    extra = {}
    reward = rng.normal(size={"sa": (S, A), "sas": (S, A, S), "random": (S, A, S, 2)}[rewards])
    if rewards == "random":
        extra["reward_probability"] = rng.dirichlet(np.ones(2), size=(S, A, S))
    start = rng.dirichlet(np.ones(S))
    environment = mg.environments.tabular(transition, reward, start, ends=ends, **extra)
    return environment, transition, reward, start


def probabilities(theta, S, A):
    weights = np.exp(np.reshape(theta, (S, A)))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("S", "A", "sparse", "rewards"),
    [(6, 3, False, "sas"), (3, 2, False, "sa"), (6, 3, True, "random"), (2, 5, False, "random")],
)
def test_frequencies_of_starts_actions_states_and_rewards(S, A, sparse, rewards):
    """Chi-square tests of everything that is drawn; impossible outcomes never happen."""
    environment, transition, reward, start = chain(S, A, sparse, rewards=rewards)
    theta = np.random.default_rng(1).normal(size=S * A)
    found = mg.rollout(mg.Problem(environment, mg.policies.softmax(S, A), 4), theta, 100_000)
    s, a, s_next = (x[..., 0].astype(int) for x in (found.states[:, :-1], found.actions, found.states[:, 1:]))
    pi = probabilities(theta, S, A)
    tests = [(s[:, 0], start)]
    for state in range(S):
        tests.append((a[s == state], pi[state]))
        for action in range(A):
            tests.append((s_next[(s == state) & (a == action)], transition[state, action]))
    p_values = []
    for drawn, chances in tests:
        seen = np.bincount(drawn, minlength=len(chances))
        assert (seen[chances == 0.0] == 0).all()
        possible = chances > 0
        if len(drawn) > 100 and possible.sum() > 1:
            p_values.append(stats.chisquare(seen[possible], len(drawn) * chances[possible]).pvalue)
    assert min(p_values) > 1e-4 / len(p_values)
    paid = found.rewards
    if rewards == "sa":
        assert np.array_equal(paid, reward[s, a])
    elif rewards == "sas":
        assert np.array_equal(paid, reward[s, a, s_next])
    else:
        first = paid == reward[s, a, s_next, 0]
        assert (first | (paid == reward[s, a, s_next, 1])).all()
        chances = environment.closed_form
        mean = np.zeros((S, A))
        np.add.at(mean, (s, a), paid)
        visits = np.zeros((S, A))
        np.add.at(visits, (s, a), 1.0)
        exact = (chances.probability * chances.reward).sum(axis=2)
        spread = np.sqrt((chances.probability * chances.reward**2).sum(axis=2) - exact**2)
        assert (np.abs(mean / visits - exact) < 5 * spread / np.sqrt(visits) + 1e-9).all()


@pytest.mark.parametrize(("machine", "shared"), [("simd", False), ("simd", True), ("numpy", True), ("scalar", False)])
def test_score_functions_against_plain_numpy(machine, shared):
    """Single gradients from recorded states and actions, with episodes that end, for tables and for shared features."""
    S, A, T, gamma = 5, 3, 7, 0.9
    environment, *_ = chain(S, A, ends=[4])
    features = np.random.default_rng(3).normal(size=(S, A, 4)) if shared else np.eye(S * A).reshape(S, A, S * A)
    policy = mg.policies.linear_softmax(features) if shared else mg.policies.softmax(S, A)
    problem = mg.Problem(environment, policy, T, gamma)
    theta = np.random.default_rng(2).normal(size=features.shape[2])
    found = mg.rollout(problem, theta, 200, machine=machine)
    got = mg.sample(problem, theta, SF, 200, machine=machine)
    logits = features @ theta
    pi = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert len(set(found.lengths)) > 3
    for i, length in enumerate(found.lengths):
        s, a = found.states[i, :length, 0].astype(int), found.actions[i, :length, 0].astype(int)
        z = features[s, a] - np.einsum("tk,tkp->tp", pi[s], features[s])
        rewards = gamma ** np.arange(length) * found.rewards[i, :length]
        to_go = np.cumsum(rewards[::-1])[::-1]
        assert np.allclose(got["SF"][i], rewards.sum() * z.sum(axis=0), rtol=1e-12, atol=1e-12)
        assert np.allclose(got["to go"][i], ((to_go - 0.3)[:, None] * z).sum(axis=0), rtol=1e-12, atol=1e-12)


def test_the_score_is_the_derivative_of_log_prob():
    from mcgrad.policies import categorical

    eta, h = np.array([0.3, -2.0, 1.5, 0.0]), 1e-6
    for a in range(4):
        score = np.array(categorical.score(None, tuple(eta), (float(a),), None))
        slopes = [
            (
                categorical.log_prob(None, tuple(eta + h * d), (float(a),))
                - categorical.log_prob(None, tuple(eta - h * d), (float(a),))
            )
            / (2 * h)
            for d in np.eye(4)
        ]
        assert np.allclose(score, slopes, atol=1e-9)
        assert np.isclose(
            categorical.log_prob(None, tuple(eta), (float(a),)), np.log(categorical.probabilities(eta)[a])
        )


def test_logits_far_apart_neither_overflow_nor_vanish():
    problem = mg.Problem(mg.environments.bandit([1.0, 2.0, 3.0]), mg.policies.softmax(1, 3), 1)
    found = mg.measure(problem, [800.0, -800.0, 0.0], SF, 1000)
    assert found.nonfinite == {"SF": 0, "to go": 0}
    assert (mg.rollout(problem, [800.0, -800.0, 0.0], 1000).actions == 0.0).all()
    with pytest.warns(UserWarning, match="1000 of SF"):  # logits that are no numbers do not pass for a policy
        lost = mg.measure(_undefined_logits(), [0.0], {"SF": SF["SF"]}, 1000)
    assert lost.nonfinite["SF"] == 1000


def _undefined_logits():
    policy = mg.policies.linear_softmax([[[0.0], [1.0]]])
    import dataclasses

    return mg.Problem(
        mg.environments.bandit([1.0, 2.0]),
        dataclasses.replace(policy, eta=lambda p, theta, s: (theta[0], np.log(theta[0] - 1.0))),
        1,
    )


def test_the_three_armed_bandit_of_the_textbooks():
    """pi = (.5, .3, .2), q = (1, 2, 0): gradient (-.05, .27, -.22), variance (.4225, .5601, .0196)."""
    problem = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0]), mg.policies.softmax(1, 3), 1)
    found = mg.measure(problem, np.log([0.5, 0.3, 0.2]), SF, 1_000_000)["SF"]
    assert (np.abs(found.mean - [-0.05, 0.27, -0.22]) < 5 * found.stderr).all()
    assert (np.abs(found.variance - [0.4225, 0.5601, 0.0196]) < 5 * found.variance_stderr).all()
    group = mg.measure(problem, np.log([0.5, 0.3, 0.2]), {"N=5": mg.estimators.same_batch_mean(5)}, 400_000)["N=5"]
    assert (np.abs(group.mean - 0.8 * np.array([-0.05, 0.27, -0.22])) < 5 * group.stderr).all()


def test_the_corridor():
    """J(p) = (2 p - 4) / (p (1 - p)) for episodes that end long before the horizon."""
    problem = mg.Problem(
        mg.environments.short_corridor(), mg.policies.linear_softmax(mg.environments.corridor_features()), 3000
    )
    for p in (0.3, 2.0 - np.sqrt(2.0)):
        found = mg.rollout(mg.Problem(problem.environment, problem.policy, 500), np.log([1 - p, p]), 20_000)
        returns = found.rewards.sum(axis=1)
        assert found.lengths.max() < 500
        assert abs(returns.mean() - (2 * p - 4) / (p * (1 - p))) < 5 * returns.std() / np.sqrt(20_000)
    found = mg.measure(problem, np.log([0.7, 0.3]), SF, 400_000)
    p = 0.3
    slope = (2 * p * (1 - p) - (2 * p - 4) * (1 - 2 * p)) / (p * (1 - p))  # dJ/dp dp/dlogit
    for name in SF:
        assert (np.abs(found[name].mean - [-slope, slope]) < 5 * found[name].stderr).all()


def test_cart_pole_follows_the_equations():
    """One hundred steps against the equations of Barto, Sutton and Anderson as Gymnasium writes them."""
    problem = mg.Problem(mg.environments.cart_pole(), mg.policies.softmax_of_state(lambda s: s, 4, 2), 30)
    found = mg.rollout(problem, np.array([0.1, 0.2, 3.0, 1.0, -0.1, 0.0, 0.0, 0.3]), 100)
    assert np.abs(found.states[:, 0]).max() <= 0.05
    for i, length in enumerate(found.lengths):
        for t in range(length):
            x, x_dot, theta, theta_dot = found.states[i, t]
            force = 10.0 if found.actions[i, t, 0] == 1.0 else -10.0
            temp = (force + 0.05 * theta_dot**2 * np.sin(theta)) / 1.1
            theta_acc = (9.8 * np.sin(theta) - np.cos(theta) * temp) / (0.5 * (4 / 3 - 0.1 * np.cos(theta) ** 2 / 1.1))
            x_acc = temp - 0.05 * theta_acc * np.cos(theta) / 1.1
            expected = [x + 0.02 * x_dot, x_dot + 0.02 * x_acc, theta + 0.02 * theta_dot, theta_dot + 0.02 * theta_acc]
            assert np.allclose(found.states[i, t + 1], expected, rtol=0, atol=1e-14)
    over = (np.abs(found.states[:, -1, 0]) > 2.4) | (np.abs(found.states[:, -1, 2]) > 12 * np.pi / 180)
    assert over[found.lengths < 30].all()
    assert 0 < over.sum() < 100
    assert (found.rewards.sum(axis=1) == found.lengths).all()


@pytest.mark.parametrize("machine", ["simd", "numpy"])
def test_tables_of_perturbed_parameters(machine):
    """Evolution strategies on a table of logits: theta differs between trajectories; against returns by hand."""
    environment, *_ = chain(4, 2, ends=[3])
    problem = mg.Problem(environment, mg.policies.softmax(4, 2), 5)
    theta, count = np.linspace(-0.5, 0.5, 8), 40
    found = mg.sample(problem, theta, {"FD": mg.estimators.finite_differences(0.3, 8)}, count, machine=machine)["FD"]
    for p, e in enumerate(np.eye(8)):
        up, down = (mg.rollout(problem, theta + sign * 0.3 * e, count).rewards.sum(axis=1) for sign in (1, -1))
        assert np.allclose(found[:, p], (up - down) / 0.6, atol=1e-12)


def test_mirrored_uniform_numbers():
    """Antithetic noise takes 1 - u: for a bandit of two equal arms the mirrored score has the opposite sign."""
    problem = mg.Problem(mg.environments.bandit([0.0, 1.0]), mg.policies.softmax(1, 2), 1)
    pairs = mg.measure(problem, [0.0, 0.0], {"anti": mg.estimators.antithetic(SF["SF"])}, 1000)["anti"]
    assert np.allclose(pairs.mean, [-0.25, 0.25])
    assert np.allclose(pairs.variance, 0.0)


def test_what_does_not_exist_says_so():
    problem = mg.Problem(mg.environments.bandit([0.0, 1.0]), mg.policies.softmax(1, 2), 1)
    with pytest.raises(ValueError, match=r"no pathwise gradient here: .* use mcgrad.estimators.reward_to_go\(\)"):
        mg.measure(problem, [0.0, 0.0], {"PW": mg.estimators.reparameterization()}, 10)
    with pytest.raises(ValueError, match="policy: expected one for 2 choices, .* got one for 3 choices"):
        mg.Problem(mg.environments.bandit([0.0, 1.0]), mg.policies.softmax(1, 3), 1)
    with pytest.raises(ValueError, match="policy: expected one for a continuous action, .* got one for 2 choices"):
        system = mg.environments.linear_quadratic([[1.0]], [[1.0]], [[1.0]], [[1.0]])
        mg.Problem(system, mg.policies.softmax(1, 2), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(transition=np.full((2, 2, 3), 1 / 3)), r"transition: expected shape \(2, 2, 2\), got \(2, 2, 3\)"),
        (
            dict(transition=np.full((2, 2, 2), 0.6)),
            "transition: expected probabilities that sum to 1, got a sum of 1.2",
        ),
        (dict(transition=np.array([[[1.5, -0.5]] * 2] * 2)), "transition: expected probabilities >= 0, got -0.5"),
        (dict(reward=np.zeros((2, 3))), r"reward: expected shape \(2, 2\)"),
        (dict(reward=np.zeros((2, 2, 2, 2))), r"reward_probability: expected P\(r \| s, a, s_next\)"),
        (dict(start=[0.5, 0.4]), "start: expected probabilities that sum to 1"),
        (dict(ends=[2]), "ends: expected a whole number from 0 to 1, got 2"),
        (dict(terminal=[1.0]), r"terminal: expected shape \(2,\)"),
    ],
)
def test_bad_tables(arguments, message):
    given = dict(transition=np.full((2, 2, 2), 0.5), reward=np.zeros((2, 2)), start=[1.0, 0.0]) | arguments
    with pytest.raises(ValueError, match=message):
        mg.environments.tabular(**given)


def test_rare_outcomes_of_the_alias_method():
    """Probabilities from 1e-9 to 1: what the tables give back is what went in, to rounding."""
    from mcgrad.environments.chances import chances

    given = RNG.dirichlet(np.full(13, 0.1), size=200)
    given[given < 1e-9] = 0.0
    given /= given.sum(axis=1, keepdims=True)
    _, tables = chances(given)
    stay, alias = (tables[k].reshape(200, 16) for k in ("stay", "alias"))
    given_back = stay / 16
    for row, cell in np.ndindex(200, 16):
        given_back[row, int(alias[row, cell])] += (1 - stay[row, cell]) / 16
    assert np.abs(given_back[:, :13] - given).max() < 1e-15
    assert (given_back[:, 13:] == 0.0).all()
    assert (given_back[:, :13][given == 0.0] == 0.0).all()


@pytest.mark.parametrize(("machine", "S"), [("simd", 40), ("numpy", 40), ("scalar", 13)])
def test_large_tables_are_summed_in_memory(machine, S):
    """Tables of 80 and 26 logits: the gradients of three estimators and their variations, by hand."""
    A, T = 2, 9
    environment, *_ = chain(S, A, ends=[4, 7])
    problem = mg.Problem(environment, mg.policies.softmax(S, A), T, 0.9)
    theta = np.random.default_rng(2).normal(size=S * A)
    estimators = {"SF": SF["SF"]}
    if machine != "scalar":  # which would take half a minute to compile these
        estimators = SF | {"V": mg.estimators.reward_to_go(mg.baselines.value())}
        estimators |= {"anti": mg.estimators.antithetic(SF["SF"]), "loo": mg.estimators.leave_one_out(2)}
    found, got = (f(problem, theta, *x, 60, machine=machine) for f, x in ((mg.rollout, ()), (mg.sample, (estimators,))))
    pi, V = probabilities(theta, S, A), mg.exact.value(problem, theta).V
    for i, length in enumerate(found.lengths):
        s, a = found.states[i, :length, 0].astype(int), found.actions[i, :length, 0].astype(int)
        rewards = 0.9 ** np.arange(length) * found.rewards[i, :length]
        to_go = np.cumsum(rewards[::-1])[::-1]
        expected = np.zeros((3, S, A))
        for t in range(length):
            z = np.eye(A)[a[t]] - pi[s[t]]
            expected[:, s[t]] += np.outer([rewards.sum(), to_go[t] - 0.3, to_go[t] - V[t, s[t]]], z)
        for name, gradient in zip(("SF", "to go", "V"), expected, strict=True):
            if name in got:
                assert np.allclose(got[name][i], gradient.ravel(), rtol=1e-12, atol=1e-12), name


def test_large_tables_give_the_same_at_any_width():
    from mcgrad.compiler import backends
    from mcgrad.kernels.program import gradient_program

    environment, *_ = chain(40, 2, ends=[4, 7])
    problem = mg.Problem(environment, mg.policies.softmax(40, 2), 9, 0.9)
    program = gradient_program(problem, np.linspace(-1, 1, 80), SF)
    assert program.kernel.totals == 2 * 80
    results = []
    for width in (1, 4, 8, 16):
        kernel = backends.compiled(program.kernel, "simd", width)
        out, work = backends.aligned((program.kernel.outputs, 64)), backends.workspace(program.kernel, 9, width)
        arrays = (program.theta, program.p, program.c, program.rows, np.uint64(3), np.uint64(0), 64 // width, width)
        kernel(*arrays, 9, np.zeros((0, 0)), work, out, np.zeros(1, dtype=np.int64))
        results.append(out)
    assert all(np.array_equal(x, results[0]) for x in results)


def test_perturbed_logits_of_tables_are_looked_up_on_every_machine():
    """Logits that differ between trajectories, or between rollouts alone, at a start that is the same for all."""
    problem = mg.Problem(mg.environments.random_walk(5), mg.policies.softmax(5, 2), horizon=8)
    theta = np.linspace(-0.5, 0.5, 10)
    chosen = {"ES": mg.estimators.evolution_strategies(0.5), "FD": mg.estimators.finite_differences(0.5, 10)}
    lanes, arrays = (mg.sample(problem, theta, chosen, 60, machine=machine) for machine in ("simd", "numpy"))
    for name in chosen:
        np.testing.assert_allclose(arrays[name], lanes[name], atol=1e-13)
        assert np.abs(lanes[name]).max() > 0.1
