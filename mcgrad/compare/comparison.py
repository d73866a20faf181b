"""What a comparison of estimators found: a table, a sentence that it supports, rows for a file."""

import dataclasses
from typing import NamedTuple

import numpy as np

from ..check.findings import reason

PLAIN = "reward to go"  # what everybody begins with
ROLLOUTS = 16  # estimators that take more of them for a sample are measured apart, on fewer samples


class Row(NamedTuple):
    """What was found of one estimator; `mean`, `stderr` (P,), the rest are numbers (see the module)."""

    estimator: str
    family: str
    rollouts: int
    count: int
    nonfinite: int
    mean: np.ndarray
    stderr: np.ndarray
    variance: float
    variance_stderr: float
    signal_to_noise: float
    cosine: float
    cosine_stderr: float
    nanoseconds: float
    nanoseconds_spread: float
    bias_z: float | None  # None: it is the reference itself
    visible_bias: float | None  # the bias, as a fraction of the gradient, that the test would just see

    @property
    def price(self):
        """Variance times nanoseconds: what a mean of given accuracy costs."""
        return self.variance * self.nanoseconds

    @property
    def price_stderr(self):
        """Its standard error, from that of the variance and the spread of the times."""
        return self.price * self.relative_error

    @property
    def relative_error(self):
        """The relative standard error of the price."""
        if not (self.variance > 0 and self.nanoseconds > 0):
            return 0.0
        return float(np.hypot(self.variance_stderr / self.variance, self.nanoseconds_spread / self.nanoseconds))


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """What `mcgrad.compare` found.

    Attributes
    ----------
    title : str
        The problem, in a few words.
    parameters : tuple of str
    rows : tuple of Row
        The least variance times time first.
    missing : dict
        Name -> why there is no such estimator here.
    reference : str
        What the gradient is: "exact", or the name of an estimator.
    gradient : (P,) array
    objective : float or None
        The exact J, if it is known.
    moments : dict
        Name -> Moments that hold it.
    batch, seed : int
    threshold : float
        The z above which an estimator fails the test for bias.
    together : (float, float)
        Nanoseconds of a sample of all estimators with few rollouts from one kernel, and their spread.
    notes : tuple of str
    """

    title: str
    parameters: tuple
    rows: tuple
    missing: dict
    reference: str
    gradient: np.ndarray
    objective: float | None
    moments: dict
    batch: int
    seed: int
    threshold: float
    together: tuple
    notes: tuple

    def __getitem__(self, name):
        return next(row for row in self.rows if row.estimator == name)

    def passes(self, row):
        """Tell whether an estimator passes the test for bias and was finite on every trajectory."""
        return (row.bias_z is None or row.bias_z <= self.threshold) and row.nonfinite == 0 and row.variance >= 0

    def contenders(self):
        """Return those that pass, the cheapest first."""
        return [row for row in self.rows if self.passes(row)]

    def recommendation(self):
        """Return one sentence, or two: which estimator, by which factor, and how sure that is."""
        passing = self.contenders()
        if not passing:
            return "No estimator was finite on all trajectories and passed the test for bias: see mcgrad.check."
        best, *others = passing
        if best.variance == 0:
            return f"Use {best.estimator}: it does not vary at all here, one sample is the gradient."
        text = f"Use {best.estimator}: of those that pass the test for bias it has the least variance x time"
        plain = next((row for row in self.rows if row.estimator == PLAIN), None)
        if plain is not None and plain is not best:
            factor = plain.price / best.price
            error = factor * np.hypot(plain.relative_error, best.relative_error)
            text += f", {factor:.3g} times less than plain {PLAIN} (+- {100 * error / factor:.2g}%)"
        close = [row.estimator for row in others if not apart(row, best)]
        if close:
            text += f"; {_listed(close)} {'is' if len(close) == 1 else 'are'} within its error bars"
        text += "."
        if best.bias_z is not None and best.visible_bias > 0.1:
            text += f" (Only a bias above {best.visible_bias:.2g} of the gradient would have been seen.)"
        return text

    def __str__(self):
        return "\n".join([*self.heading(), "", *self.table(), "", *self.footnotes(), "", self.recommendation()])

    def heading(self):
        """Return the lines above the table."""
        counts = {row.count + row.nonfinite for row in self.rows}
        few = f", {min(counts)} of those with many rollouts" if len(counts) > 1 else ""
        known = f"; J = {self.objective:.6g}, exactly" if self.objective is not None else ""
        where = "exact" if self.reference == "exact" else f"that of {self.reference}"
        return [
            f"{self.title}{known}",
            f"{max(counts)} samples of each{few}; seed {self.seed}; gradient: {where}, "
            f"|gradient| = {np.linalg.norm(self.gradient):.4g}",
        ]

    def table(self):
        """Return the table, line by line."""
        single = len(self.parameters) == 1
        head = ("", "mean" if single else "|mean|", "total variance", "signal/noise", f"cosine, B={self.batch}")
        head += ("rollouts", "ns/sample", "variance x ns", "x best", "bias z")
        best = next((row.price for row in self.contenders()), None)
        lines = [head]
        for row in self.rows:
            mean = _figure(row.mean[0], row.stderr[0]) if single else f"{np.linalg.norm(row.mean):.4g}"
            cells = (row.estimator, mean, _figure(row.variance, row.variance_stderr), f"{row.signal_to_noise:.3g}")
            cells += (f"{row.cosine:.3f}", str(row.rollouts), _figure(row.nanoseconds, row.nanoseconds_spread))
            cells += (_figure(row.price, row.price_stderr), f"{row.price / best:.3g}" if best else "-")
            z = "reference" if row.bias_z is None else f"{row.bias_z:.1f}" + ("" if self.passes(row) else " FAILS")
            lines.append((*cells, z))
        return aligned(lines)

    def by_parameter(self):
        """Return a table with a line for each estimator and parameter."""
        lines = [("", "parameter", "gradient", "mean", "variance")]
        for row in self.rows:
            found = self.moments[row.estimator][row.estimator]
            for p, name in enumerate(self.parameters):
                mean = _figure(found.mean[p], found.stderr[p])
                variance = _figure(found.variance[p], found.variance_stderr[p])
                lines.append((row.estimator if p == 0 else "", name, f"{self.gradient[p]:.4g}", mean, variance))
        return aligned(lines, left=2)

    def footnotes(self):
        """Return what has to be said with the table."""
        together, spread = self.together
        few = [row for row in self.rows if row.rollouts <= ROLLOUTS]
        lines = [
            "total variance: of one sample, summed over parameters; +- is one standard error (of times, half the "
            "distance of the quartiles).",
            f"cosine: between the mean of {self.batch} samples and the gradient, averaged over batches of this "
            "measurement.",
            f"bias z: largest |mean - gradient| over parameters in standard errors; above {self.threshold:.1f} "
            "an estimator fails.",
        ]
        if len(few) > 1:
            lines.append(
                f"The {len(few)} with at most {ROLLOUTS} rollouts, from one kernel: {_figure(together, spread)} ns for "
                f"a sample of each; alone {sum(row.nanoseconds for row in few):.4g} ns."
            )
        lines += [
            f"{row.estimator}: {row.nonfinite} of its samples were not finite." for row in self.rows if row.nonfinite
        ]
        lines += list(self.notes)
        reasons = {}
        for name, why in self.missing.items():
            reasons.setdefault(reason(why), []).append(name)
        return lines + [f"not here: {'; '.join(names)} ({why})" for why, names in reasons.items()]

    def records(self):
        """Return one dict for each estimator, for a CSV file; those that do not exist here with the reason."""
        rows = []
        for row in self.rows:
            known = row._asdict()
            known |= {"mean_norm": float(np.linalg.norm(known.pop("mean"))), "batch": self.batch, "seed": self.seed}
            del known["stderr"]
            known |= {"variance_x_rollouts": row.variance * row.rollouts, "variance_x_nanoseconds": row.price}
            known |= {"variance_x_nanoseconds_stderr": row.price_stderr, "reference": self.reference}
            rows.append(known | {"bias_threshold": self.threshold, "passes": self.passes(row)})
        return rows + [{"estimator": name, "missing": " ".join(why.split())} for name, why in self.missing.items()]

    def parameter_records(self):
        """Return one dict for each estimator and parameter, for a CSV file: the rows of `Moments.table`."""
        return [x for row in self.rows for x in self.moments[row.estimator].rows(row.estimator, row.nanoseconds)]


def apart(a, b):
    """Tell whether two prices differ by more than two standard errors of their ratio."""
    if a.price <= 0 or b.price <= 0:
        return a.price != b.price
    return abs(np.log(a.price / b.price)) > 2.0 * np.hypot(a.relative_error, b.relative_error)


def aligned(lines, left=1):
    """Return lines of cells as text in columns, the first `left` of them flush left."""
    wide = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return [
        "  ".join(
            x.ljust(w) if k < left else x.rjust(w) for k, (x, w) in enumerate(zip(line, wide, strict=True))
        ).rstrip()
        for line in lines
    ]


def _figure(x, error):
    """Return a number with its relative error: 633.9 +- 0.95%."""
    if not np.isfinite([x, error]).all() or error <= 0 or x == 0:
        return f"{x:.4g}"
    return f"{x:.4g} +- {100 * error / abs(x):.2g}%"


def _listed(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
