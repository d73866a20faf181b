"""What a comparison may take for the gradient, who agrees with it, and what follows where some do not.

No estimator is the truth by fiat. The reference is, in this order,

    exact                   where `mcgrad.exact` knows the problem
    an estimator            unbiased by theory, of a return that does not jump if it rests on derivatives, finite everywhere:
                            of these the one whose mean is known best, exactly or by measurement
    central differences     of returns on common noise, extrapolated, with a bound on their own bias

Where it is an estimator, all others of which theory says the same have to agree with it, and so have central differences,
which rest on returns alone. If they do not, one of the premises is wrong, and nothing is recommended: `Disagreement` says
whose premise that is most likely. A row fails if its z is above what chance gives one estimator in 1000 comparisons, with
all parameters of all rows and of the differences counted (Bonferroni).
"""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..differences import Slopes
from .disagreement import Disagreement, among
from .evidence import DIFFERENCES, EXACT, Evidence
from .measuring import Apart

CHANCE = 1e-3  # of a false alarm in a comparison


class Verdict(NamedTuple):
    """What is taken for the gradient, and what is thought of the rest.

    Attributes
    ----------
    reference : str
        EXACT, DIFFERENCES, or the name of an estimator.
    gradient : (P,) array
    trusted : bool
        False if nothing that is known to be unbiased was found: the reference is then what there is.
    apart : dict
        Name -> Apart from the reference, None for the reference itself.
    threshold : float
        The z above which an estimator fails.
    witness : Apart or None
        How far the reference is from differences of returns, where it is an estimator.
    witness_visible : float or None
        The error, as a fraction of the gradient, that these would just have seen.
    disagreement : Disagreement or None
    """

    reference: str
    gradient: NDArray[np.float64]
    trusted: bool
    apart: dict[str, Apart | None]
    threshold: float
    witness: Apart | None
    witness_visible: float | None
    disagreement: Disagreement | None


def judge(evidence: Evidence) -> Verdict:
    """Return the Verdict on what was measured."""
    P = len(next(iter(evidence.measured.values())).moments.parameters)
    threshold = limit(P * (len(evidence.claims) + 1))
    sound = evidence.sound()
    found = _verdict(evidence, sound, threshold)
    rivals = {name for name in sound if (x := found.apart[name]) is not None and x.worst > threshold}
    if not rivals and (found.witness is None or found.witness.worst <= threshold):
        return found
    disagreement = among(evidence, sound, rivals, threshold)
    if disagreement.beside and found.reference not in (EXACT, *disagreement.beside):
        found = _verdict(
            evidence, list(disagreement.beside), threshold
        )  # what is not at fault, as far as returns can tell
    return found._replace(disagreement=disagreement)


def _verdict(evidence: Evidence, sound: Sequence[str], threshold: float) -> Verdict:
    """Return the Verdict where `sound` are the names that may be the reference, the best first."""
    trusted = True
    if evidence.exact is not None:
        reference, gradient = EXACT, evidence.exact
    elif sound:
        reference, gradient = sound[0], evidence.mean(sound[0])
    elif evidence.slopes is not None and _is_whole(evidence.slopes, evidence.directions):
        reference, gradient = DIFFERENCES, evidence.slopes.estimate
    else:
        reference, trusted = _known_best(evidence), False
        gradient = evidence.found(reference).mean
    apart = {name: None if name == reference else evidence.apart(name, reference) for name in evidence.claims}
    witness = visible = None
    if reference in sound and evidence.slopes is not None and evidence.directions is not None:
        witness = evidence.apart(reference, DIFFERENCES)
        visible = witness.visible(threshold, float(np.linalg.norm(evidence.directions @ gradient)))
    return Verdict(reference, gradient, trusted, apart, threshold, witness, visible, None)


def limit(comparisons: int, chance: float = CHANCE) -> float:
    """Return the z that one of so many numbers exceeds by chance, in one of 1000 comparisons."""
    return statistics.NormalDist().inv_cdf(1.0 - chance / (2 * comparisons))


def _is_whole(slopes: Slopes, directions: NDArray[np.float64] | None) -> bool:
    """Tell whether the differences are a gradient, and good for something."""
    if directions is None or not np.array_equal(directions, np.eye(directions.shape[1])):
        return False
    return bool(np.isfinite(slopes.estimate).all() and np.isfinite(slopes.stderr).all())


def _known_best(evidence: Evidence) -> str:
    """Return the name of what to draw the gradient from where nothing can be relied on."""
    names = [name for name in evidence.claims if evidence.found(name).count > 1]
    if not names:
        raise ValueError("problem: no estimator was finite on more than one trajectory")
    order = [
        (evidence.broken(name), evidence.found(name).nonfinite, np.linalg.norm(evidence.found(name).stderr), name)
        for name in names
    ]
    return min(order)[-1]
