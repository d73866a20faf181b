"""Gradients against finite differences of the return: the same trajectories, from one kernel, at other parameters."""

import dataclasses
import itertools

import numpy as np

from .. import estimators as e
from ..kernel.program import gradient_program
from ..run import run_kernel
from .findings import Finding, limit, reason
from .jumps import find_jumps

CLOSE = 512  # trajectories that are looked at one by one
DIRECTIONS = 8  # in parameter space: the axes if there are no more than that, else random ones


def scale(theta):
    """Return the size of theta's components, 1 for zeros."""
    size = float(np.sqrt(np.mean(np.square(theta))))
    return size if size > 0 else 1.0


class Kernel:
    """Returns, scores and gradients of single trajectories at any theta."""

    def __init__(self, problem, theta, families, seed):
        P = self.P = len(theta)
        whole = e.custom(
            lambda c, x, later: (later + x.reward, []),
            last=lambda c, end: end.reward,
            finish=lambda c, sums, whole_return: (whole_return,) + (0.0,) * (P - 1),
        )
        wanted = {"return": whole}
        if "score function" in families:
            wanted |= {"score": e.score(), "score function": families["score function"]}
        if "pathwise" in families:
            wanted["pathwise"] = families["pathwise"]
        self.program, self.seed = gradient_program(problem, theta, wanted), seed
        self.outputs = self.program.kernel.outputs

    def samples(self, theta, first, count):
        """Return {name: (count, P)}."""
        program = dataclasses.replace(self.program, theta=np.asarray(theta, dtype=float))
        out = run_kernel(program, self.seed, first, count).reshape(len(program.names), self.P, count)
        return {name: out[k].T.copy() for k, name in enumerate(program.names)}

    def returns(self, theta, first, count):
        """Return (count,) returns."""
        return self.samples(theta, first, count)["return"][:, 0]

    def differences(self, theta, direction, width, count):
        """Return central differences along a direction: of fourth order, and how far those of second order change."""
        wide, narrow = (
            (self.returns(theta + h * direction, 0, count) - self.returns(theta - h * direction, 0, count)) / (2.0 * h)
            for h in (width, width / 2)
        )
        return (4.0 * narrow - wide) / 3.0, np.abs(wide - narrow)


def directions(P, seed):
    """Return unit vectors, (D, P)."""
    if P <= DIRECTIONS:
        return np.eye(P)
    random = np.random.default_rng(seed).normal(size=(DIRECTIONS, P))
    return random / np.linalg.norm(random, axis=1, keepdims=True)


def finite(samples, count):
    """Return the Finding on what is not finite."""
    lost = {name: int((~np.isfinite(x).all(axis=1)).sum()) for name, x in samples.items()}
    values = {"count": count, "nonfinite": lost, "rate": max(lost.values()) / count}
    if not any(lost.values()):
        return Finding("finite", "ok", f"returns and gradients of all {count} trajectories", values)
    what = ", ".join(f"{name} {k}" for name, k in lost.items() if k)
    text = f"of {count} trajectories some ({100 * values['rate']:.3g}%) are not: {what}"
    text += "\nA log or root of something negative, a division by zero, or a state that grows without bound."
    return Finding("finite", "wrong", text, values)


def pathwise(kernel, theta, lines, samples):
    """Return the Finding on single trajectories; finite differences may be off by what halving the step changes."""
    count = min(CLOSE, len(samples["return"]))
    width = 1e-3 * scale(theta)
    gradients, off, differences = samples["pathwise"][:count], np.zeros(count, bool), [0.0]
    with np.errstate(all="ignore"):
        for direction in lines:
            slope, change = kernel.differences(theta, direction, width, count)
            ours = gradients @ direction
            usual = np.abs(ours[np.isfinite(ours)])
            size = np.abs(ours) + (np.median(usual) if len(usual) else 0.0)
            rounding = 1e-13 * np.abs(samples["return"][:count, 0]) / width
            apart = np.abs(ours - slope)
            off |= np.isfinite(apart) & (apart > change + 1e-6 * size + rounding)
            relative = apart / np.maximum(size, 1e-300)
            differences.append(np.median(relative[np.isfinite(relative)]) if np.isfinite(relative).any() else 0.0)
    share = float(off.mean())
    values = {"share": share, "difference": float(max(differences)), "count": count}
    agree = f"finite differences agree on {count - off.sum()} of {count} trajectories, typically within "
    agree += f"{values['difference']:.1g}"
    if share == 0:
        return Finding("pathwise", "ok", agree, values)
    if share < 0.5:
        return Finding("pathwise", "note", f"{agree}; where they do not there is a kink or a jump nearby", values)
    return Finding("pathwise", "wrong", f"{agree}: the return is nowhere smooth, or too steep for float64", values)


def jumps(problem, kernel, theta, lines, count):
    """Return the Finding on jumps of the return."""
    count, width = min(CLOSE, count), 0.03 * scale(theta)
    found = find_jumps(kernel.returns, theta, lines, count, width)
    declared = problem.environment.discontinuous
    values = {"number": len(found), "largest": max((abs(x.size) for x in found), default=0.0), "jumps": tuple(found)}
    values["declared"] = declared
    where = f"within {width:.2g} of theta, on {count} trajectories"
    if not found:
        text = f"none seen {where}" + (f", though they are declared: {reason(declared)}" if declared else "")
        return Finding("jumps", "note" if declared else "ok", text, values)
    x = max(found, key=lambda jump: abs(jump.size))
    text = f"the return jumps {where}: that of trajectory {x.trajectory} by {x.size:.3g}, for example"
    if declared:
        return Finding("jumps", "note", f"{text}; declared: {reason(declared)}", values)
    text += (
        "\nPathwise gradients do not see jumps, and are biased. Look for `where`, `floor`, `sign`, `//`, `%` whose sides do"
        "\nnot meet; make them meet, or say so: Environment(discontinuous='what jumps, and where')."
    )
    return Finding("jumps", "wrong", text, values)


def means(problem, kernel, theta, lines, samples):
    """Return the Finding on the means of gradients; the score function has its own score as a control variate."""
    count = len(samples["return"])
    fourth, known = count // 4, {}
    if "score function" in samples:
        known["score function"] = _controlled(samples["score function"], samples["score"], fourth)
    if "pathwise" in samples:
        known["pathwise"] = samples["pathwise"][fourth:]
    # A return that jumps has differences of variance 1 / width.
    width = (0.01 if "pathwise" in samples else 0.1) * scale(theta)
    slopes = [kernel.differences(theta, d, width, count)[0][fourth:] for d in lines]
    known = {name: x @ lines.T for name, x in known.items()} | {"finite differences": np.array(slopes).T}
    most = limit(3 * len(lines))
    said, wrong, values = [], [], {"limit": most}
    for first, second in itertools.combinations(known, 2):
        x = _apart(known[first], known[second], most)
        values[first, second] = x
        text = f"{first} and {second}: {x['z']:.1f} standard errors apart"
        if x["z"] <= most:
            said.append(f"{text} ({100 * x['visible']:.3g}% of the gradient would have been seen)")
        else:
            wrong.append(f"{text}, by {100 * x['relative']:.3g}% of the gradient")
    status = "wrong" if wrong else "ok"
    if wrong and problem.environment.discontinuous and all("pathwise" in text for text in wrong):
        status, wrong = "note", [f"{text}, as declared" for text in wrong]
    return Finding("means", status, "\n".join(wrong + said), values)


def _controlled(gradients, scores, fourth):
    """Return g - c z from number `fourth` on, with the c_p of least variance from those before."""
    g, z = gradients[:fourth], scores[:fourth]
    finite = np.isfinite(g).all(axis=1) & np.isfinite(z).all(axis=1)
    g, z = g[finite], z[finite]
    power = (z * z).sum(axis=0)
    c = np.divide((g * z).sum(axis=0), power, out=np.zeros_like(power), where=power > 0)
    return gradients[fourth:] - c * scores[fourth:]


def _apart(x, y, most):
    """Return how far the means of two estimators are apart on the same trajectories."""
    finite = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    x, y = x[finite], y[finite]
    if len(x) < 2:
        return {"z": 0.0, "relative": np.nan, "visible": np.inf, "difference": np.full(x.shape[1], np.nan)}
    mean, error = (x - y).mean(axis=0), (x - y).std(axis=0, ddof=1) / np.sqrt(len(x))
    size = float(np.linalg.norm(y.mean(axis=0)))
    # Two that agree on every trajectory differ by rounding and by the error of finite differences.
    close = np.abs(mean) <= 1e-6 * np.abs(y).mean(axis=0)
    z = np.where(close, 0.0, np.abs(mean) / np.maximum(error, 1e-300))
    relative, visible = (float(np.linalg.norm(v)) / size if size > 0 else np.inf for v in (mean, most * error))
    return {"z": float(z.max()), "relative": relative, "visible": visible, "difference": mean}
