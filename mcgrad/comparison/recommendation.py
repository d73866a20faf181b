"""The sentences that end a comparison: which estimator and why, or what is known instead and what would help."""

from collections.abc import Sequence

import numpy as np

from ..checks.findings import reason
from ..differences import Slopes
from ..text import interval, listed
from .disagreement import Disagreement
from .evidence import DIFFERENCES, EXACT
from .results import Results
from .row import Row

LISTED = 6  # parameters that are named
STILL = 1e-24  # a variance of rounding, relative to the square of the mean
PLAIN = "reward to go"  # what everybody begins with


def recommendation(comparison: Results) -> str:
    """Return the sentences: nothing that the table does not support."""
    disagreement = comparison.verdict.disagreement
    if disagreement and comparison.reference != EXACT:
        return _disagreement(comparison, disagreement)
    passing = comparison.contenders()
    text = _use(comparison, passing) if passing else _nothing(comparison)
    if disagreement:
        text += "\n" + "\n".join(disagreement.text)
    return text


def _use(comparison: Results, passing: Sequence[Row]) -> str:
    best, *others = passing
    if all(row.variance == 0.0 and not row.mean.any() for row in comparison.rows):
        text = "Nothing to choose: all are 0 on every trajectory, exactly. Does what theta changes reach a reward"
        return f"{text} within the horizon?" + _witness(comparison)
    if best.variance <= STILL * float(best.mean @ best.mean):
        text = f"Use {best.estimator}: it does not vary at all here, one sample is the gradient."
    else:
        text = f"Use {best.estimator}: of those that are unbiased here it has the least variance x time"
        plain = next((row for row in comparison.rows if row.estimator == PLAIN), None)
        if plain is not None and plain is not best:
            factor, low, high = comparison.ratio(plain, best)
            text += f", {factor:.3g} times less than plain {PLAIN} (95%: {interval(factor, low, high)})"
        close = [row.estimator for row in others if comparison.ratio(row, best).low <= 1.0]
        if close:
            names = listed(close) if len(close) < 5 else f"{', '.join(close[:3])} and {len(close) - 3} more"
            text += f"; {names} {'is' if len(close) == 1 else 'are'} within its error bars"
        if best.rests_on_few:
            text += "; but its variance rests on few trajectories and is likely larger"
        text += "."
    if best.family != "own" and not best.unbiased:
        text += " (The return jumps; that no jump lies on the way of what it follows is what the test for bias says.)"
    elif not best.unbiased:
        text += " (No theory says that it is unbiased: the test for bias does.)"
    if best.exact_values:
        text += " (With exact values, which few problems have; fitted ones keep it unbiased.)"
    if best.visible_bias is not None and 0.1 < best.visible_bias < np.inf:
        text += f" (Only a bias above {best.visible_bias:.2g} of the gradient would have been seen.)"
    return text + _witness(comparison)


def _witness(comparison: Results) -> str:
    """Return what confirms the gradient that all were compared with."""
    witness, visible = comparison.verdict.witness, comparison.verdict.witness_visible
    if comparison.reference in (EXACT, DIFFERENCES):
        return ""
    known = witness is not None and np.isfinite(witness.error).all() and np.isfinite(witness.bias).all()
    if visible is None or not known:
        return " Nothing that rests on returns alone confirms the gradient."
    if not np.isfinite(visible):
        return " Central differences of returns agree with the gradient, which is zero."
    if visible > 1.0:
        return (
            " Central differences of returns do not contradict the gradient, but only an error above "
            f"{100 * visible:.2g}% of it would have been seen."
        )
    return (
        f" Central differences of returns agree with the gradient: an error above {100 * visible:.2g}% of it "
        "would have been seen."
    )


def _nothing(comparison: Results) -> str:
    """Return why nothing is recommended, what is known all the same, and what would help."""
    rows, jumps = comparison.rows, comparison.jumps
    intact = [row for row in rows if row.unbiased and not row.jumps]
    hidden = [row.estimator for row in rows if not row.unbiased and not row.smoothed and comparison.passes(row)]
    if jumps and hidden and not intact:
        return (
            "Nothing is recommended: the return jumps as theta moves, whether a jump lies on the way of what "
            f"{listed(hidden)} {'follows' if len(hidden) == 1 else 'follow'} is not known, and noise would have hidden a "
            "bias of five percent of the gradient. More samples would tell."
        )
    if intact or not any(row.jumps or row.smoothed for row in rows):
        return "No estimator was finite on all trajectories and passed the test for bias: see mcgrad.check."
    missing = [row.estimator for row in rows if row.jumps]
    text = "No estimator here is known to be unbiased"
    if missing:
        text += f": the return jumps as theta moves, and {listed(missing)} {'does' if len(missing) == 1 else 'do'} not see it"
        text += f"; there is no score ({reason(comparison.no_score)})" if comparison.no_score else ""
    text += "."
    if comparison.reference == DIFFERENCES and comparison.slopes is not None:
        z = [row.estimator for row in rows if row.smoothed and comparison.passes(row)]
        text += f" Central differences on common noise give the gradient: {_gradient(comparison.parameters, comparison.slopes)}"
        text += f"; {listed(z)}, of a smoothed objective, is not apart from it beyond chance." if z else "."
    if jumps:
        text += (
            "\nWhat would help: a score (let what is random decide: actions from a policy with a density), "
            "a smooth ramp in place of the jump (the gradient is then that of another objective), or a branch by measure "
            "(mg.estimators.measure_valued, for Gaussian actions)."
        )
    return text


def _gradient(parameters: Sequence[str], slopes: Slopes) -> str:
    """Return the gradient of central differences in words; its error is two standard errors and the bound on the bias."""
    errors = 2.0 * slopes.stderr + slopes.bias
    values = zip(parameters, slopes.estimate, errors, strict=True)
    said = [f"{name} {value:.4g} +- {error:.2g}" for name, value, error in values]
    return ", ".join(said[:LISTED]) + (", ..." if len(said) > LISTED else "")


def _disagreement(comparison: Results, found: Disagreement) -> str:
    lines = ["No recommendation: estimators that theory calls unbiased disagree, beyond chance."]
    lines += [f"  {line}" for line in found.text]
    if comparison.report is not None:
        wrong = [x for x in comparison.report.findings if x.status == "wrong"]
        said = [line for x in wrong for line in f"{x.name} WRONG: {x.text}".splitlines()]
        lines += [f"  mcgrad.check: {line}" for line in said or ["nothing wrong found"]]
    return "\n".join(lines)
