"""One rule for what theta does through densities and along paths; witnesses are closed forms, enumeration and quadrature."""

import math

import numpy as np
import pytest
import random_graphs
from quadrature import quadrature
from support import SEED

import mcgrad as mg
from mcgrad import estimators as E
from mcgrad.gym import as_gymnasium
from mcgrad.kernels.program import gradient_program


def z_of(found, truth):
    """Return the largest deviation of a mean from the truth in standard errors."""
    return np.max(np.abs(found.mean - truth) / np.maximum(found.stderr, 1e-10 * (1.0 + np.abs(truth))))


def one_step(actions=1, reward=None, **options):
    """Return an environment of one step from the state 0."""
    return mg.Environment(
        states=1, actions=actions, init=lambda p, z: (0.0,), step=lambda p, s, a, w: s, reward=reward, **options
    )


# ---- random problems


@pytest.mark.parametrize("k", range(9))
def test_every_estimator_has_the_enumerated_gradient(k):
    z, _ = random_graphs.deviations(k + 9 * (SEED - 20) % 900, 20_000)
    for name, deviation in z.items():
        assert np.abs(deviation).max() < 5.0, name


def test_a_score_alone_would_be_seen():
    """What is dropped where components are not followed is far more than five standard errors."""
    graph = random_graphs.random_graph(0)
    assert graph.function is not None

    def step(c, x, later):
        x.follow((0.0,) * len(x.s), 0.0)  # whoever asks for derivatives has to see to them all
        to_go = later + x.reward
        return to_go, tuple(to_go * z for z in x.score)

    alone = E.custom(step, lambda c, end: end.reward)
    free = mg.Problem(graph.problem.environment, _without_reason(graph.problem.policy), 2, 0.9)
    found = mg.measure(free, graph.theta, {"alone": alone, "followed": E.reward_to_go()}, 20_000, SEED, machine="numpy")
    assert z_of(found["alone"], graph.gradient) > 10.0
    assert z_of(found["followed"], graph.gradient) < 5.0


def _without_reason(policy):
    return mg.Policy(**{x: getattr(policy, x) for x in policy.__dataclass_fields__} | {"no_pathwise": None})


def test_compiled_and_not_compiled_agree():
    graph = random_graphs.random_graph(0)
    estimators = {"a": E.computation_graph((graph.gaussian,)), "b": E.score_function(), "c": E.leave_one_out(2)}
    simd, numpy = (mg.sample(graph.problem, graph.theta, estimators, 64, machine=x) for x in ("simd", "numpy"))
    for name in estimators:
        np.testing.assert_allclose(simd[name], numpy[name], rtol=1e-11, atol=1e-12)


# ---- ends of the line


def test_ends_of_the_line():
    assert isinstance(E.computation_graph(), E.RewardToGo)
    assert isinstance(E.computation_graph("all"), E.Reparameterization)
    graph = random_graphs.random_graph(2)  # Gaussian and function
    pairs = {
        "all": E.computation_graph("all"),
        "both": E.computation_graph((0, 1)),
        "always": E.computation_graph((0,), times=(0, 1)),
        "pathwise": E.reparameterization(),
        "never": E.computation_graph((0,), times=()),
        "to go": E.reward_to_go(),
    }
    g = mg.sample(graph.problem, graph.theta, pairs, 200, machine="numpy")
    for name in ("all", "both", "always"):
        np.testing.assert_allclose(g[name], g["pathwise"], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(g["never"], g["to go"], rtol=1e-9, atol=1e-11)


def test_where_theta_moves_nothing_along_paths_no_adjoint_is_carried():
    problem = mg.Problem(mg.environments.pendulum(), mg.policies.linear_gaussian(2, 1, std=0.3), 5)
    text = gradient_program(problem, [0.1, 0.2], {"SF": E.score_function(), "loo": E.leave_one_out(2)}).kernel.text
    carried = [line for line in text.splitlines() if line.startswith("    return (to_go")]
    assert carried and all(line.count(",") <= 4 for line in carried)  # a return, and two scores


def test_vibrato_sees_a_reward_that_jumps_at_the_end():
    """Two Gaussian steps and a reward for ending above 1: P = 1 - Phi((1 - 2 mu) / sqrt 2), dP/dmu = 2 phi / sqrt 2."""
    environment = mg.Environment(
        states=1,
        actions=1,
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: a,
        reward=lambda p, s, a, s_next, w: 0.0,
        terminal=lambda p, s: mg.where(s[0] > 1.0, 1.0, 0.0),
    )
    walk = mg.Policy(
        states=1,
        actions=1,
        noises=1,
        parameters=("mu",),
        eta=lambda p, theta, s: (s[0] + theta[0],),
        sample=lambda p, eta, e: (eta[0] + e[0],),
        log_prob=lambda p, eta, a: -0.5 * (a[0] - eta[0]) ** 2,
    )
    problem, mu = mg.Problem(environment, walk, 2), 0.2
    wanted = {
        "vibrato": E.computation_graph("all", times=[0]),
        "path": E.reparameterization(),
        "score": E.reward_to_go(),
    }
    with pytest.warns(mg.DiscontinuityWarning, match="no derivative sees mu: "):
        found = mg.measure(problem, [mu], wanted, 40_000, SEED)
    truth = 2.0 / math.sqrt(2.0) * math.exp(-((1.0 - 2.0 * mu) ** 2) / 4.0) / math.sqrt(2.0 * math.pi)
    assert z_of(found["vibrato"], truth) < 5.0
    assert z_of(found["score"], truth) < 5.0
    assert found["path"].mean[0] == 0.0  # blind to the jump


# ---- rewards that see the policy


def test_entropy_regularised_bandit():
    """J = sum_k pi_k q_k + tau H(pi), dJ/dtheta_j = pi_j (q_j - tau log pi_j - sum_k pi_k (q_k - tau log pi_k))."""
    q, tau, theta = np.array([1.0, 0.2, -0.5]), 0.7, np.array([0.3, -0.2, 0.1])
    pi = np.exp(theta) / np.exp(theta).sum()
    soft = q - tau * np.log(pi)
    truth = pi * (soft - pi @ soft)
    table = {"q": q}
    by_log_prob = one_step(
        reward=lambda p, s, a, s_next, w, log_prob: mg.lookup(p.q, a[0]) - tau * log_prob, choices=3, params=table
    )

    def with_entropy(p, s, a, s_next, w, eta):
        weights = [np.exp(x) for x in eta]
        total = sum(weights)
        return mg.lookup(p.q, a[0]) - tau * sum(x / total * np.log(x / total) for x in weights)

    by_eta = one_step(reward=with_entropy, choices=3, params=table)
    for environment in (by_log_prob, by_eta):
        problem = mg.Problem(environment, mg.policies.softmax(1, 3), 1)
        estimators = {"SF": E.score_function(), "to go": E.reward_to_go(0.5), "loo": E.leave_one_out(2)}
        found = mg.measure(problem, theta, estimators, 40_000, SEED, machine="numpy")
        for name in estimators:
            assert z_of(found[name], truth) < 5.0, name


def test_entropy_bonus_of_a_linear_quadratic_problem():
    """The entropy of a Gaussian is a constant plus its log std: the bonus adds tau sum_t gamma^t to that derivative alone."""
    tau, T, gamma = 0.5, 6, 0.9
    plain = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    policy = mg.policies.linear_gaussian(1, 1, std=0.5, learn_std=True)
    theta = policy.theta([-0.6])
    truth = mg.exact.gradient(mg.Problem(plain, policy, T, gamma), theta)
    truth = truth + [0.0, tau * sum(gamma**t for t in range(T))]
    own = plain.reward
    bonus = {
        "eta": lambda p, s, a, s_next, w, eta: own(p, s, a, s_next, w) + tau * eta[1],
        "log_prob": lambda p, s, a, s_next, w, log_prob: own(p, s, a, s_next, w) - tau * log_prob,
    }
    for name, reward in bonus.items():
        environment = mg.Environment(**{x: getattr(plain, x) for x in plain.__dataclass_fields__} | {"reward": reward})
        problem = mg.Problem(environment, policy, T, gamma)
        estimators = {"to go": E.reward_to_go(), "pathwise": E.reparameterization(), "ES": E.evolution_strategies(0.01)}
        found = mg.measure(problem, theta, estimators, 40_000, SEED, machine="numpy")
        for x in estimators:
            assert z_of(found[x], truth) < 5.0, (name, x)
        with pytest.raises(mg.exact.NoClosedForm):  # the theory knows another reward
            mg.exact.gradient(problem, theta)


def kl_problem(k, reference):
    """Return one softmax choice with the reward -k(log p / reference) as estimates of the KL divergence go."""

    def reward(p, s, a, s_next, w, log_prob):
        return -k(log_prob - mg.lookup(p.reference, a[0]))

    return mg.Problem(
        one_step(reward=reward, choices=3, params={"reference": np.log(reference)}), mg.policies.softmax(1, 3), 1
    )


def test_kl_in_the_loss_and_in_the_reward():
    """k1 = log p/r, k2 = k1^2 / 2, k3 = r/p - 1 + k1, enumerated: in the loss with sampled actions as data, or as a reward."""
    reference, theta = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.1, -0.6])
    pi = np.exp(theta) / np.exp(theta).sum()
    ratio = np.log(pi / reference)
    scores = np.eye(3) - pi
    slope_of_kl = pi * (ratio - pi @ ratio)
    kinds = {
        "k1": (lambda x: x, ratio, np.ones(3)),
        "k2": (lambda x: 0.5 * x * x, 0.5 * ratio**2, ratio),
        "k3": (lambda x: np.exp(-x) - 1.0 + x, np.exp(-ratio) - 1.0 + ratio, 1.0 - np.exp(-ratio)),
    }
    for name, (k, value, slope) in kinds.items():
        in_loss = -(pi * slope) @ scores
        in_reward = in_loss - (pi * value) @ scores
        problem = kl_problem(k, reference)
        estimators = {"loss": E.direct_derivative(), "reward": E.reward_to_go()}
        found = mg.measure(problem, theta, estimators, 40_000, SEED, machine="numpy")
        assert z_of(found["loss"], in_loss) < 5.0, name
        assert z_of(found["reward"], in_reward) < 5.0, name
        if name == "k1":
            np.testing.assert_allclose(in_loss, 0.0, atol=1e-15)  # exactly nothing, though its value is the divergence
        if name in ("k1", "k3"):
            np.testing.assert_allclose(in_reward, -slope_of_kl, atol=1e-15)
        if name == "k2":
            np.testing.assert_allclose(in_loss, -slope_of_kl, atol=1e-15)  # right in the loss, wrong as a reward


# ---- parameters of the environment


def black_scholes(payoff, T=4):
    market = mg.Environment(
        states=1,
        actions=0,
        noises=1,
        params={"S0": 100.0, "sigma": 0.2, "strike": 100.0},
        init=lambda p, z: (np.log(p.S0),),
        step=lambda p, s, a, w: (s[0] + (0.05 - 0.5 * p.sigma**2) / T + p.sigma / math.sqrt(T) * w[0],),
        reward=lambda p, s, a, s_next, w: 0.0,
        terminal=lambda p, s: math.exp(-0.05) * payoff(np.exp(s[0]), p.strike),
    )
    return mg.Problem(market, None, T, design=("strike", "S0", "sigma"))


def test_black_scholes():
    """Delta Phi(d1), vega S phi(d1), derivative in the strike -exp(-r) Phi(d2)."""
    d1 = (0.05 + 0.02) / 0.2
    phi, Phi = math.exp(-0.5 * d1 * d1) / math.sqrt(2 * math.pi), lambda x: 0.5 * math.erfc(-x / math.sqrt(2))
    truth = np.array([-math.exp(-0.05) * Phi(d1 - 0.2), Phi(d1), 100.0 * phi])
    problem = black_scholes(lambda x, strike: np.maximum(x - strike, 0.0))
    np.testing.assert_array_equal(problem.design_values, [100.0, 100.0, 0.2])
    assert problem.parameters == ("strike", "S0", "sigma")
    estimators = {"pathwise": E.reparameterization(), "mirrored": E.antithetic(E.reparameterization())}
    estimators |= {"short": E.truncated_reparameterization(4), "differences": E.finite_differences(1e-3, 3)}
    found = mg.measure(problem, problem.design_values, estimators, 40_000, SEED)
    for name in estimators:
        assert z_of(found[name], truth) < 5.0, name
    with pytest.raises(ValueError, match="there are no actions"):
        mg.measure(problem, problem.design_values, {"SF": E.score_function()}, 10)
    with pytest.raises(mg.exact.NoClosedForm):
        mg.exact.gradient(problem, problem.design_values)


def test_design_beside_a_policy_is_the_action_that_is_theta():
    """The mass as a component of theta gives, sample by sample, what a component of the action gives that is theta."""

    def environment(mass, **options):
        return mg.Environment(
            states=1,
            noises=1,
            initial_noises=1,
            init=lambda p, z: (1.0 + z[0],),
            step=lambda p, s, a, w: (0.9 * s[0] + a[0] / mass(p, a) + 0.1 * w[0],),
            reward=lambda p, s, a, s_next, w: -(s_next[0] ** 2 + 0.1 * a[0] ** 2) - 0.05 * mass(p, a),
            **options,
        )

    trick = mg.Policy(
        states=1,
        actions=2,
        noises=1,
        parameters=("K", "m"),
        eta=lambda p, theta, s: (theta[0] * s[0], theta[1]),
        sample=lambda p, eta, e: (eta[0] + 0.5 * e[0], eta[1]),
        log_prob=lambda p, eta, a: -2.0 * (a[0] - eta[0]) ** 2,
    )
    design = environment(lambda p, a: p.mass, actions=1, params={"mass": 1.5})
    direct = mg.Problem(design, mg.policies.linear_gaussian(1, 1, std=0.5), 6, design=["mass"])
    by_action = mg.Problem(environment(lambda p, a: a[1], actions=2), trick, 6)
    estimators = {
        "SF": E.score_function(1.0),
        "to go": E.reward_to_go(),
        "PW": E.reparameterization(),
        "loo": E.leave_one_out(2),
    }
    theta = [-0.4, 1.5]
    ours, theirs = (mg.sample(x, theta, estimators, 100, machine="numpy") for x in (direct, by_action))
    for name in estimators:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-10, atol=1e-12, err_msg=name)
    states = mg.rollout(direct, theta, 20).states
    np.testing.assert_allclose(states, mg.rollout(by_action, theta, 20).states, rtol=1e-12, atol=1e-14)
    assert np.abs(states - mg.rollout(direct, [-0.4, 2.0], 20).states).max() > 0.01


def test_arrays_and_ends_as_design_parameters():
    """J = E[(k1 z + k0) 1(step before the wall)] with arrays in theta, a wall in `done`: derivatives against differences."""
    environment = mg.Environment(
        states=2,
        actions=0,
        noises=1,
        initial_noises=1,
        params={"k": [0.5, 0.3], "rate": 0.8},
        init=lambda p, z: (p.k[0] + p.k[1] * z[0], 0.0),
        step=lambda p, s, a, w: (p.rate * s[0] + 0.1 * w[0], s[1] + 1.0),
        reward=lambda p, s, a, s_next, w: np.sin(s_next[0]) * p.k[1],
        done=lambda p, s: s[1] >= 3.0,
        terminal=lambda p, s: 7.0 * s[0],
    )
    problem = mg.Problem(environment, None, 5, 0.9, design=("rate", "k"))
    assert problem.parameters == ("rate", "k[0]", "k[1]")
    estimators = {"PW": E.reparameterization(), "FD": E.finite_differences(1e-5, 3)}
    g = mg.sample(problem, problem.design_values, estimators, 32)
    np.testing.assert_allclose(g["PW"], g["FD"], rtol=1e-6, atol=1e-8)


# ---- what cannot be right is refused


def two_actions(sample, **options):
    """Return a problem with two actions, eta = theta, and a density that covers the first one alone."""
    policy = mg.Policy(
        states=1,
        actions=2,
        noises=1,
        uniforms=1,
        parameters=("a", "b"),
        eta=lambda p, theta, s: tuple(theta),
        sample=sample,
        log_prob=lambda p, eta, a: -0.5 * (a[0] - eta[0]) ** 2,
        name="two actions",
    )
    return mg.Problem(one_step(2, lambda p, s, a, s_next, w: -(a[0] ** 2) - a[1] ** 2, **options), policy, 1)


@pytest.mark.parametrize(
    "sample",
    [
        lambda p, eta, e: (eta[0] + e[0], eta[0] + e[0] + eta[1]),
        lambda p, eta, e: (eta[0] + e[0], mg.where(e[1] < 0.3, eta[0], eta[1])),
        lambda p, eta, e: (eta[0] + e[0], np.maximum(e[1], 0.5 + eta[1])),
        lambda p, eta, e: (eta[0] + e[0], -0.5 * e[0] ** 2 - eta[1]),
    ],
    ids=["a sum with theta", "a choice between learned values", "cut off at a learned limit", "its own log density"],
)
def test_actions_without_a_density_are_refused(sample):
    with pytest.raises(ValueError, match="component 1 of the action of two actions has values that move with eta"):
        mg.measure(two_actions(sample), [0.3, 0.2], {"to go": E.reward_to_go()}, 10, machine="numpy")


@pytest.mark.parametrize(
    "sample",
    [
        lambda p, eta, e: (eta[0] + e[0], np.tanh(eta[0] + e[0])),
        lambda p, eta, e: (eta[0] + e[0], mg.where(e[1] < 0.3, 1.0, 0.0)),
        lambda p, eta, e: (eta[0] + e[0], eta[1]),
        lambda p, eta, e: (eta[0] + e[0], mg.where(e[1] < eta[1], 1.0, 0.0)),
        lambda p, eta, e: (eta[0] + e[0], 3.0),
        lambda p, eta, e: (eta[0] + 1e-9 * e[0], 1e9 * (eta[0] + 1e-9 * e[0])),
    ],
    ids=["a function of the other", "a choice", "a function of eta", "a learned choice", "a constant", "units"],
)
def test_others_are_not(sample):
    found = mg.measure(two_actions(sample), [0.3, 0.2], {"to go": E.reward_to_go()}, 10, machine="numpy")
    assert found["to go"].count == 10


def test_a_function_of_the_other_action_may_be_followed_by_name():
    problem = two_actions(lambda p, eta, e: (eta[0] + e[0], eta[0] + e[0] + eta[1]))
    theta = np.array([0.3, 0.2])  # J = -(a^2 + 1) - ((a + b)^2 + 1)
    truth = np.array([-2 * theta[0] - 2 * theta.sum(), -2 * theta.sum()])
    estimators = {"by name": E.computation_graph((1,)), "pathwise": E.reparameterization()}
    found = mg.measure(problem, theta, estimators, 40_000, SEED, machine="numpy")
    assert z_of(found["by name"], truth) < 5.0
    assert z_of(found["pathwise"], truth) < 5.0


def test_what_cannot_be_followed_is_refused():
    choice = two_actions(lambda p, eta, e: (eta[0] + e[0], mg.where(e[1] < 0.3, 1.0, 0.0)))
    shared = two_actions(lambda p, eta, e: (eta[0] + e[0], e[0] * eta[1]))
    many = two_actions(lambda p, eta, e: (eta[0] + 0.5 * e[0] + e[1], mg.where(e[1] < 0.3, 1.0, 0.0)))
    for problem, path, message in (
        (choice, (1,), "component 1 of .* a discrete choice has no derivative"),
        (shared, (1,), r"it shares its noise e\[0\]"),
        (many, (0,), "cannot be followed while others are scored"),
        (choice, (2,), "path: expected components of the action from 0 to 1, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            mg.measure(problem, [0.3, 0.2], {"x": E.computation_graph(path)}, 10, machine="numpy")
    with pytest.raises(ValueError, match="times: expected numbers from -1 to 0, got 3"):
        mg.measure(choice, [0.3, 0.2], {"x": E.computation_graph((0,), times=[3])}, 10, machine="numpy")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: E.computation_graph("some"),
            "path: expected a sequence of components of the action .or .all.., got str",
        ),
        (lambda: E.computation_graph(1), "path: expected a sequence of components"),
        (lambda: E.computation_graph((-1,)), "path: expected a whole number >= 0, got -1"),
        (lambda: E.computation_graph((0.5,)), "path: expected a whole number"),
        (lambda: E.computation_graph("all", times=3), "times: expected a sequence of times"),
        (
            lambda: E.computation_graph((0,), mg.baselines.optimal_quadratic()),
            "baseline: expected one that is not optimal",
        ),
        (lambda: E.computation_graph((0,), "b"), "baseline: "),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_weights_after_the_pull_back_and_behaviours_are_refused():
    problem = two_actions(lambda p, eta, e: (eta[0] + e[0], eta[1]))
    for e in (E.importance_weighted([0.1, 0.1]), E.importance_weighted([0.1, 0.1], "per decision")):
        with pytest.raises(ValueError, match="no importance weights here"):
            mg.measure(problem, [0.3, 0.2], {"x": e}, 10, machine="numpy")
    for e in (E.inverse_variance_per_step(), E.score_hessian_vector_product([1.0, 0.0])):
        with pytest.raises(ValueError, match="expected a problem whose theta acts through densities alone"):
            mg.measure(problem, [0.3, 0.2], {"x": e}, 10, machine="numpy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"design": "mass"}, "design: expected a sequence of names"),
        ({"design": ("m",)}, "design: expected names among the params of environment .mass, k., got 'm'"),
        ({"design": ("mass", "mass")}, "design: expected different names"),
        ({"policy": mg.policies.gaussian(1, 1.0)}, "policy: expected one for 0 actions"),
        ({"design": ()}, "policy: expected a Policy, got None"),
    ],
)
def test_bad_designs(options, message):
    environment = mg.Environment(
        states=1,
        actions=0,
        params={"mass": 1.0, "k": [1.0, 2.0]},
        init=lambda p, z: (0.0,),
        step=lambda p, s, a, w: s,
        reward=lambda p, s, a, s_next, w: p.mass,
    )
    with pytest.raises(ValueError, match=message):
        mg.Problem(environment, **{"policy": None, "horizon": 1, "design": ("mass",)} | options)


def test_rewards_that_see_the_policy_are_described():
    with pytest.raises(ValueError, match="reward: expected eta as an ordinary argument"):
        one_step(reward=lambda p, s, a, s_next, w, *, eta: 0.0)
    problem = mg.Problem(
        one_step(reward=lambda p, s, a, s_next, w, log_prob: log_prob), mg.policies.gaussian(1, 0.0), 1
    )
    with pytest.raises(ValueError, match="no density here: a standard deviation of the policy is 0"):
        mg.measure(problem, [0.1], {"PW": E.reparameterization()}, 10, machine="numpy")


def test_quadrature_is_a_witness_of_what_is_followed():
    graph = random_graphs.random_graph(2 + 7, nodes=60)  # Gaussian, function; the reward sees eta
    estimators = {"to go": E.reward_to_go(), "SF": E.score_function(0.3), "PW": E.reparameterization(), "Z": E.score()}
    exact = quadrature(graph.problem, graph.theta, estimators, nodes=60, tolerance=1e-3)
    found = mg.measure(graph.problem, graph.theta, estimators, 40_000, SEED, machine="numpy")
    for name in estimators:
        mean, variance = exact[name]
        if name != "Z":
            np.testing.assert_allclose(mean, graph.gradient, rtol=1e-6, atol=1e-8)
        assert z_of(found[name], mean) < 5.0
        assert np.all(np.abs(found[name].variance - variance) < 5.0 * found[name].variance_stderr + 1e-9), name


def test_gym_and_directions_refuse_what_they_do_not_know():
    problem = mg.Problem(one_step(reward=lambda p, s, a, s_next, w, eta: eta[0]), mg.policies.gaussian(1, 1.0), 1)
    with pytest.raises(ValueError, match="rewards that see the policy"):
        mg.directional(problem, [1.0])
    with pytest.raises(ValueError, match="rewards that see the policy"):
        as_gymnasium(problem.environment)
    with pytest.raises(ValueError, match="no actions"):
        as_gymnasium(black_scholes(lambda x, strike: x).environment)
