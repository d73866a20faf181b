"""What a person sees of the things at a prompt: a few readable lines, never arrays and addresses of functions."""

import dataclasses
import inspect

import numpy as np
import pytest
from support import w1

import mcgrad as mg
from mcgrad.checks.findings import Finding, Report
from mcgrad.kernels import memo


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (w1()[0], ["horizon 50", "linear-quadratic n=4 m=2", "A[4, 4]", "K[0,0]", "(8)"]),
        (mg.environments.cart_pole(), ["cart-pole", "4 states", "one of 2 actions", "gravity"]),
        (mg.policies.softmax(3, 2), ["softmax S=3 A=2", "1 state,", "one of 2 actions"]),
        (mg.policies.gaussian(1, std=0.5), ["1 action,"]),
    ],
)
def test_problems_and_their_parts_are_readable(thing, words):
    for text in (repr(thing), str(thing)):
        assert len(text) < 500 and len(text.splitlines()) < 6
        assert "array(" not in text and " at 0x" not in text
        assert all(word in text for word in words), text


def results():
    """Return {name: (what a function returned, words that its text has)}: all that is returned to users, but for arrays."""
    problem, theta = w1()[:2]
    e, b = mg.estimators, mg.baselines
    scalar = mg.Problem(
        mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]]),
        mg.policies.linear_gaussian(1, 1, std=0.5),
        5,
    )
    table = mg.Problem(mg.environments.random_walk(5), mg.policies.softmax(5, 2), horizon=8)
    logits, gain = np.zeros(10), [-0.6]
    moments = mg.exact.moments(scalar, gain, {"to go": e.reward_to_go(), "PW": e.reparameterization()})
    measured = mg.measure(scalar, gain, {"PW": e.reparameterization()}, 1000, machine="numpy")
    climbed = mg.ascend(
        scalar,
        gain,
        e.reparameterization(),
        batch=4,
        steps=3,
        optimizer=mg.optimizers.sgd(0.01),
        seeds=3,
        machine="numpy",
    )
    finding = Finding("score", "wrong", "it is off\nby much", {"z": np.ones(1000)})
    return {
        "rollout": (
            mg.rollout(problem, theta, 10, machine="numpy"),
            ["10 trajectories of 50 steps", "(10, 51, 4)", "noise"],
        ),
        "noise": (mg.rollout(scalar, gain, 10, machine="numpy").noise, ["action", "(10, 5, 1)"]),
        "ascent": (climbed, ["3 seeds, 3 steps, 1 parameter", "at the start"]),
        "moments": (measured, ["1 estimator, 1 parameter", "PW"]),
        "estimate": (measured["PW"], ["1,000 samples", "K[0,0]", "+-"]),
        "report": (Report((finding,)), ["score     WRONG  it is off"]),
        "finding": (finding, ["score     WRONG  it is off", "by much"]),
        "fisher": (mg.fisher(scalar, gain, 100, machine="numpy"), ["1 parameter", "100 trajectories", "trace"]),
        "value": (mg.exact.value(scalar, gain), ["closed form", "1 state variable", "P", "J"]),
        "table of values": (mg.exact.value(table, logits), ["table", "V", "(9, 5)"]),
        "critic": (mg.exact.critic(problem, theta), ["4 state variables and 2 actions", "F", "(50, 2, 4)"]),
        "critic of no closed form": (mg.exact.critic(*well()), ["1 state variable and 1 action", "J"]),
        "differential value": (mg.exact.differential_value(scalar, gain), ["1 state variable", "P"]),
        "news": (mg.exact.gradient_news(table, logits), ["N", "(8, 5, 2, 10)"]),
        "system": (mg.exact.system(problem, theta), ["Linear-quadratic", "A ", "(4, 4)"]),
        "table": (mg.exact.system(table, logits), ["Tabular", "P ", "(5, 2, 5)"]),
        "exact moments": (moments, ["2 estimators", "PW     mean ["]),
        "exact estimate": (moments["PW"], ["mean", "variance"]),
        "behaviour": (mg.best_behaviour(scalar, gain, e.importance_weighted(gain)), ["importance_weighted([", "scale"]),
        "optimum": (mg.exact.optimum(scalar, gain), ["gain", "objective"]),
        "until": (mg.until(0.01, after=measured), ["until(variance=0.01,", "after=1,000 trajectories"]),
        "variant": (e.RolloutVariant(action=-1), ["RolloutVariant(action=-1)"]),
        "behaviour policy": (e.BehaviourPolicy((0.5,)), ["BehaviourPolicy(theta=[0.5])"]),
        "one of one's own": (Own(2.0), ["Own(factor=2)"]),
        "an estimator": (e.mixture(e.reward_to_go(b.value()), e.score()), ["mixture(reward_to_go(value()), score())"]),
    }


def well():
    """Return (problem, theta): one without closed forms."""
    policy = mg.policies.linear_features(lambda s: (s[0], 1.0), 1, 1, std=0.5)
    return mg.Problem(mg.environments.double_well(), policy, horizon=2), [-0.3, 0.5]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Own(mg.estimators.Estimator):
    """An estimator of one's own."""

    factor: float
    other: str = "as ever"


def test_results_are_readable():
    for name, (thing, words) in results().items():
        text = repr(thing)
        assert len(text) < 600 and len(text.splitlines()) < 20, name
        assert "array(" not in text and " at 0x" not in text and "mappingproxy" not in text, name
        assert str(thing) == text and all(word in text for word in words), (name, text)


@pytest.mark.parametrize(
    "call",
    [
        "score_function()",
        "score_function(0.5)",
        "reward_to_go(baseline=value())",
        "reward_to_go(optimal_constant(base=value()))",
        "reward_to_go(fitted_value(64, degree=1))",
        "score_function(total_optimal_constant(value()))",
        "advantage(exact().wrong(scale=1.2, oscillation=(0.1, 3)))",
        "leave_one_out(4)",
        "spsa(0.1)",
        "generalized_advantage(0.9, critic=mean_to_go())",
        "control_variate(reward_to_go(), score(), pilot=64)",
        "antithetic(reparameterization(), 'actions')",
        "truncated_reparameterization(3)",
        "importance_weighted([-0.5, 0.1], 'per decision')",
        "natural(difference(score(), delta(2)), pilot=64)",
    ],
)
def test_estimators_print_as_they_were_called(call):
    e, b, c = mg.estimators, mg.baselines, mg.critics
    names = {name: getattr(room, name) for room in (e, b, c) for name in room.__all__}
    assert repr(eval(call, names)) == call


def test_every_function_that_makes_one_remembers_its_call():
    """All of them are decorated: one that is not would print its fields."""
    for room in (mg.estimators, mg.baselines, mg.critics):
        functions = {name: getattr(room, name) for name in room.__all__ if inspect.isfunction(getattr(room, name))}
        assert [k for k, f in functions.items() if not hasattr(f, "__wrapped__")] == ["knows"] * (room is mg.estimators)


def test_a_long_argument_is_short_in_print():
    assert repr(mg.estimators.reward_to_go([0.5] * 50)) == "reward_to_go([0.5, 0.5, 0.5, 0.5, ... (50)])"
    assert repr(mg.estimators.custom(lambda c, x, carry: ((), x.score), data={"b": np.ones((3, 3))})) == (
        "custom(lambda, data={'b': array (3, 3)})"
    )


def test_a_call_is_no_part_of_what_a_kernel_depends_on():
    problem, _ = w1()
    one, other = (
        mg.estimators.reward_to_go(mg.baselines.fitted_value(64)),
        mg.estimators.reward_to_go(mg.baselines.fitted_value(pilot=128)),
    )
    assert repr(one) != repr(other) and memo.key_of("", problem, [one]) == memo.key_of("", problem, [other]) is not None
