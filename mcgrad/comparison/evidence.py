"""What was claimed of estimators, what was measured of them, and what is known besides: all that a verdict rests on."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..differences import Slopes
from ..estimate import Estimate
from .candidates import DERIVATIVES, IN_PART
from .known import TOLERANCE, Known
from .measuring import Apart, Samples, from_another, from_exact, from_slopes

EXACT, DIFFERENCES = "exact", "central differences"


class Claim(NamedTuple):
    """What is said of an estimator before it is measured.

    Attributes
    ----------
    family : str
    rests : frozenset
        What it rests on besides returns.
    unbiased : bool
        Whether theory says that it is, if that is right; False where nothing is known.
    smoothed : bool
        Whether it estimates the gradient of an objective smoothed over a width.
    """

    family: str
    rests: frozenset[str]
    unbiased: bool
    smoothed: bool = False


class Jumps(NamedTuple):
    """Whether the return jumps as theta moves.

    Attributes
    ----------
    declared : str or None
        What the environment says of itself.
    found : str or None
        What a search has seen.
    """

    declared: str | None = None
    found: str | None = None

    def __bool__(self) -> bool:
        return bool(self.declared or self.found)


class Evidence(NamedTuple):
    """All that was measured.

    Attributes
    ----------
    measured : dict
        Name -> Samples.
    claims : dict
        Name -> Claim.
    jumps : Jumps
    exact : (P,) array or None
    slopes : Slopes or None
        Central differences along `directions` (D, P), on the first trajectories of those in `common`.
    directions : (D, P) array or None
    common : frozenset of str
        Estimators that were measured on the trajectories of the differences.
    batch : int
    known : dict
        Name -> `Known`, the exact moments of those of which these are known.
    """

    measured: dict[str, Samples]
    claims: dict[str, Claim]
    jumps: Jumps
    exact: NDArray[np.float64] | None
    slopes: Slopes | None
    directions: NDArray[np.float64] | None
    common: frozenset[str]
    batch: int
    known: Mapping[str, Known] = MappingProxyType({})

    def found(self, name: str) -> Estimate:
        """Return the Estimate of an estimator."""
        return self.measured[name].moments[name]

    def broken(self, name: str) -> bool:
        """Tell whether an estimator rests on derivatives of a return that jumps."""
        rests = self.claims[name].rests
        return bool(self.jumps) and (DERIVATIVES in rests or (IN_PART in rests and bool(self.jumps.declared)))

    def unbiased(self, name: str) -> bool:
        """Tell whether theory says that an estimator is unbiased here.

        Where a jump was found it is not known whether it lies on the way of what is followed in part.
        """
        claim = self.claims[name]
        return claim.unbiased and not self.broken(name) and not (IN_PART in claim.rests and bool(self.jumps))

    def sound(self) -> list[str]:
        """Return the names of those that theory calls unbiased here, known best first."""
        names = [name for name in self.claims if self.unbiased(name) and self._is_finite(name)]
        return sorted(names, key=lambda name: (name not in self.known, np.linalg.norm(self.found(name).stderr)))

    def mean(self, name: str) -> NDArray[np.float64]:
        """Return the mean of an estimator, exactly where it is known."""
        return self.known[name].mean if name in self.known else self.found(name).mean

    def apart(self, name: str, other: str) -> Apart:
        """Return how far an estimator is Apart from another one, from DIFFERENCES or from what is EXACT."""
        if other == EXACT:
            assert self.exact is not None
            return from_exact(self.measured[name], name, self.exact)
        if other == DIFFERENCES:
            assert self.slopes is not None and self.directions is not None
            common = name in self.common
            return from_slopes(self.measured[name], name, self.slopes, self.directions, self.batch, common)
        if other in self.known:
            return from_exact(self.measured[name], name, self.known[other].mean, TOLERANCE)
        return from_another(self.measured[name], name, self.measured[other], other)

    def _is_finite(self, name: str) -> bool:
        x = self.found(name)
        return x.nonfinite == 0 and x.count > 1 and bool(np.isfinite(x.mean).all() and np.isfinite(x.stderr).all())
