"""How a comparison of estimators is told: a table, rows for a file, and a recommendation."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks.findings import reason
from ..text import aligned, figure, listed, within
from .evidence import DIFFERENCES, EXACT
from .known import CLOSED, RECURSION
from .prices import price_interval
from .recommendation import recommendation
from .results import Results
from .row import Row

if TYPE_CHECKING:
    import pandas

ROLLOUTS = 16  # estimators that take more of them for a sample are measured apart, on fewer samples
SHOWN = 3  # rows of the short form


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Comparison(Results):
    """What `mcgrad.compare` found: `print` it, `table()` it; `Results` says what it holds."""

    def recommendation(self) -> str:
        """Return which estimator, by which factor, and how sure that is; or why none."""
        return recommendation(self)

    def __str__(self) -> str:
        return "\n".join([*self.heading(), "", *self.lines(), "", *self.footnotes(), "", self.recommendation()])

    def __repr__(self) -> str:
        lines = [self.title, *(f"  {line}" for line in aligned(self._short())), self.recommendation()]
        if len(self.rows) > SHOWN:
            lines.append(f"(print(...) shows all {len(self.rows)} estimators; .rows has them for programs)")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            first, *rest = (html.escape(str(x)) for x in cells)
            others = "".join(f'<{tag} style="text-align: right">{x}</{tag}>' for x in rest)
            return f'<tr><{tag} style="text-align: left">{first}</{tag}>{others}</tr>'

        head, *rows = self.cells()
        table = [line(head, "th"), *(line(row, "td") for row in rows)]
        said = [f"<p>{html.escape(x).replace(chr(10), '<br>')}</p>" for x in (self.title, self.recommendation())]
        return f"{said[0]}<table>{''.join(table)}</table>{said[1]}"

    def _short(self) -> list[tuple[str, ...]]:
        cells = {row[0]: row for row in self.cells()}
        shown = (self.contenders() or list(self.rows))[:SHOWN]
        columns = [0] + [self.cells()[0].index(x) for x in ("total variance", "variance x ns", "x best")]
        return [tuple(cells[name][k] for k in columns) for name in ("", *(row.estimator for row in shown))]

    def heading(self) -> list[str]:
        """Return the lines above the table."""
        counts = {row.count + row.nonfinite for row in self.rows}
        few = f", {min(counts)} of those with many rollouts" if len(counts) > 1 else ""
        known = f"; J = {self.objective:.6g}, exactly" if self.objective is not None else ""
        where = {EXACT: "exact", DIFFERENCES: "by central differences"}.get(self.reference, f"that of {self.reference}")
        where += ", exactly" if any(row.exact for row in self.rows if row.estimator == self.reference) else ""
        where += "" if self.verdict.trusted else ", which nothing vouches for"
        where += ", in dispute" if self.is_disputed() else ""
        return [
            f"{self.title}{known}",
            f"{max(counts)} samples of each{few}; seed {self.seed}; gradient: {where}, "
            f"|gradient| = {np.linalg.norm(self.gradient):.4g}",
        ]

    def table(self) -> pandas.DataFrame:
        """Return a pandas DataFrame with a row for each estimator: all that is measured and concluded of it (`records`)."""
        import pandas  # heavy

        return pandas.DataFrame(self.records())

    def lines(self) -> list[str]:
        """Return the table to be printed, line by line."""
        return aligned(self.cells(), left=2)

    def cells(self) -> list[tuple[str, ...]]:
        """Return the cells of the table, the head first."""
        single = len(self.parameters) == 1
        head: tuple[str, ...] = (
            "",
            "knows",
            "mean" if single else "|mean|",
            "total variance",
            "signal/noise",
            f"cosine, B={self.batch}",
        )
        head += ("rollouts", "ns/sample", "variance x ns", "x best", "bias z")
        best = next(iter(self.contenders()), None)
        lines = [head]
        for row in self.rows:
            mean = (
                figure(row.mean[0], 0.0 if row.exact else row.stderr[0])
                if single
                else f"{np.linalg.norm(row.mean):.4g}"
            )
            variance = within(row.variance, row.variance_low, row.variance_high) + (" few" if row.rests_on_few else "")
            variance += {CLOSED: " exact", RECURSION: " exact*"}.get(row.exact, "")
            cells: tuple[str, ...] = (row.estimator, row.knows, mean, variance, f"{row.signal_to_noise:.3g}")
            cells += (f"{row.cosine:.3f}", str(row.rollouts), figure(row.nanoseconds, row.nanoseconds_spread))
            cells += (f"{row.price:.4g}", self._times(row, best), self._mark(row))
            lines.append(cells)
        return lines

    def _times(self, row: Row, best: Row | None) -> str:
        """Return how much dearer a row is than the best."""
        if best is None or row is best:
            return "-" if best is None else "1"
        ratio = self.ratio(row, best)
        return "-" if np.isnan(ratio.ratio) else within(*ratio)  # of nothing over nothing

    def _mark(self, row: Row) -> str:
        """Return the z of a row, and what is to be thought of it."""
        z = "reference" if row.bias_z is None else f"{row.bias_z:.1f}"
        word = "APART" if self.is_disputed() else "FAILS"
        fails = row.bias_z is not None and row.bias_z > self.threshold
        mark = "JUMPS" if row.jumps else word if fails else "smoothed" if row.smoothed else ""
        mark = mark or ("" if self.passes(row) else word)
        return f"{z} {mark}".rstrip()

    def by_parameter(self) -> list[str]:
        """Return a table with a line for each estimator and parameter."""
        lines = [("", "parameter", "gradient", "mean", "variance (95%)")]
        intervals = {row.estimator: self.moments[row.estimator][row.estimator].variance_interval() for row in self.rows}
        for row in self.rows:
            found = self.moments[row.estimator][row.estimator]
            for p, name in enumerate(self.parameters):
                mean = figure(found.mean[p], found.stderr[p])
                variance = within(found.variance[p], *(x[p] for x in intervals[row.estimator]))
                lines.append((row.estimator if p == 0 else "", name, f"{self.gradient[p]:.4g}", mean, variance))
        return aligned(lines, left=2)

    def footnotes(self) -> list[str]:
        """Return what has to be said with the table."""
        together, spread = self.together
        few = [row for row in self.rows if row.rollouts <= ROLLOUTS]
        lines = [
            "total variance: of one sample, summed over parameters; in brackets, here and of ratios, 95% intervals. +- is one "
            "standard error (of times, half the distance of the quartiles).",
            f"cosine: between the mean of {self.batch} samples and the gradient, averaged over batches of this "
            "measurement.",
            f"bias z: largest |mean - gradient| over parameters in standard errors; above {self.threshold:.1f} an "
            "estimator fails, by chance in one of 1000 comparisons.",
        ]
        lines += self._exact()
        if any(row.rests_on_few for row in self.rows):
            lines.append(
                "few: the variance rests on few trajectories (less than 100 times the kurtosis) and is likely too small; take "
                "more samples."
            )
        if any(row.smoothed for row in self.rows):
            lines.append("smoothed: biased by its width; it estimates the gradient of the objective smoothed over it.")
        if any(row.jumps for row in self.rows):
            why = self.jumps.declared or f"the return jumps as theta moves, {self.jumps.found}"
            lines.append(f"JUMPS: derivatives do not see jumps, what rests on them is biased here: {why}.")
        if len(few) > 1:
            lines.append(
                f"The {len(few)} with at most {ROLLOUTS} rollouts, from one kernel: {figure(together, spread)} ns for "
                f"a sample of each; alone {sum(row.nanoseconds for row in few):.4g} ns."
            )
        lines += [
            f"{row.estimator}: {row.nonfinite} of its samples were not finite." for row in self.rows if row.nonfinite
        ]
        if self.floor is not None:
            # What did not vary at all has no interval.
            below = {r.estimator: (r.variance_high if r.variance > 0 else 0.0) * r.rollouts for r in self.rows}
            lines += self.floor.lines({row.estimator: row.knows for row in self.rows}, below)
        reasons: dict[str, list[str]] = {}
        for name, why in self.missing.items():
            reasons.setdefault(reason(why), []).append(name)
        return lines + [f"not here: {'; '.join(names)} ({why})" for why, names in reasons.items()]

    def _exact(self) -> list[str]:
        """Return what is said of exact means and variances."""
        by = {row.exact for row in self.rows}
        lines = ["exact: mean and variance by a closed form, without the kernels."] if CLOSED in by else []
        if RECURSION in by:
            lines.append(
                "exact*: mean and variance by a recursion over the state, which reads the same traced functions as the kernels "
                "do: it takes the noise out, and is no witness of step, reward, sample or score."
            )
        if self.contradicted:
            names = listed(self.contradicted)
            lines.append(f"Measured and exact moments CONTRADICT each other, and the measured ones are shown: {names}.")
        return lines

    def records(self) -> list[dict[str, Any]]:
        """Return one dict for each estimator, for a CSV file; those that do not exist here with the reason."""
        rows = []
        for row in self.rows:
            known = dict(vars(row))
            known |= {"mean_norm": float(np.linalg.norm(known.pop("mean"))), "batch": self.batch, "seed": self.seed}
            del known["stderr"]
            known |= {"variance_x_rollouts": row.variance * row.rollouts, "variance_x_nanoseconds": row.price}
            low, high = price_interval(row)
            known |= {
                "variance_x_nanoseconds_low": low,
                "variance_x_nanoseconds_high": high,
                "reference": self.reference,
            }
            known |= {"bias_threshold": self.threshold, "passes": self.passes(row)}
            bounds = self.floor._asdict() if self.floor is not None else {}
            known |= {f"{model}_bound": bounds.get(model) for model in ("tree", "markov")}
            rows.append(known | {"contends": row in self.contenders()})
        return rows + [{"estimator": name, "missing": " ".join(why.split())} for name, why in self.missing.items()]

    def parameter_records(self) -> list[dict[str, Any]]:
        """Return one dict for each estimator and parameter, for a CSV file: the rows of `Moments.table`."""
        return [x for row in self.rows for x in self.moments[row.estimator].rows(row.estimator, row.nanoseconds)]
