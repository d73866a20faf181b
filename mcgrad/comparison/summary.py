"""What measurements mean: figures of each estimator, in rows."""

import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..baselines.known import Value
from ..checks.findings import Report
from ..critics.exact_critic import Exact
from ..estimate import Estimate
from ..estimators.estimator import Estimator, rollouts
from ..estimators.knowledge import knows
from ..floor import floor
from ..problem import Problem
from .comparison import Comparison
from .evidence import Evidence
from .row import Row
from .verdict import Verdict

Array: TypeAlias = NDArray[np.float64]


def concluded(
    problem: Problem,
    theta: Array,
    found: Mapping[str, Estimator],
    missing: dict[str, str],
    evidence: Evidence,
    verdict: Verdict,
    report: Report | None,
    objective: float | None,
    costs: Mapping[str, tuple[float, float]],
    together: tuple[float, float],
    seed: int,
) -> Comparison:
    """Return the `Comparison` of what was measured, with a row for each estimator, the cheapest first."""
    size = float(np.linalg.norm(verdict.gradient))
    rows = []
    for name, e in found.items():
        x, claim, apart = evidence.found(name), evidence.claims[name], verdict.apart[name]
        known, total = evidence.known.get(name), x.total_variance
        low, high = x.total_variance_interval()
        if known is not None:
            total = low = high = float(known.variance.sum())
        cosine, cosine_stderr = _cosine(evidence.measured[name].batches_of(name), verdict.gradient)
        row = Row(
            estimator=name,
            family=claim.family,
            knows=knows(e).kind,
            exact_values=any(isinstance(getattr(e, x, None), (Exact, Value)) for x in ("critic", "baseline")),
            unbiased=evidence.unbiased(name) or (claim.unbiased and evidence.broken(name)),
            smoothed=claim.smoothed,
            jumps=evidence.broken(name),
            rollouts=rollouts(e, problem),
            count=x.count,
            nonfinite=x.nonfinite,
            exact="" if known is None else known.by,
            mean=evidence.mean(name),
            stderr=x.stderr if known is None else known.stderr,
            variance=total,
            variance_stderr=x.total_variance_stderr if known is None else 0.0,
            variance_low=low,
            variance_high=high,
            rests_on_few=known is None and _rests_on_few(x),
            signal_to_noise=size / math.sqrt(total) if total > 0 else math.inf,
            cosine=cosine,
            cosine_stderr=cosine_stderr,
            nanoseconds=costs[name][0],
            nanoseconds_spread=costs[name][1],
            bias_z=None if apart is None else apart.worst,
            visible_bias=None if apart is None else apart.visible(verdict.threshold, size),
        )
        rows.append(row)
    rows.sort(key=lambda row: row.price if math.isfinite(row.price) else math.inf)
    return Comparison(
        title=_title(problem),
        parameters=problem.parameters,
        rows=tuple(rows),
        missing=missing,
        verdict=verdict,
        jumps=evidence.jumps,
        report=report,
        objective=objective,
        moments={name: evidence.measured[name].moments for name in found},
        batch=evidence.batch,
        seed=seed,
        together=together,
        no_score=problem.policy.no_score,
        slopes=evidence.slopes,
        floor=floor(problem, theta) if evidence.exact is not None else None,
    )


def _rests_on_few(x: Estimate) -> bool:
    """Tell whether a variance that matters in the total rests on few trajectories."""
    return bool(np.any(x.rests_on_few & (x.variance > 0.1 * x.total_variance)))


def _cosine(means: Array, gradient: Array) -> tuple[float, float]:
    """Return the mean cosine of batch means (P, batches) with a gradient, and its standard error."""
    with np.errstate(all="ignore"):
        cosines = gradient @ means / (np.linalg.norm(means, axis=0) * np.linalg.norm(gradient))
    cosines = cosines[np.isfinite(cosines)]
    if len(cosines) < 2:
        return math.nan, math.nan
    return float(cosines.mean()), float(cosines.std(ddof=1) / math.sqrt(len(cosines)))


def _title(problem: Problem) -> str:
    T, gamma, P = problem.horizon, problem.discount, len(problem.parameters)
    steps, names = "step" if T == 1 else "steps", "parameter" if P == 1 else "parameters"
    varies = f", discount from {np.min(gamma):g} to {np.max(gamma):g}"
    discount = varies if problem.discount_varies else "" if gamma == 1.0 else f", discount {gamma:g}"
    return f"{problem.environment.name} under {problem.policy.name}, {T} {steps}{discount}, {P} {names}"
