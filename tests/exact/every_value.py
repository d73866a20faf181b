"""Every estimator on every kind of problem that has a theory: what `mcgrad.exact` says of it, as numbers to keep.

python tests/exact/every_value.py            which (estimator, problem) pairs have a mean and a variance
python tests/exact/every_value.py --write    store the values (tests/reference/exact_values.json)
"""

import inspect
import json
import pathlib
import sys
import warnings

import numpy as np

import mcgrad as mg
from mcgrad.baselines.accepted import as_baseline
from mcgrad.estimators import kinds

E, B, C, ENV, POL = mg.estimators, mg.baselines, mg.critics, mg.environments, mg.policies
STORED = pathlib.Path(__file__).parents[1] / "reference" / "exact_values.json"
DIGITS = 12


def problems():
    """Return {name: (problem, theta)}."""
    scalar = ENV.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    A, Bm = [[1.0, 0.2], [-0.1, 0.9]], [[0.1, 0.0], [0.5, 0.3]]
    plane = ENV.linear_quadratic(
        A,
        Bm,
        [[1.0, 0.3], [0.3, 0.5]],
        [[0.2, 0.05], [0.05, 0.1]],
        terminal_cost=[[0.4, 0.0], [0.0, 0.2]],
        process_noise=[[0.05, 0.01], [0.01, 0.02]],
        initial_mean=[0.5, -1.0],
        initial_cov=[[0.3, 0.1], [0.1, 0.2]],
    )
    quiet = ENV.linear_quadratic([[1.1]], [[1.0]], [[1.0]], [[0.2]], initial_mean=[1.0], initial_cov=[[0.0]])
    rng = np.random.default_rng(3)
    P = rng.random((3, 2, 3))
    P /= P.sum(axis=2, keepdims=True)
    table = ENV.tabular(P, rng.normal(size=(3, 2, 3)), [0.5, 0.3, 0.2], ends=[2], terminal=[0.3, -0.4, 0.0])
    K = [[-0.5, -0.3], [0.2, -0.6]]
    tables = POL.softmax(3, 2)
    return {
        "lq": (mg.Problem(scalar, POL.linear_gaussian(1, 1, std=0.5), 5), [-0.6]),
        "lq scale": (mg.Problem(scalar, POL.linear_gaussian(1, 1, std=0.5, learn_std=True), 3, 0.9), [-0.6, -0.7]),
        "lq correlated": (
            mg.Problem(plane, POL.linear_gaussian(2, 2, cov=[[0.2, 0.05], [0.05, 0.1]], learn_std=True), 3, 0.95),
            [*np.ravel(K), 0.1, -0.2],
        ),
        "lq quiet": (mg.Problem(quiet, POL.linear_gaussian(1, 1, std=0.3), 4), [-0.4]),
        "lq certain": (mg.Problem(scalar, POL.linear_gaussian(1, 1, std=0.0), 4), [-0.6]),
        "table": (mg.Problem(table, tables, 4, 0.9), rng.normal(size=6)),
        "bandit": (
            mg.Problem(ENV.bandit([1.0, 2.0, 0.0], std=[0.5, 0.1, 0.3]), POL.softmax(1, 3), 1),
            [0.3, -0.2, 0.1],
        ),
        "quadratic": (mg.Problem(ENV.quadratic_cost(0.5), POL.gaussian(1), 1), [1.0, 0.7]),
        "cosine": (mg.Problem(ENV.cosine_cost(1.3), POL.gaussian(1), 1), [0.4, 0.6]),
        "ramp": (mg.Problem(ENV.linear_ramp(0.5), POL.gaussian(1), 1), [0.2, 0.7]),
        "step": (mg.Problem(ENV.step_reward(), POL.gaussian(1, std=0.8), 1), [0.2]),
        "wall": (mg.Problem(ENV.ball_with_wall(), POL.gaussian(1), 1), [0.7, 0.2]),
        "chaotic": (mg.Problem(ENV.chaotic_map(2.0), POL.gaussian(1), 3), [0.1, 0.9]),
    }


def estimators(P, T):
    """Return {name: estimator} for P parameters and T steps."""
    b = np.linspace(-1.0, 0.5, T)
    wrong = {
        "exact": None,
        "scaled": C.exact().wrong(scale=0.8),
        "shifted": C.exact().wrong(0.9, 0.4),
        "rippled": C.exact().wrong(oscillation=(0.1, 3.0)),
    }
    constants = {
        "none": None,
        "number": 1.5,
        "J": B.mean_return(),
        "total constant": B.total_optimal_constant(),
        "fitted constant": B.optimal_constant(),
    }
    over_time = {
        "times": b,
        "EG": B.mean_to_go(),
        "value": B.value(),
        "naive": B.naive_optimal_over_time(),
        "over time": B.optimal_over_time(),
        "over time on V": B.optimal_over_time(B.value()),
        "total over time": B.total_optimal_over_time(),
        "total constant on V": B.total_optimal_constant(B.value()),
        "quadratic": B.optimal_quadratic(),
        "critic": C.exact().wrong(0.7, -0.3),
        "of state": B.of_state(lambda p, s: s[0]),
    }
    sf, rtg, pw = E.score_function, E.reward_to_go, E.reparameterization
    found = {f"SF, {name}": sf(x) for name, x in (constants | over_time).items() if name != "quadratic"}
    found |= {f"to go, {name}": rtg(x) for name, x in (constants | over_time).items()}
    for name, critic in wrong.items():
        found |= {
            f"Q, {name}": E.q_function(critic),
            f"A, {name}": E.advantage(critic),
            f"all actions, {name}": E.all_actions(critic),
            f"value gradient, {name}": E.value_gradient(critic),
            f"gae 0, {name}": E.generalized_advantage(0.0, critic),
            f"gae .9, {name}": E.generalized_advantage(0.9, critic),
            f"gae 1, {name}": E.generalized_advantage(1.0, critic),
            f"action cv, {name}": E.action_control_variate(critic),
            f"action cv 1, {name}": E.action_control_variate(critic, first_order=True),
            f"trajectory cv, {name}": E.trajectory_control_variate(critic),
            f"doubly robust, {name}": E.doubly_robust(critic),
            f"branches, {name} critic": E.measure_valued(critic=C.exact() if critic is None else critic),
            f"blocks 2, {name}": E.short_horizon(2, critic),
        }
    found |= {
        "gae .9, times": E.generalized_advantage(0.9, as_baseline(b)),
        "gae .9, EG": E.generalized_advantage(0.9, B.mean_to_go()),
        "gae .9, none": E.generalized_advantage(0.9, as_baseline(0.0)),
        "gae 1, times": E.generalized_advantage(1.0, as_baseline(b)),
        "pathwise": pw(),
        "truncated 2": E.truncated_reparameterization(2),
        "truncated 99": E.truncated_reparameterization(99),
        "blocks 1": E.short_horizon(1),
        "blocks 99": E.short_horizon(99),
        "score": E.score(),
        "delta": E.delta(),
        "delta 1": E.delta(1),
        "delta centred": E.delta(centred=True),
        "delta pathwise": E.delta(pathwise=True),
        "delta 1 pathwise": E.delta(1, pathwise=True),
        "difference": E.difference(rtg(), sf()),
        "difference pw": E.difference(rtg(B.value()), pw()),
        "cv": E.control_variate(rtg(), [E.score()]),
        "cv two": E.control_variate(rtg(), [E.score(), E.difference(rtg(), sf())]),
        "cv same twice": E.control_variate(sf(), [E.score(), E.score()]),
        "cv fixed": E.control_variate(pw(), E.score(), np.full((1, P), 0.3)),
        "cv delta": E.control_variate(rtg(), [E.delta(), E.score()]),
        "cv full": E.control_variate(rtg(), [E.score()], full=True),
        "cv full pw": E.control_variate(pw(), [E.score()], full=True),
        "cv full fixed": E.control_variate(sf(), [E.score()], 0.1 + np.zeros((1, P, P)), full=True),
        "cv full of J": E.control_variate(sf(B.mean_return()), [E.score()], full=True),
        "cv of cv": E.control_variate(E.control_variate(rtg(), [E.score()], np.full((1, P), 0.2)), [E.score()]),
        "mixture": E.mixture(rtg(), sf()),
        "mixture pw": E.mixture(rtg(), pw()),
        "mixture of three": E.mixture(sf(), rtg(B.value()), pw()),
        "inverse variance": E.inverse_variance(rtg(), sf()),
        "inverse variance pw": E.inverse_variance(rtg(B.value()), pw()),
        "inverse variance shared": E.inverse_variance(rtg(), pw(), shared=True),
        "inverse variance fixed": E.inverse_variance(rtg(), pw(), weights=np.full((2, P), 0.5)),
        "per step": E.inverse_variance_per_step(),
        "per step value": E.inverse_variance_per_step(B.value()),
        "per step shared": E.inverse_variance_per_step(shared=True),
        "per step fixed": E.inverse_variance_per_step(weights=np.linspace(0.2, 0.7, T)),
        "alpha": E.alpha_order(pw(), rtg(), 0.1, alpha=0.3),
        "alpha fitted": E.alpha_order(pw(), rtg(), 0.1),
        "pair": E.antithetic(rtg()),
        "pair SF": E.antithetic(sf(1.0)),
        "pair pw": E.antithetic(pw()),
        "pair actions": E.antithetic(rtg(), "actions"),
        "pair actions pw": E.antithetic(pw(), "actions"),
        "pair of pairs": E.antithetic(E.antithetic(rtg(), "actions")),
        "pair of cv": E.antithetic(E.control_variate(rtg(), [E.score()], np.full((1, P), 0.3))),
        "difference of pairs": E.difference(E.antithetic(rtg()), E.antithetic(pw())),
        "cv of pair": E.control_variate(E.antithetic(rtg()), [E.score()]),
        "leave one out 2": E.leave_one_out(2),
        "leave one out 4": E.leave_one_out(4),
        "same batch": E.same_batch_mean(4),
        "standardised": E.standardised(4),
        "pair of leave one out": E.antithetic(E.leave_one_out(2)),
        "branches": E.measure_valued(),
        "branches independent": E.measure_valued("independent"),
        "branches once": E.measure_valued(times="one"),
        "es one": E.evolution_strategies(0.1, points=1),
        "es": E.evolution_strategies(0.1),
        "es apart": E.evolution_strategies(0.1, noise="independent"),
        "spsa": E.spsa(0.1),
        "fd": E.finite_differences(0.1, P),
        "pes": E.persistent_evolution_strategies(0.1, 2),
        "pes one": E.persistent_evolution_strategies(0.1, 9, points=1),
        "natural": E.natural(rtg()),
        "natural pw": E.natural(pw()),
        "natural fixed": E.natural(rtg(B.value()), np.eye(P) + 0.1),
        "natural mixture": E.natural(E.control_variate(pw(), E.difference(rtg(), pw()), np.full((1, P), 0.3))),
        "natural of pair": E.natural(E.antithetic(rtg())),
        "natural of natural": E.natural(E.natural(rtg(), np.eye(P) + 0.1), np.eye(P) + 0.2),
    }
    return found


def off_policy(theta):
    """Return importance-weighted estimators, whose behaviour is near theta."""
    acting = np.asarray(theta) + 0.05
    return {
        "weighted": E.importance_weighted(acting),
        "weighted b": E.importance_weighted(acting, baseline=1.0),
        "per decision": E.importance_weighted(acting, "per decision"),
        "per decision value": E.importance_weighted(acting, "per decision", B.value()),
        "self normalised": E.importance_weighted(acting, "self-normalised", group=4),
    }


def answer(function, *arguments):
    """Return a number or an array as nested lists, or None where there is no answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = np.asarray(function(*arguments), dtype=float)
        except ValueError:  # NoClosedForm, or an estimator that the problem cannot have
            return None
    return found if np.isfinite(found).all() else None


def questions(problem, theta):
    """Yield (question, function): everything that is asked of one problem."""
    x, P = mg.exact, len(theta)
    chosen = estimators(P, problem.horizon) | off_policy(theta)
    sf, rtg, pw = E.score_function(), E.reward_to_go(), E.reparameterization()

    def of(function, *arguments):
        known = {"work": 0} if "work" in inspect.signature(function).parameters else {}  # by a closed form
        return lambda: function(problem, theta, *arguments, **known)

    for name in ("objective", "gradient", "mean_return_to_go", "naive_optimal_over_time", "fisher", "natural_gradient"):
        yield name, of(getattr(x, name))
    yield "hessian", of(x.hessian)
    yield "hessian_vector_product_variance", of(x.hessian_vector_product_variance, np.linspace(0.2, 1.0, P))
    for name in ("average_reward", "average_gradient", "stationary"):
        yield name, of(getattr(x, name))
    for model in ("tree", "markov", "stationary"):
        yield f"bound {model}", of(x.efficiency_bound, model)
        yield f"bound {model} matrix", of(x.efficiency_bound, model, True)
    for name, estimator in chosen.items():
        yield f"mean of {name}", of(x.mean, estimator)
        yield f"variance of {name}", of(x.variance, estimator)
        yield f"covariance of {name} and to go", of(x.covariance, estimator, rtg)
        if isinstance(estimator, kinds.ControlVariate):
            yield f"coefficients of {name}", of(x.coefficients, estimator)
    for name, estimator in (("SF", sf), ("to go", rtg), ("pathwise", pw), ("to go, value", E.reward_to_go(B.value()))):
        for question in (
            "optimal_over_time",
            "total_optimal_over_time",
            "total_optimal_constant",
            "optimal_quadratic",
            "covariance_matrix",
        ):
            yield f"{question} of {name}", of(getattr(x, question), estimator)
        for parameters in ("gain", "scale"):
            yield (
                f"scaling of {name} in the {parameters}",
                lambda estimator=estimator, p=parameters: _powers(x.scaling(problem, theta, estimator, p)),
            )
    yield "limits", lambda: x.self_normalised_limits(problem, theta, chosen["self normalised"])


def _powers(scaling):
    return [np.nan if y is None else y for y in (scaling.std.power, scaling.horizon.power, scaling.horizon.rate)]


def table(names=None):
    """Return {problem: {question: array}}, the questions that have an answer, of all problems or some."""
    found = {}
    for name, (problem, theta) in problems().items():
        if names is None or name in names:
            theta = np.asarray(theta, dtype=float)
            answers = {question: answer(ask) for question, ask in questions(problem, theta)}
            found[name] = {question: x for question, x in answers.items() if x is not None}
    return found


def stored():
    """Return the stored table."""
    kept = json.loads(STORED.read_text())
    return {name: {q: np.array(x) for q, x in answers.items()} for name, answers in kept.items()}


def _rounded(x):
    return float(f"{x:.{DIGITS}g}") if np.ndim(x) == 0 else [_rounded(y) for y in x]


def main(arguments):
    """Print which pairs are known, or store all values."""
    found = table()
    if "--write" in arguments:
        rows = []
        for name, answers in found.items():
            lines = ",\n".join(f"  {json.dumps(q)}: {json.dumps(_rounded(x))}" for q, x in answers.items())
            rows.append(f"{json.dumps(name)}: {{\n{lines}\n}}")
        STORED.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    every = {q[len("variance of ") :] for answers in found.values() for q in answers if q.startswith("variance of ")}
    print(f"{'':24}" + "".join(f"{name[:8]:>9}" for name in found))
    for name in sorted(every):
        marks = ["mv"[k] for k in (0, 1)]
        cells = [
            "".join(m if f"{q} of {name}" in answers else "-" for m, q in zip(marks, ("mean", "variance"), strict=True))
            for answers in found.values()
        ]
        print(f"{name:24}" + "".join(f"{x:>9}" for x in cells))
    print(sum(map(len, found.values())), "answers")


if __name__ == "__main__":
    main(sys.argv[1:])
