"""What a comparison of estimators found, and which of them can be recommended."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..checks.findings import Report
from ..differences import Slopes
from ..estimators.knowledge import FITTED, ORACLE
from ..floor import Floor
from ..intervals import Ratio
from ..moments import Moments
from .evidence import EXACT, Jumps
from .prices import price_ratio
from .row import Row
from .verdict import Verdict

OWN = 0.05  # of the gradient: a bias that must have been visible before an estimator without a theory is recommended


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Results:
    """What was found, see `Comparison` for how it is told.

    Attributes
    ----------
    title : str
        The problem, in a few words.
    parameters : tuple of str
    rows : tuple of Row
        The least variance times time first.
    missing : dict
        Name -> why there is no such estimator here.
    verdict : Verdict
        What the gradient is taken from, who agrees with it and who does not.
    jumps : Jumps
        Whether the return jumps, declared or found.
    report : Report or None
        What `mcgrad.check` found, where estimators disagree.
    objective : float or None
        The exact J, if it is known.
    moments : dict
        Name -> Moments that hold it.
    batch, seed : int
    together : (float, float)
        Nanoseconds of a sample of all estimators with few rollouts from one kernel, and their spread.
    no_score : str or None
        Why the policy has no score.
    slopes : Slopes or None
        Central differences of returns, where the gradient is not known exactly.
    floor : Floor or None
        What trajectories alone can give, where it is known.
    contradicted : tuple of str
        Those whose exact moments are not what was measured.
    """

    title: str
    parameters: tuple[str, ...]
    rows: tuple[Row, ...]
    missing: dict[str, str]
    verdict: Verdict
    jumps: Jumps
    report: Report | None
    objective: float | None
    moments: dict[str, Moments]
    batch: int
    seed: int
    together: tuple[float, float]
    no_score: str | None = None
    slopes: Slopes | None = None
    floor: Floor | None = None
    contradicted: tuple[str, ...] = ()

    def ratio(self, row: Row, other: Row) -> Ratio[float]:
        """Return (ratio, low, high): variance times nanoseconds of a row over that of another, and its 95 percent interval.

        Parameters
        ----------
        row, other : Row
            Two of `rows`, or `found[name]`.

        Returns
        -------
        Ratio
            Three floats; what both variances have in common, where they were measured on common noise, is taken off.
        """
        return price_ratio(row, other, self.moments)

    def __getitem__(self, name: str) -> Row:
        found = next((row for row in self.rows if row.estimator == name), None) if isinstance(name, str) else None
        if found is None:
            raise KeyError(
                f"no estimator called {name!r} was compared; there are {', '.join(row.estimator for row in self.rows)}"
            )
        return found

    @property
    def reference(self) -> str:
        """What the gradient is: "exact", "central differences", or the name of an estimator."""
        return self.verdict.reference

    @property
    def gradient(self) -> NDArray[np.float64]:
        """The gradient, (P,)."""
        return self.verdict.gradient

    @property
    def threshold(self) -> float:
        """The z above which an estimator fails the test for bias."""
        return self.verdict.threshold

    def passes(self, row: Row) -> bool:
        """Tell whether an estimator passes the test for bias, was finite on every trajectory, and does not miss jumps.

        Parameters
        ----------
        row : Row
            One of `rows`, or `found[name]`.
        """
        agrees = row.bias_z is None or row.bias_z <= self.threshold
        return bool(agrees and row.nonfinite == 0 and row.variance >= 0 and not row.jumps)

    def contends(self, row: Row) -> bool:
        """Tell whether an estimator can be recommended.

        It passes, and theory says that it is unbiased; where no theory says so (one's own estimators, those that follow what
        may jump), a bias of five percent of the gradient must have been visible. Not where a critic stands in for a return: an
        exact one is the answer, and what a fitted one costs is not in the variance.

        Parameters
        ----------
        row : Row
            One of `rows`, or `found[name]`.
        """
        if not (self.verdict.trusted and self.passes(row)) or row.knows in (ORACLE, FITTED):
            return False
        tested = row.visible_bias is not None and row.visible_bias <= OWN
        return row.unbiased or (not row.smoothed and tested)

    def contenders(self) -> list[Row]:
        """Return those that can be recommended, the cheapest first; none where estimators disagree on what the gradient is."""
        if self.is_disputed():
            return []
        return [row for row in self.rows if self.contends(row)]

    def is_disputed(self) -> bool:
        """Tell whether estimators disagree on what the gradient is, and nothing knows it."""
        return self.verdict.disagreement is not None and self.reference != EXACT
