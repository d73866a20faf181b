"""What can be neither followed nor scored is refused, with the reason."""

import numpy as np
import pytest
from one_step_problems import one_step, z_of
from support import SEED

import mcgrad as mg
from mcgrad import estimators as E


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
