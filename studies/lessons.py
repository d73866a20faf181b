"""What linear-quadratic problems hide: there the pathwise gradient wins, elsewhere it may lose by any factor, or be wrong.

An overview of problems (`studies/problems.py`), each under the pathwise gradient, the score function with reward to go and a
baseline, and the mixture of both of least variance: variances summed over the parameters, and noise-to-signal ratios. These
are that sum over the squared norm of the true gradient: the number of trajectories whose mean has a relative error of one.
Then three sweeps with exact variances along the way, of how a pathwise gradient comes to lose:

    horizon     chaotic map, one constant push    exponentially, as the mean square of the derivative of a state grows: faster
                                                  than that of a typical path, exp(2 x the Lyapunov exponent) per step
    width       ramp of a reward                  as 1 / width; at width 0 the variance is 0, and all of the gradient is lost
    frequency   ripples on a valley, at the       as its square, however low the ripples; the score function sees their
                worst mean action                 height

The baseline is the exact value function where that is known, on the chaotic map the exact mean return to go, else a
polynomial fitted to pilot trajectories. Mixtures have their coefficients from trajectories of their own. A bias is that of
the pathwise gradient over the norm of the true one: known exactly where a reward jumps, zero elsewhere, and measured against
the score function on the same trajectories. The standard error of a sum over parameters is bounded by the sum of theirs.
Where few trajectories make up most of a variance, it may be larger than what is measured: see the kurtosis.

References
----------
Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning. JMLR 21, 132; Parmas, Rasmussen,
Peters and Doya (2018), PIPPS: flexible model-based policy search robust to the curse of chaos; Metz, Freeman, Schoenholz and
Kachman (2021), Gradients are not all you need: Figure 1 is the frequency sweep; Suh, Simchowitz, Zhang and Tedrake (2022),
Do differentiable simulators give better policy gradients?
"""

import functools
import math
import warnings

import numpy as np

import mcgrad as mg
from mcgrad import baselines as b
from mcgrad import estimators as e
from mcgrad import study
from mcgrad.baselines.accepted import as_baseline
from mcgrad.exact import chaotic_map
from mcgrad.pilots import Known
from mcgrad.prepare import known_truth
from mcgrad.truth import told
from studies.problems import CASES, chaos, ramp, ripples

SCORE, MEAN, PATH, MIXED = (
    "reward to go, value baseline",
    "reward to go, mean baseline",
    "reparameterization",
    "reparameterization, mixed with reward to go",
)
GAP = "reparameterization less reward to go"  # measured for its mean alone, which is the bias
PILOT = 8192  # trajectories that a baseline is fitted on
SWEEPS = {"horizon": ("chaotic map", chaos), "width": ("ramp", ramp), "frequency": ("ripples on a valley", ripples)}
MEANS = np.linspace(-10.0, 10.0, 61)  # among which the worst is sought


def grids(quick):
    """Return {sweep: (values that are measured, values of which exact moments are wanted as well)}."""
    if quick:
        return {"horizon": ((2, 4, 8), ()), "width": ((0.01, 0.1, 1.0), ()), "frequency": ((3.0, 30.0, 300.0), ())}
    widths, frequencies = [10.0 ** (k / 6) for k in range(-18, 1)], [10.0 ** (k / 5) for k in range(13)]
    return {
        "horizon": ((1, 2, 3, 4, 6, 8, 10, 12, 14, 16), ()),
        "width": (widths[::3], widths),
        "frequency": (frequencies[::2], frequencies),
    }


def settings(quick):
    """Return the cases of the overview and the values of the sweeps, each on trajectories of its own."""
    found, start = [], 0

    def add(part, problem, detail, value, count):
        nonlocal start
        setting = {"part": part, "problem": problem, "detail": detail, "value": value}
        found.append(setting | {"count": count, "start": start})
        start += 2 * count  # as many again for the coefficients of the mixture

    for case in CASES:
        if case.quick or not quick:
            add("overview", case.problem, case.detail, None, case.count // 10 if quick else case.count)
    for part, (measured, exact) in grids(quick).items():
        for value in sorted({*measured, *exact}):
            count = 50_000 if quick else 500_000
            add(part, SWEEPS[part][0], f"{part} {value:.3g}", value, count if value in measured else 0)
    return found


def rows(setting, seed, threads):
    """Return the rows of one setting, one for each estimator: sums over the parameters."""
    part, options = setting["part"], (setting["count"], setting["start"], seed, threads)
    kind = None
    if part == "overview":
        case = next(c for c in CASES if (c.problem, c.detail) == (setting["problem"], setting["detail"]))
        (p, theta), kind = case.make(), case.kind
        found = answers(p, theta, estimators(p, theta, case.degree), *options)
    else:
        p, theta = SWEEPS[part][1](setting["value"])
        chosen = estimators(p, theta)
        if part == "frequency":
            at_worst = {name: answers(p, worst(p, chosen[name]), chosen, *options) for name in (SCORE, PATH)}
            found = [row for name, all in at_worst.items() for row in all if row["estimator"] == name]
        else:
            found = answers(p, theta, chosen, *options)
    about = {key: setting[key] for key in ("part", "problem", "detail", "value")}
    about |= {"kind": kind, "horizon": p.horizon, "parameters": len(p.parameters)}
    about |= growths() if part == "horizon" else {}
    return [about | row for row in found]


def estimators(p, theta, degree=2):
    """Return the estimators by name: pathwise ones where there are any."""
    name, baseline = known_baseline(p, theta, degree)
    score = e.reward_to_go(baseline)
    if p.policy.no_pathwise:
        return {name: score}
    path = e.reparameterization()
    return {name: score, PATH: path, MIXED: e.mixture(score, path), GAP: e.difference(path, score)}


def known_baseline(p, theta, degree):
    """Return the exact value function as a baseline, else the exact mean return to go, else a fitted value function."""
    if ask(mg.exact.value, p, theta, work=0) is not None:
        return SCORE, b.value()
    mean = ask(mg.exact.mean_return_to_go, p, theta, work=0)
    if mean is not None:
        return MEAN, as_baseline(mean)
    fitted = told(b.fitted_value(PILOT, degree, seed=1), known_truth)
    return SCORE, Known(fitted, fitted.data(p, theta))


def ask(function, *arguments, **options):
    """Return what `mcgrad.exact` knows, or None."""
    try:
        return function(*arguments, **options)
    except mg.exact.NoClosedForm:
        return None


def worst(p, estimator):
    """Return the mean action at which the exact variance is largest, as theta."""
    return [max(MEANS, key=lambda mean: mg.exact.variance(p, [mean], estimator)[0])]


@functools.cache
def growths():
    """Return by what factor the square of a derivative of the chaotic map's state grows per step: its mean, a typical one.

    The mean square is exact. The typical one, exp(2 x Lyapunov exponent), is an average of logarithms along simulated paths.
    """
    (problem, (mean,)), std = chaos(1), 0.3
    gain, x = problem.environment.params["gain"], np.full(20_000, problem.environment.params["start"])
    rng, logarithms = np.random.default_rng(0), []
    for _ in range(100):
        u = gain * x + mean + std * rng.standard_normal(len(x))
        x = np.sin(u)
        logarithms.append(2 * np.mean(np.log(np.abs(gain * np.cos(u)))))
    typical = math.exp(np.mean(logarithms[20:]))
    return {"growth": math.exp(chaotic_map.growth(gain, mean, std)), "typical_growth": typical}


def answers(p, theta, chosen, count, start, seed, threads):
    """Return a row for each estimator."""
    found = measured(p, theta, chosen, count, start, seed, threads) if count else None
    gradient = ask(mg.exact.gradient, p, theta, work=0)
    if gradient is not None:
        square, error = float(gradient @ gradient), 0.0
    else:
        square, error = squared_norm(found[MIXED if MIXED in chosen else next(iter(chosen))])
    result = []
    for name, estimator in chosen.items():
        if name == GAP:
            continue
        exact = ask(mg.exact.variance, p, theta, estimator, work=0)
        row = {"estimator": name, "square": square, "square_stderr": error, "count": 0}
        row["exact_variance"] = trace = None if exact is None else float(exact.sum())
        if found:
            x = found[name]
            trace, of_trace = float(x.variance.sum()), float(x.variance_stderr.sum())
            row |= {"count": x.count, "start": start, "nonfinite": x.nonfinite, "variance": trace}
            row |= {"variance_stderr": of_trace, "kurtosis": float(x.kurtosis.max()) if x.variance.all() else None}
        if trace is not None and square > 0:
            row["nsr"] = trace / square
            row["nsr_stderr"] = math.hypot(row.get("variance_stderr", 0.0), trace * error / square) / square
        if p.environment.discontinuous:
            lost = mg.exact.mean(p, theta, estimator) - gradient
            row["exact_bias"] = float(np.linalg.norm(lost) / np.linalg.norm(gradient))
        if found and name == PATH:
            row["bias_in_stderrs"] = float(np.max(np.abs(found[GAP].mean) / found[GAP].stderr))
        result.append(row)
    return result


def squared_norm(x):
    """Return an unbiased estimate of the squared norm of a mean, and its standard error."""
    return float(x.mean @ x.mean - x.stderr @ x.stderr), 2 * float(np.linalg.norm(x.mean * x.stderr))


def measured(p, theta, chosen, count, start, seed, threads):
    """Return the moments, with coefficients of the mixture from as many trajectories that come after."""

    def moments(slope, start):
        own = dict(chosen)
        if MIXED in chosen:  # path - slope (path - score); coefficients are run-time numbers, the kernel is the same
            coefficients = np.broadcast_to(slope, (1, len(p.parameters)))
            own[MIXED] = e.control_variate(chosen[PATH], chosen[GAP], coefficients)
        return mg.measure(p, theta, own, count, seed, start=start, threads=threads, progress=False)

    slope = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mg.DiscontinuityWarning)  # that is what the study is about
        if MIXED in chosen:
            found = moments(slope, start + count)
            slope = found.covariance(GAP, PATH) / found[GAP].variance
        return moments(slope, start)


def report(rows):
    """Return who wins where and by how much, how well unbiased gradients agree, and measured with exact variances."""
    lines = [
        "  noise-to-signal ratios: score function, pathwise, mixture; variance of pathwise over that of score function"
    ]
    places = {}
    for r in rows:
        if r["part"] == "overview":
            places.setdefault((r["problem"], r["detail"]), {})[r["estimator"]] = r
    for place, here in places.items():
        score, path = here.get(SCORE) or here[MEAN], here.get(PATH)
        line = f"  {', '.join(place):<34} {score['nsr']:8.3g}"
        if path is None:
            lines.append(f"{line}   no pathwise gradient")
            continue
        lost = f"   biased by {100 * path['exact_bias']:.0f} %" if path.get("exact_bias") else ""
        ratio = path["variance"] / score["variance"]
        lines.append(f"{line} {path['nsr']:8.3g} {here[MIXED]['nsr']:8.3g} {ratio:9.3g}{lost}")
    z = [r["bias_in_stderrs"] for r in rows if r.get("bias_in_stderrs") and not r.get("exact_bias")]
    lines.append(
        f"  {len(z)} pathwise gradients without a bias, at worst {max(z):.1f} standard errors from the score function"
    )
    deviation, number = study.worst_deviation(rows)
    return "\n".join([*lines, f"  {number} measured variances, at worst {deviation:.1f} standard errors from exact"])


STUDY = study.Study(
    name="lessons",
    question="What do linear-quadratic problems hide about pathwise gradients and score functions?",
    columns=(
        *("part", "problem", "detail", "value", "kind", "horizon", "parameters"),
        *("estimator", "square", "square_stderr", "exact_variance"),
        *("count", "start", "nonfinite", "variance", "variance_stderr", "kurtosis"),
        *("nsr", "nsr_stderr", "exact_bias", "bias_in_stderrs", "growth", "typical_growth"),
    ),
    settings=settings,
    rows=rows,
    report=report,
)
