"""One rule for what theta does through densities and along paths; witnesses are closed forms, enumeration and quadrature."""

import math

import numpy as np
import pytest
import random_graphs
from one_step_problems import z_of
from support import SEED

import mcgrad as mg
from mcgrad import estimators as E
from mcgrad.estimators import kinds
from mcgrad.kernels.program import gradient_program

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
    assert isinstance(E.computation_graph(), kinds.RewardToGo)
    assert isinstance(E.computation_graph("all"), kinds.Reparameterization)
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


def test_quadrature_is_a_witness_of_what_is_followed():
    graph = random_graphs.random_graph(2 + 7, nodes=60)  # Gaussian, function; the reward sees eta
    estimators = {"to go": E.reward_to_go(), "SF": E.score_function(0.3), "PW": E.reparameterization(), "Z": E.score()}
    exact = mg.exact.quadrature(graph.problem, graph.theta, estimators, nodes=60, tolerance=1e-3)
    found = mg.measure(graph.problem, graph.theta, estimators, 40_000, SEED, machine="numpy")
    for name in estimators:
        mean, variance = exact[name]
        if name != "Z":
            np.testing.assert_allclose(mean, graph.gradient, rtol=1e-6, atol=1e-8)
        assert z_of(found[name], mean) < 5.0
        assert np.all(np.abs(found[name].variance - variance) < 5.0 * found[name].variance_stderr + 1e-9), name
