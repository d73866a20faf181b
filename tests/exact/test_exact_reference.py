"""Every estimator of every reference case: variance, and the stored optimal constants, to 1e-9 relative."""

import dataclasses

import numpy as np
import pytest
from exact_cases import CASES, system_of
from lq_leaves import (
    ActionControlVariate,
    AllActions,
    ExactAdvantage,
    GeneralizedAdvantage,
    Reparameterization,
    RewardToGo,
    ScoreFunction,
    ValueGradient,
    antithetic_variance,
    constant_baseline,
    covariance,
    fisher,
    gradient,
    mean,
    mean_return_to_go,
    measure_valued_variance,
    naive_time_baseline,
    objective,
    optimal_constant,
    optimal_quadratic_baseline,
    optimal_time_baseline,
    return_variance,
    theory_of,
    time_baseline,
    total_optimal_constant,
    total_optimal_time_baseline,
    value_baseline,
    variance,
)

from mcgrad import estimators as E
from mcgrad.estimators import kinds
from mcgrad.exact import algebra

TOLERANCE = 1e-9
SYSTEMS = {name: system_of(case) for name, case in CASES.items()}
KEYS = [(name, key) for name, case in CASES.items() for key in case["estimators"]]

PLAIN = {
    "total": lambda s: ScoreFunction(),
    "rtg": lambda s: RewardToGo(),
    "rtg_V": lambda s: RewardToGo(value_baseline(s)),
    "Q": lambda s: ExactAdvantage(value=True),
    "A": lambda s: ExactAdvantage(),
    "gae(0)": lambda s: GeneralizedAdvantage(0.0),
    "gae(0.9)": lambda s: GeneralizedAdvantage(0.9),
    "qcv": lambda s: ActionControlVariate(),
    "qprop": lambda s: ActionControlVariate(first_order=True),
    "aa": lambda s: AllActions(),
    "svg0": lambda s: ValueGradient(),
    "pw": lambda s: Reparameterization(),
}


def gain(system):
    """Indices of the entries of K."""
    return slice(0, system.K.size)


# The constants of an estimator's baseline, computed here and compared with the stored ones.
CONSTANT = {
    "total_bJ": objective,
    "rtg_bJ": objective,
    "total_bopt": lambda s: optimal_constant(s, ScoreFunction()),
    "rtg_bopt": lambda s: optimal_constant(s, RewardToGo()),
    "rtg_V_bopt": lambda s: optimal_constant(s, RewardToGo(value_baseline(s))),
    "total_boptK": lambda s: total_optimal_constant(s, ScoreFunction(), gain(s)),
    "rtg_boptK": lambda s: total_optimal_constant(s, RewardToGo(), gain(s)),
}
IN_TIME = {
    "rtg_btmean": lambda s: mean_return_to_go(s)[:-1],
    "rtg_btopt": lambda s: optimal_time_baseline(s, RewardToGo()),
    "rtg_V_btopt": lambda s: optimal_time_baseline(s, RewardToGo(value_baseline(s))),
    "rtg_btnaive": naive_time_baseline,
    "rtg_btoptK": lambda s: total_optimal_time_baseline(s, RewardToGo(), gain(s)),
}


def estimator(system, key):
    """The record for a key that names one estimator."""
    value = value_baseline(system) if key.startswith("rtg_V_") else 0.0
    if key in PLAIN:
        return PLAIN[key](system)
    if key in CONSTANT:
        b = CONSTANT[key](system)
        return ScoreFunction(b) if key.startswith("total") else RewardToGo(value + constant_baseline(system, b))
    if key in IN_TIME:
        return RewardToGo(value + time_baseline(system, IN_TIME[key](system)))
    assert key == "rtg_qopt"
    return RewardToGo(optimal_quadratic_baseline(system))


def exact(system, key):
    """Variance and, by name of the stored field, constants."""
    inner = key[key.find("(") + 1 : -1]
    if key.startswith("mix("):
        X, Y = (estimator(system, part) for part in inner.split(","))
        x, y = (of(theory_of(system)) for of in (X, Y))
        mixed = kinds.ControlVariate((y, kinds.Difference((x, y))))
        weight = -algebra.coefficients(theory_of(system), mixed)[0]
        return algebra.variance(theory_of(system), mixed), dict(cov=covariance(system, X, Y), alpha=weight)
    if key.startswith("anti_"):
        flip = {"all": "all", "eps": "exploration"}[key[5:8]]
        return antithetic_variance(system, estimator(system, inner), flip), {}
    if key.startswith("mvd_"):
        return measure_valued_variance(
            system, {"crn": "shared", "critic": "critic", "indep": "independent"}[key[4:]]
        ), {}
    if key.endswith("_cvscore"):
        controlled = kinds.ControlVariate((estimator(system, key[:-8])(theory_of(system)), E.score()))
        found = algebra.coefficients(theory_of(system), controlled)[0]
        return algebra.variance(theory_of(system), controlled), dict(c=found)
    if key.endswith("_cvfull"):  # the scores of K alone
        system = dataclasses.replace(system, learn_scale=False)
        controlled = kinds.ControlVariate((estimator(system, key[:-7])(theory_of(system)), E.score()), full=True)
        found = algebra.coefficients(theory_of(system), controlled)[0]
        return algebra.variance(theory_of(system), controlled), dict(cvec=found)
    found = {}
    if key in CONSTANT:
        found["b"] = np.broadcast_to(CONSTANT[key](system), system.parameters)
    elif key in IN_TIME:
        b = IN_TIME[key](system)
        found["b"] = (b[:, None] if b.ndim == 1 else b).T
    return variance(system, estimator(system, key)), found


def stored(system, record, name):
    """A stored per-parameter list, without the common log scale (not a parameter here)."""
    keep = [k for k, parameter in enumerate(record["params"]) if parameter != "ls"]
    return np.array(record[name], dtype=float)[keep]


def worst(found, truth, scale=0.0):
    """Largest relative difference."""
    return np.max(np.abs(found - truth) / np.maximum(np.abs(truth), np.maximum(scale, 1e-12)))


@pytest.mark.parametrize(("name", "key"), KEYS)
def test_variance(name, key):
    system, record = SYSTEMS[name], CASES[name]["estimators"][key]
    found, constants = exact(system, key)
    truth = stored(system, record, "var")
    assert worst(found[: len(truth)], truth) < TOLERANCE
    for field, values in constants.items():
        expected = stored(system, record, field)
        assert worst(values[: len(expected)], expected, scale=np.abs(expected).max()) < TOLERANCE, field
    np.testing.assert_allclose(
        stored(system, record, "mean"), gradient(system)[: len(truth)], rtol=TOLERANCE, atol=1e-12
    )


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    system, case = SYSTEMS[name], CASES[name]
    assert objective(system) == pytest.approx(case["J"], rel=1e-12)
    assert return_variance(system) == pytest.approx(case["var_return"], rel=1e-12)
    np.testing.assert_allclose(fisher(system), case["fisher_K"], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(mean(system, RewardToGo()), case["grad"][: system.parameters], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("change", [dict(discount=0.999), dict(terminal_weight=0.9), dict(horizon=2)])
def test_planted_error_is_seen(change):
    """A discount or terminal weight slightly off, or a stage lost, fails the comparison by a wide margin."""
    case = CASES["S04"]
    wrong = system_of(case, **change)
    for key in ("total", "rtg_V", "pw"):
        truth = stored(wrong, case["estimators"][key], "var")
        assert worst(variance(wrong, estimator(wrong, key)), truth) > 1e5 * TOLERANCE


def test_planted_error_in_a_term_is_seen():
    """A missing covariance (pathwise and reward to go taken as independent) is seen."""
    system, record = SYSTEMS["S07"], CASES["S07"]["estimators"]["mix(rtg_V,pw)"]
    both = covariance(system, RewardToGo(value_baseline(system)), Reparameterization())
    assert np.all(np.abs(both) > 1e3 * TOLERANCE * np.array(stored(system, record, "cov")))
    assert worst(0 * both, stored(system, record, "cov")) > 0.9
