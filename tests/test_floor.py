"""The floor of trajectories alone: who is on it, above it and below it, and that each says what it knows."""

import dataclasses

import numpy as np
import pytest
from support import CASES, SEED, reference_problem, standard_errors
from test_critics import chosen
from test_lq_cases import estimators as of_reference

import mcgrad as mg
from figures import style
from mcgrad import floor
from mcgrad.comparison import figure
from mcgrad.estimators import knowledge
from studies.ladder import RUNGS, scalar

E, B, EXACT = mg.estimators, mg.baselines, mg.critics.exact()
DR = E.doubly_robust()


def table(S=3, A=2, horizon=3, seed=0, ends=(2,), discount=0.9):
    """A small random table under a softmax policy, rewards random, the last state ends episodes."""
    rng = np.random.default_rng(seed)
    environment = mg.environments.tabular(
        rng.dirichlet(np.ones(S), size=(S, A)),
        rng.normal(size=(S, A, S, 2)),
        rng.dirichlet(np.ones(S)),
        reward_probability=rng.dirichlet(np.ones(2), size=(S, A, S)),
        ends=ends,
        terminal=rng.normal(size=S),
    )
    return mg.Problem(environment, mg.policies.softmax(S, A), horizon, discount), rng.normal(size=S * A)


def loud(std=2.0):
    """The scalar problem with much exploration, its scale learned: what the action decides of the gradient counts."""
    problem, _ = scalar()
    policy = mg.policies.linear_gaussian(1, 1, std=std, learn_std=True)
    return dataclasses.replace(problem, policy=policy), policy.theta([-0.6])


PROBLEMS = {"scalar": scalar, "loud": loud, "table": table}
UNBIASED = {
    "total": E.score_function(),
    "total, J": E.score_function(B.mean_return()),
    "to go": E.reward_to_go(),
    "to go, V": E.reward_to_go(B.value()),
    "to go, constant": E.reward_to_go(3.0),
    "to go, over time": E.reward_to_go(B.optimal_over_time()),
    "action": E.action_control_variate(),
    "action, wrong": E.action_control_variate(EXACT.wrong(scale=0.7, shift=0.5)),
    "trajectory": E.trajectory_control_variate(),
    "trajectory, wrong": E.trajectory_control_variate(EXACT.wrong(scale=1.4, shift=-0.5)),
    "doubly robust, wrong": E.doubly_robust(EXACT.wrong(scale=0.8, shift=0.3)),
    "gae, 1": E.generalized_advantage(1.0),
}
OUTSIDE = {
    "gae, .5": E.generalized_advantage(0.5),
    "advantage": E.advantage(),
    "all actions": E.all_actions(),
}
CONTINUOUS = {
    "to go, quadratic": E.reward_to_go(B.optimal_quadratic()),
    "Q-Prop": E.action_control_variate(first_order=True),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_all_that_is_unbiased_whatever_the_environment_has_one_covariance_with_doubly_robust(name):
    problem, theta = PROBLEMS[name]()
    tree = mg.exact.efficiency_bound(problem, theta, "tree")
    np.testing.assert_allclose(mg.exact.variance(problem, theta, DR), tree, rtol=1e-11)
    np.testing.assert_allclose(mg.exact.mean(problem, theta, DR), mg.exact.gradient(problem, theta), rtol=1e-12)
    inside, outside = dict(UNBIASED), dict(OUTSIDE)
    if name != "table":
        inside |= CONTINUOUS
        outside["pathwise"] = E.reparameterization()
    for key, X in inside.items():
        found = mg.exact.covariance(problem, theta, X, DR)
        np.testing.assert_allclose(found, tree, rtol=1e-9, atol=1e-14, err_msg=key)
        assert (mg.exact.variance(problem, theta, X) >= tree * (1 - 1e-9)).all()
        assert E.knows(X).has_floor, key
    for key, X in outside.items():
        found = mg.exact.covariance(problem, theta, X, DR)
        assert np.abs(found[:2] / tree[:2] - 1).max() > 1e-3, key
        assert not E.knows(X).has_floor


def test_a_critic_wrong_by_a_factor():
    problem, theta = scalar()
    found = mg.exact.variance(problem, theta, E.doubly_robust(EXACT.wrong(scale=0.8)))
    assert found[0] == pytest.approx(29.2462523294, rel=1e-10)
    to_go, bound = (
        mg.exact.variance(problem, theta, E.reward_to_go()),
        mg.exact.efficiency_bound(problem, theta, "tree"),
    )
    np.testing.assert_allclose(found, 0.04 * to_go + 0.96 * bound, rtol=1e-12)


@pytest.mark.parametrize("name", ["loud", "table"])
def test_doubly_robust_is_measured_as_it_is_known(name):
    problem, theta = PROBLEMS[name]()
    wrong = EXACT.wrong(scale=0.8, shift=0.3)
    chosen = {"exact": DR, "wrong": E.doubly_robust(wrong), "fitted": E.doubly_robust(mg.critics.fitted_model(512))}
    found = {k: mg.measure(problem, theta, {k: e}, 200_000, SEED)[k] for k, e in chosen.items()}  # one kernel
    gradient, visited = mg.exact.gradient(problem, theta), mg.exact.efficiency_bound(problem, theta, "tree") > 0
    for key in ("exact", "wrong"):
        variance = mg.exact.variance(problem, theta, chosen[key])
        part = _components(found[key], visited)
        assert standard_errors(part, gradient[visited], variance[visited]) < 5, key
        other = mg.exact.variance(problem, theta, E.trajectory_control_variate(chosen[key].critic))
        # Planted: without the news of the gradient; with another gradient
        assert standard_errors(part, gradient[visited], other[visited]) > 5 or name == "table"
        assert standard_errors(part, gradient[visited], 1.2 * variance[visited]) > 5
        assert standard_errors(part, 1.1 * gradient[visited], variance[visited]) > 5
    fitted = _components(found["fitted"], visited)
    assert (np.abs(fitted.mean - gradient[visited]) < 5 * fitted.stderr).all()
    excess = fitted.variance / mg.exact.efficiency_bound(problem, theta, "tree")[visited]
    assert (excess > 0.9).all() and (excess < 1.2).all()
    with pytest.raises(mg.exact.NoClosedForm):
        mg.exact.variance(problem, theta, chosen["fitted"], work=0)


def _components(x, chosen):
    arrays = {
        f.name: getattr(x, f.name)[chosen] for f in dataclasses.fields(x) if isinstance(getattr(x, f.name), np.ndarray)
    }
    return dataclasses.replace(x, **arrays)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_below_the_floor_are_none_but_those_that_say_so(case):
    problem, theta = reference_problem(case["system"])
    everything = of_reference(case, problem, theta) | chosen() | {name: rung.make() for name, rung in RUNGS.items()}
    everything |= {"doubly robust": DR, "trajectory": E.trajectory_control_variate()}
    tree, markov = (mg.exact.efficiency_bound(problem, theta, model) for model in ("tree", "markov"))
    assert (markov <= tree * (1 + 1e-10)).all()
    tiny, below = 1e-11 * mg.exact.variance(problem, theta, E.reward_to_go(B.value())), set()
    for estimator in everything.values():
        try:
            variance = mg.exact.variance(problem, theta, estimator, work=0)
        except mg.exact.NoClosedForm:
            continue
        variance = variance * E.estimator.rollouts(estimator, problem)
        if (variance < tree * (1 - 1e-9) - tiny).any():
            below.add(E.knows(estimator).kind)
    marked = {knowledge.ORACLE, knowledge.SIMULATOR, knowledge.OTHER_DATA, knowledge.ANOTHER_QUANTITY}
    assert below <= marked
    assert below or not (tree > tiny).any()


def test_every_estimator_says_what_it_knows():
    made = {
        "alpha_order": E.alpha_order(E.reparameterization(), E.reward_to_go(), 0.1),
        "antithetic": E.antithetic(E.reward_to_go()),
        "control_variate": E.control_variate(E.reward_to_go(), E.score()),
        "custom": E.custom(lambda c, x, carry: (carry, x.score)),
        "difference": E.difference(E.reward_to_go(), E.score_function()),
        "finite_differences": E.finite_differences(0.1, 2),
        "importance_weighted": E.importance_weighted([0.0]),
        "inverse_variance": E.inverse_variance(E.reparameterization(), E.reward_to_go()),
        "leave_one_out": E.leave_one_out(2),
        "mixture": E.mixture(E.reward_to_go(), E.reparameterization()),
        "natural": E.natural(E.reward_to_go()),
        "persistent_evolution_strategies": E.persistent_evolution_strategies(0.1, 2),
        "same_batch_mean": E.same_batch_mean(2),
        "score_hessian_vector_product": E.score_hessian_vector_product([1.0]),
        "short_horizon": E.short_horizon(2),
        "standardised": E.standardised(2),
        "clipped_ratio": E.clipped_ratio([0.0]),
        "truncated_reparameterization": E.truncated_reparameterization(2),
    }
    widths = {name: getattr(E, name)(0.1) for name in ("evolution_strategies", "spsa")}
    factories = [x for x in E.__all__ if x[0].islower() and x not in ("knows", *made, *widths)]
    made |= widths | {name: getattr(E, name)() for name in factories}
    kinds = {name: E.knows(estimator).kind for name, estimator in made.items()}
    assert [name for name, kind in kinds.items() if kind == knowledge.UNKNOWN] == ["custom"]
    assert kinds["control_variate"] == kinds["leave_one_out"] == kinds["doubly_robust"] == knowledge.TRAJECTORIES
    assert kinds["mixture"] == kinds["alpha_order"] == kinds["short_horizon"] == knowledge.SIMULATOR
    assert kinds["all_actions"] == kinds["q_function"] == kinds["value_gradient"] == knowledge.ORACLE
    assert E.knows(E.all_actions(mg.critics.fitted_model())).kind == knowledge.FITTED
    assert E.knows(E.measure_valued(critic=EXACT)).kind == knowledge.ORACLE
    assert kinds["importance_weighted"] == kinds["measure_valued"] == kinds["antithetic"] == knowledge.OTHER_DATA
    with pytest.raises(ValueError, match="estimator: expected an estimator, got int"):
        E.knows(3)


def test_the_lines_under_a_table():
    problem, theta = scalar()
    chosen = {"SF": E.reward_to_go(B.value()), "PW": E.reparameterization(), "all actions": E.all_actions()}
    first, second, *below = floor.footnotes(problem, theta, chosen)
    assert first.startswith("floor of trajectories alone: 15.15 for each rollout")
    assert second.startswith("11.38 if states are Markov")
    assert below == [
        "below it: PW (derivatives of the simulator)",
        "below it: all actions (an exact critic in place of the return: an oracle)",
        "critics in place of returns: all actions has 4.35 with the exact one. With one that is fitted to the same N "
        "trajectories, N times the variance comes back to 11.82 as N grows.",
    ]
    high = {"SF": 33.4, "PW": 100.0, "all actions": 100.0}
    assert floor.footnotes(problem, theta, chosen, high) == [first, second, below[-1]]
    assert floor.footnotes(problem, theta, {"SF": chosen["SF"]}) == [first, second]
    four = {"antithetic": E.antithetic(E.reparameterization(), "actions")}  # 5.66 of a sample, of two rollouts
    assert len(floor.footnotes(problem, theta, four)) == 3
    assert floor.footnotes(problem, theta, four, {"antithetic": 7.6}) == [first, second]
    known = floor.floor(problem, theta)
    assert known.fitted == pytest.approx(11.8243, rel=1e-5) and known.oracle == pytest.approx(4.35048787447)
    pendulum = mg.Problem(mg.environments.pendulum(), mg.policies.linear_gaussian(2, 1, std=0.3), 5)
    assert floor.footnotes(pendulum, pendulum.policy.theta([0.0, 0.0]), chosen) == []
    bandit = mg.Problem(mg.environments.bandit([1.0, 2.0], 0.5), mg.policies.softmax(1, 2), 1)
    bounds = [mg.exact.efficiency_bound(bandit, [0.0, 0.3], model) for model in ("tree", "markov", "stationary")]
    np.testing.assert_allclose(bounds, np.repeat(bounds[:1], 3, axis=0), rtol=1e-13)


def test_known_values_of_a_table():
    """Bounds of a small table, and all actions with a critic fitted to the same data; parameters come in equal pairs."""
    environment = mg.environments.tabular(
        [[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.3, 0.7]]],
        [[[1.0] * 2, [0.0] * 2], [[0.0] * 2, [2.0] * 2]],
        [0.6, 0.4],
    )
    problem = mg.Problem(environment, mg.policies.softmax(2, 2), 3, 0.9)
    theta, known = np.array([0.2, -0.1, 0.0, 0.4]), floor.floor
    for model, values in {
        "markov": (0.0388454280607, 0.183369746051),
        "tree": (0.0434381929451, 0.187743784885),
        "stationary": (0.0273582943361, 0.151968604356),
    }.items():
        np.testing.assert_allclose(mg.exact.efficiency_bound(problem, theta, model), np.repeat(values, 2), rtol=1e-9)
    assert known(problem, theta).fitted == pytest.approx(2 * (0.0438279859704 + 0.215723869704), rel=1e-9)
    assert known(problem, -theta).fitted != pytest.approx(2 * (0.0438279859704 + 0.215723869704), rel=1e-3)


def test_figures_mark_what_their_estimators_know():
    """The table of looks against `knows`, for all rungs of the ladder; labels, and the sentence that explains them."""
    marked = {name: E.knows(rung.make()).kind for name, rung in RUNGS.items()}
    marked = {name: kind for name, kind in marked.items() if kind != knowledge.TRAJECTORIES}
    assert style.TABLE["knows"] == marked | {"measure-valued": E.knows(E.measure_valued()).kind}
    assert set(style.TABLE["marks"]) == set(knowledge.KINDS) - {knowledge.TRAJECTORIES, knowledge.UNKNOWN}
    labels = [style.marked(name) for name in ("reparameterization", "reward to go", "all actions")]
    assert labels == [
        "reparameterization\N{HAIR SPACE}\N{DAGGER}",
        "reward to go",
        "all actions\N{HAIR SPACE}\N{DOUBLE DAGGER}",
    ]
    said = style.explained(labels)
    assert said == " \N{DAGGER}~derivatives of the simulator; \N{DOUBLE DAGGER}~a critic in place of returns."
    assert style.explained(["reward to go"]) == ""
    assert style.handle("reparameterization").get_label() == labels[0]


def test_a_comparison_prints_the_floor_and_recommends_no_oracle():
    """Critics exact and fitted, beside each other; with one fitted to the same data the variance comes back above the floor."""
    problem, theta = scalar()
    only = ("reward to go", "reward to go, mirrored actions", "pathwise")
    only += tuple(f"{name}, {kind} critic" for name in ("doubly robust", "all actions") for kind in ("exact", "fitted"))
    own = {"mine": E.custom(lambda c, x, carry: (carry, x.score))}
    found = mg.compare(problem, theta, own, only=(*only, "mine"), count=4000, seconds=0.001, machine="numpy")
    assert {row.estimator: row.knows for row in found.rows} == {
        "reward to go": "trajectories",
        "reward to go, mirrored actions": "other data",
        "pathwise": "simulator",
        "doubly robust, exact critic": "trajectories",
        "doubly robust, fitted critic": "trajectories",
        "all actions, exact critic": "oracle",
        "all actions, fitted critic": "fitted critic",
        "mine": "not known",
    }
    oracles = {row.estimator for row in found.rows if row.knows in ("oracle", "fitted critic")}
    best = min(found.rows, key=lambda row: row.variance)
    assert best.estimator in oracles | {"mine"}
    assert found.passes(found["all actions, exact critic"]) and not any(found.contends(found[name]) for name in oracles)
    text = str(found)
    assert "15.15 for each rollout, the tree bound" in text and "comes back to 11.82 as N grows" in text
    assert "below it: pathwise (derivatives of the simulator)" in text and "knows" in found.cells()[0]
    row = next(x for x in found.records() if x["estimator"] == "pathwise")
    assert row["knows"] == "simulator" and row["tree_bound"] == pytest.approx(15.1500138067)
    drawn = figure.draw(found)
    said = figure.caption(found)
    assert "floor is a variance of 15.15" in said and "\N{DAGGER}\N{NO-BREAK SPACE}derivatives of the simulator" in said
    labels = [x.get_text() for x in drawn.axes[0].get_yticklabels()]
    assert "pathwise\N{HAIR SPACE}\N{DAGGER}" in labels and "reward to go" in labels
    table = found.moments["pathwise"].table()
    assert set(table[table["estimator"] == "pathwise"]["knows"]) == {"simulator"}
    two = {"SF": E.reward_to_go(), "all": E.all_actions()}
    one, other = (mg.measure(problem, theta, two, 64, machine="numpy", start=start) for start in (0, 64))
    assert one.merge(other).table()["knows"].tolist() == ["trajectories", "oracle"]
    pairs = mg.measure(problem, theta, two, 64, machine="numpy", design=mg.designs.latin_hypercube(8))
    assert pairs.table()["knows"].tolist() == ["other data", "other data"]
    assert "knows" not in mg.moments.of_samples({"x": np.zeros((3, 1))}).table()


def test_what_is_recommended_with_exact_values_says_so():
    """On a bandit doubly robust is best, and all actions, which does not vary at all, is an oracle below the floor."""
    bandit = mg.Problem(mg.environments.bandit([1.0, 2.0, 0.0], 0.5), mg.policies.softmax(1, 3), 1)
    only = ("reward to go", "doubly robust, exact critic", "all actions, exact critic")
    found = mg.compare(bandit, [0.0, 0.1, 0.2], only=only, count=2000, seconds=0.001, machine="numpy")
    assert [row.exact_values for row in found.rows if row.estimator == "reward to go"] == [False]
    text = str(found)
    assert "below it: all actions, exact critic" in text
    best = found.contenders()[0].estimator
    assert ("With exact values, which few problems" in text) == (best == "doubly robust, exact critic")
    assert found["doubly robust, exact critic"].exact_values


def test_where_no_bound_is_known_the_reason_is_said():
    problem, theta = scalar()
    with pytest.raises(ValueError, match="model: expected 'markov', 'tree' or 'stationary', got str 'Markov'"):
        mg.exact.efficiency_bound(problem, theta, "Markov")
    two = mg.Problem(mg.environments.linear_quadratic(np.eye(2), [[0.0], [1.0]], np.eye(2), [[1.0]]),
                     mg.policies.linear_gaussian(2, 1, std=1.0), 3)  # fmt: skip
    with pytest.raises(mg.exact.NoClosedForm, match="ratio of densities, with a closed form for one state"):
        mg.exact.efficiency_bound(two, two.policy.theta([[0.1, 0.2]]), "stationary")
    with pytest.raises(mg.exact.NoClosedForm, match="not linear-quadratic"):
        mg.exact.efficiency_bound(mg.Problem(mg.environments.pendulum(), two.policy, 3), theta=[0.0, 0.0])
    certain = dataclasses.replace(problem, policy=mg.policies.linear_gaussian(1, 1, std=0.0))
    with pytest.raises(ValueError, match="policy does not explore"):
        mg.exact.efficiency_bound(certain, [-0.6])
    with pytest.raises(ValueError, match="expected a tabular or a linear-quadratic problem for a fitted model"):
        pendulum = mg.Problem(mg.environments.pendulum(), two.policy, 3)
        mg.sample(pendulum, [0.0, 0.0], {"it": E.doubly_robust(mg.critics.fitted_model())}, 16)
