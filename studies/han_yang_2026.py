"""The noise-to-signal ratio of REINFORCE over policy and initial noise, and what else does better (Han and Yang 2026).

    s_next = s + .1 (v, a),  a = K s + std e,  K = (-1, -3),  s_0 ~ N(0, std_0^2 I),  r_t = -(|s_{t+1}|^2 + .01 a_t^2)

NSR = total variance of one trajectory's gradient, over the squared norm of the gradient, in K and log std together.
Published: the map of REINFORCE over (std, std_0), exact for one step, with its slope of -2 in std, and the growth with the
horizon. Added here, all exact: reward to go, the value function as a baseline, the pathwise gradient, and process noise.
Without process noise the value baseline repairs REINFORCE for small std; with it, however little, the slope of -2 is back,
and only derivatives are without it.

The reward counts the state after the step, so that the initial state costs nothing. In a linear-quadratic problem of this
library states cost where they are; a second copy of the state, which is s_0 at the start and 0 from then on, pays back the
first cost.

References
----------
Han and Yang (2026), Non-uniform noise-to-signal ratio in the REINFORCE policy-gradient estimator. arXiv:2602.01460. The
matrices of their double integrator are not in the text; those here are of a published check of their theorem.
"""

import numpy as np

import mcgrad as mg
from mcgrad import study

A, B, K, ACTION_COST = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.0], [0.1]]), (-1.0, -3.0), 0.01
KEPT = [0, 1, 4]  # K of the state proper, and log std
DECADES = np.round(10.0 ** np.arange(-2.0, 1.01, 0.25), 6).tolist()
MEASURED_AT = (0.01, 0.031623, 0.1, 0.316228, 1.0, 3.162278, 10.0)
HORIZONS = (1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100)
PROCESS_NOISE = 1e-3  # a variance
LONG = 10
NAMES = {
    "score function": lambda: mg.estimators.score_function(),
    "reward to go": lambda: mg.estimators.reward_to_go(),
    "reward to go, value baseline": lambda: mg.estimators.reward_to_go(mg.baselines.value()),
    "reparameterization": lambda: mg.estimators.reparameterization(),
}
SCORE, TO_GO, VALUE, PATH = NAMES


def problem(horizon, std, initial_std, process_noise=0.0):
    """Return (problem, theta); of its parameters, those `KEPT` are of the published problem."""
    zero, one = np.zeros((2, 2)), np.eye(2)
    environment = mg.environments.linear_quadratic(
        np.block([[A, zero], [zero, zero]]),
        np.vstack([B, np.zeros((2, 1))]),
        np.block([[one, zero], [zero, -one]]),
        [[ACTION_COST]],
        terminal_cost=np.block([[one, zero], [zero, zero]]),
        process_noise=np.block([[process_noise * one, zero], [zero, zero]]),
        initial_cov=initial_std**2 * np.block([[one, one], [one, one]]),
    )
    policy = mg.policies.linear_gaussian(4, 1, std=std, learn_std=True)
    return mg.Problem(environment, policy, horizon), np.array([*K, 0.0, 0.0, np.log(std)])


def settings(quick):
    """Return two maps, slices of them with and without process noise, and horizons; measured along the slices."""
    count = 40_000 if quick else 1_000_000
    found = []
    for part, names in (("one step", (SCORE,)), ("ten steps", (SCORE, VALUE, PATH))):
        for std in DECADES:
            for initial_std in DECADES:
                found.append(case(part, 1 if part == "one step" else LONG, std, initial_std, 0.0, names, 0))
    for noise in (0.0, PROCESS_NOISE):
        for std in DECADES:
            number = count if std in MEASURED_AT else 0
            found.append(case("std", LONG, std, 1.0, noise, tuple(NAMES), number))
    found += [case("horizon", T, 0.1**0.5, 1.0, 0.0, tuple(NAMES), 0) for T in HORIZONS]
    start = 0
    for x in found:
        x["start"] = start
        start += x["count"]
    return found


def case(part, horizon, std, initial_std, process_noise, names, count):
    """Return a setting."""
    setting = {"part": part, "horizon": horizon, "std": std, "initial_std": initial_std}
    return setting | {"process_noise": process_noise, "names": list(names), "count": count}


def rows(setting, seed, threads):
    """Return the rows of one setting, sums over parameters."""
    about = {key: setting[key] for key in ("part", "horizon", "std", "initial_std", "process_noise")}
    p, theta = problem(*(about[key] for key in ("horizon", "std", "initial_std", "process_noise")))
    chosen = {name: NAMES[name]() for name in setting["names"]}
    gradient = mg.exact.gradient(p, theta)[KEPT]
    square = float(gradient @ gradient)
    found = {}
    if setting["count"]:
        options = {"start": setting["start"], "threads": threads, "progress": False}
        found = mg.measure(p, theta, chosen, setting["count"], seed, **options)
    result = []
    for name, estimator in chosen.items():
        row = about | {"estimator": name, "count": setting["count"]}
        row["exact_nsr"] = float(mg.exact.variance(p, theta, estimator)[KEPT].sum()) / square
        if found:
            row["nsr"] = float(found[name].variance[KEPT].sum()) / square
            row["nsr_stderr"] = float(found[name].variance_stderr[KEPT].sum()) / square  # errors added: a bound
        result.append(row)
    return result


def report(rows):
    """Return the published numbers, slopes for small std, and how exact and measured values agree."""
    one = [r["exact_nsr"] for r in rows if r["part"] == "one step"]
    lines = [f"  REINFORCE, one step: from {min(one):.7g} to {max(one):.10g} over the map"]
    for noise in (0.0, PROCESS_NOISE):
        at = {
            (r["estimator"], r["std"]): r["exact_nsr"]
            for r in rows
            if r["part"] == "std" and r["process_noise"] == noise
        }
        slopes = (
            f"{name} {np.log(at[name, DECADES[1]] / at[name, DECADES[0]]) / np.log(DECADES[1] / DECADES[0]):.3f}"
            for name in NAMES
        )
        lines.append(f"  slopes at small std, ten steps, process noise {noise:g}: {', '.join(slopes)}")
    for T in (5, 10):
        (nsr,) = (
            r["exact_nsr"] for r in rows if r["part"] == "horizon" and r["horizon"] == T and r["estimator"] == SCORE
        )
        lines.append(f"  REINFORCE, T = {T}, variance of the policy .1: {nsr:.8g}")
    seen = [abs(r["nsr"] - r["exact_nsr"]) / r["nsr_stderr"] for r in rows if r["count"]]
    return "\n".join(
        [*lines, f"  {len(seen)} measured ratios, at worst {max(seen):.1f} bounds of their errors from exact"]
    )


STUDY = study.Study(
    name="han_yang_2026",
    question="Where is REINFORCE noisy in a double integrator (Han and Yang 2026), and what else is?",
    columns=(
        *("part", "horizon", "std", "initial_std", "process_noise", "estimator"),
        *("exact_nsr", "count", "nsr", "nsr_stderr"),
    ),
    settings=settings,
    rows=rows,
    report=report,
)
