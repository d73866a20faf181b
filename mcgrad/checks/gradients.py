"""Gradients against finite differences of the return: the same trajectories, from one kernel, at other parameters."""

import itertools
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import estimators as e
from ..differences import Slopes, return_kernel
from ..estimators.estimator import Estimator
from ..kernels.program import gradient_program
from ..problem import Problem
from ..run import run_kernel
from .findings import UNSEEN, Finding, limit, percent

Samples: TypeAlias = dict[str, NDArray[np.float64]]  # of the return (N, 1), and of gradients (N, P)

CLOSE = 512  # trajectories that are looked at one by one
DIRECTIONS = 8  # in parameter space: the axes if there are no more than that, else random ones
NARROW = (2, 4, 6, 8, 10, 13, 16, 20)  # halvings of the widths of differences, for single trajectories


class Kernel:
    """Returns, scores and gradients of single trajectories."""

    def __init__(self, problem: Problem, theta: NDArray[np.float64], families: Mapping[str, Any], seed: int) -> None:
        self.theta, self.P, self.seed = theta, len(theta), seed
        self.returns = return_kernel(problem, theta, seed)
        wanted: dict[str, Estimator] = {}
        if "score function" in families:
            wanted |= {"score": e.score(), "score function": families["score function"]}
        if "pathwise" in families:
            wanted["pathwise"] = families["pathwise"]
        self.program = gradient_program(problem, theta, wanted) if wanted else None
        self.kernels = [self.returns.kernel, *([self.program.kernel] if self.program else [])]
        self.outputs = 1 + (self.program.kernel.outputs if self.program else 0)

    def samples(self, first: int, count: int) -> Samples:
        """Return {name: (count, P)}, and the returns (count, 1)."""
        found = {"return": self.returns(self.theta, first, count)[:, None]}
        if self.program is not None:
            out = run_kernel(self.program, self.seed, first, count).reshape(-1, self.P, count)
            found |= {name: out[k].T.copy() for k, name in enumerate(self.program.names)}
        return found


def directions(theta: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return directions in parameter space, (D, P): the axes, or some that move all parameters by about their size."""
    P = len(theta)
    if P <= DIRECTIONS:
        return np.eye(P)
    size = np.abs(theta)
    usual = np.median(size[size > 0]) if size.any() else 1.0
    random = np.random.default_rng(seed).normal(size=(DIRECTIONS, P))
    return random * np.where(size > 1e-3 * usual, size, usual) / np.sqrt(P)


def finite(samples: Samples, count: int) -> Finding:
    """Return the Finding on what is not finite."""
    lost = {name: int((~np.isfinite(x).all(axis=1)).sum()) for name, x in samples.items()}
    rate = max(lost.values()) / count
    values = {"count": count, "nonfinite": lost, "rate": rate}
    if not any(lost.values()):
        return Finding("finite", "ok", f"returns and gradients of all {count} trajectories", values)
    what = ", ".join(f"{name} {k}" for name, k in lost.items() if k)
    text = f"of {count} trajectories some ({100 * rate:.3g}%) are not: {what}"
    text += "\nA log or root of something negative, a division by zero, or a state that grows without bound."
    return Finding("finite", "wrong", text, values)


def pathwise(kernel: Kernel, lines: NDArray[np.float64], found: Slopes, samples: Samples) -> Finding:
    """Return the Finding on single trajectories: each must agree with its differences at some width.

    Differences of fourth order at each width may be off by what halving it changes, and by rounding.

    Parameters
    ----------
    found : Slopes
        Differences along the lines.
    """
    count = min(CLOSE, len(samples["return"]))
    gradients, size_of_return = samples["pathwise"][:count], np.abs(samples["return"][:count, 0])
    off, typical = np.zeros(count, bool), [0.0]
    with np.errstate(all="ignore"):
        for direction, widest, estimate in zip(lines, found.widths, found.estimate, strict=True):
            if not widest > 0:
                continue
            ours = gradients @ direction
            usual = np.abs(ours[np.isfinite(ours)])
            size = np.abs(ours) + max(np.median(usual) if len(usual) else 0.0, abs(estimate))
            size = np.maximum(size, 1e-10 * size_of_return / widest)
            agrees, nearest = ~np.isfinite(ours), np.full(count, np.inf)
            for h in widest * 0.5 ** np.array(NARROW):
                wide, narrow = (_central(kernel, direction, x, count) for x in (h, h / 2))
                apart, change = np.abs(ours - (4.0 * narrow - wide) / 3.0), np.abs(wide - narrow)
                rounding = 1e-13 * size_of_return / h
                sharp = change + rounding <= 1e-2 * size  # a width at which everything agrees tells nothing
                agrees |= sharp & (apart <= change + 1e-6 * size + rounding)
                nearest = np.fmin(nearest, np.where(np.isfinite(apart), apart, np.inf) / np.maximum(size, 1e-300))
            off |= ~agrees & np.isfinite(nearest)
            near = nearest[np.isfinite(nearest)]
            typical.append(np.median(near) if len(near) else 0.0)
    share = float(off.mean())
    values = {"share": share, "difference": float(max(typical)), "count": count}
    agree = f"finite differences agree on {count - off.sum()} of {count} trajectories, typically within "
    agree += f"{values['difference']:.1g}"
    if share == 0:
        return Finding("pathwise", "ok", agree, values)
    if share < 0.5:
        return Finding("pathwise", "note", f"{agree}; where they do not there is a kink or a jump nearby", values)
    return Finding("pathwise", "wrong", f"{agree}: the return is nowhere smooth, or too steep for float64", values)


def _central(kernel: Kernel, direction: NDArray[np.float64], h: float, count: int) -> NDArray[np.float64]:
    up, down = (kernel.returns(kernel.theta + x * direction, 0, count) for x in (h, -h))
    return (up - down) / (2.0 * h)


def means(problem: Problem, lines: NDArray[np.float64], found: Slopes, samples: Samples) -> Finding:
    """Return the Finding on the means of gradients; the score function has its own score as a control variate.

    Parameters
    ----------
    found : Slopes
        Differences along the lines on the trajectories of the samples.
    """
    fourth = len(samples["return"]) // 4
    known: Samples = {}
    if "score function" in samples:
        known["score function"] = _controlled(samples["score function"], samples["score"], fourth)
    if "pathwise" in samples:
        known["pathwise"] = samples["pathwise"][fourth:]
    # Along a line the derivative is in units of what the return changes over the width of its differences.
    units = np.where(found.widths > 0, found.widths, 0.0)
    known = {name: x @ lines.T for name, x in known.items()} | {"finite differences": found.samples[fourth:]}
    bias = {name: np.zeros(len(lines)) for name in known} | {"finite differences": found.bias}
    most = limit(3 * len(lines))
    said, wrong, seen = [], [], []
    values: dict[Any, Any] = {"limit": most}  # and for each two what is between them
    for first, second in itertools.combinations(known, 2):
        x = _apart(known[first], known[second], bias[first] + bias[second], units, most)
        values[first, second] = x
        text = f"{first} and {second}: {x['z']:.1f} standard errors apart"
        if x["z"] > most:
            wrong.append(f"{text}, by {percent(x['relative'])} of the gradient")
        elif x["visible"] <= UNSEEN:
            said.append(f"{text} ({percent(x['visible'])} of the gradient would have been seen)")
            seen += [first, second]
        else:
            hidden = f"{percent(x['visible'])} of the gradient hides in the noise of {len(known[first])}"
            said.append(f"{first} and {second}: not tested, because {hidden}")
    status = "wrong" if wrong else "ok" if set(seen) == set(known) else "note" if seen else "none"
    if wrong and problem.environment.discontinuous and all("pathwise" in text for text in wrong):
        status, wrong = "note", [f"{text}, as declared" for text in wrong]
    text = "\n".join(wrong + said) or "not tested, because there is nothing but finite differences"
    return Finding("means", status, text, values)


def needed(agreement: Finding, count: int) -> list[int]:
    """Return how many trajectories would show what `count` of them hide, for each two means that are not tested."""
    if agreement.status == "wrong":
        return []
    hidden = [x["visible"] for key, x in agreement.values.items() if key != "limit" and x["visible"] > UNSEEN]
    return [int(1.2 * count * (x / UNSEEN) ** 2) for x in hidden if np.isfinite(x)]


def _controlled(gradients: NDArray[np.float64], scores: NDArray[np.float64], fourth: int) -> NDArray[np.float64]:
    """Return g - c z from number `fourth` on, with the c_p of least variance from those before."""
    g, z = gradients[:fourth], scores[:fourth]
    finite = np.isfinite(g).all(axis=1) & np.isfinite(z).all(axis=1)
    g, z = g[finite], z[finite]
    power = (z * z).sum(axis=0)
    c = np.divide((g * z).sum(axis=0), power, out=np.zeros_like(power), where=power > 0)
    return gradients[fourth:] - c * scores[fourth:]


def _apart(
    x: NDArray[np.float64], y: NDArray[np.float64], bias: NDArray[np.float64], units: NDArray[np.float64], most: float
) -> dict[str, Any]:
    """Return how far the means of two estimators are apart on the same trajectories, beyond a bound on their bias (D,)."""
    usable = units > 0
    x, y, bias, units = x[:, usable], y[:, usable], bias[usable], units[usable]
    finite = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    x, y = x[finite], y[finite]
    if len(x) < 2 or not usable.any():
        return {"z": 0.0, "relative": np.nan, "visible": np.inf, "difference": np.full(len(usable), np.nan)}
    mean, error = (x - y).mean(axis=0), (x - y).std(axis=0, ddof=1) / np.sqrt(len(x))
    size = float(np.linalg.norm(units * y.mean(axis=0))) or float(np.linalg.norm(units * x.mean(axis=0)))
    # Two that agree on every trajectory differ by rounding and by the error of finite differences.
    excess = np.maximum(np.abs(mean) - bias, 0.0)
    close = excess <= 1e-6 * np.abs(y).mean(axis=0)
    z = np.where(close, 0.0, excess / np.maximum(error, 1e-300))
    relative, visible = (
        float(np.linalg.norm(units * v)) / size if size > 0 else np.inf for v in (mean, most * error + bias)
    )
    difference = np.full(len(usable), np.nan)
    difference[usable] = mean
    return {"z": float(z.max()), "relative": relative, "visible": visible, "difference": difference}
