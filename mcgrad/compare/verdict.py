"""What a comparison may take for the gradient, who agrees with it, and what follows where some do not.

No estimator is the truth by fiat. The reference is, in this order,

    exact                   where `mcgrad.exact` knows the problem
    an estimator            unbiased by theory, of a return that does not jump if it rests on derivatives, finite everywhere:
                            of these the one whose mean is known best
    central differences     of returns on common noise, extrapolated, with a bound on their own bias

Where it is an estimator, all others of which theory says the same have to agree with it, and so have central differences,
which rest on returns alone. If they do not, one of the premises is wrong, and nothing is recommended: `Disagreement` says
whose premise that is most likely. A row fails if its z is above what chance gives one estimator in 1000 comparisons, with
all parameters of all rows and of the differences counted (Bonferroni).
"""

import statistics
from typing import NamedTuple

import numpy as np

from .candidates import DERIVATIVES, MEASURE, SCORE
from .measuring import Apart, from_another, from_exact, from_slopes

CHANCE = 1e-3  # of a false alarm in a comparison
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
    rests: frozenset
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

    def __bool__(self):
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
    """

    measured: dict
    claims: dict
    jumps: Jumps
    exact: np.ndarray | None
    slopes: object
    directions: np.ndarray | None
    common: frozenset
    batch: int

    def found(self, name):
        """Return the Estimate of an estimator."""
        return self.measured[name].moments[name]

    def broken(self, name):
        """Tell whether an estimator rests on derivatives of a return that jumps."""
        return bool(self.jumps) and DERIVATIVES in self.claims[name].rests

    def sound(self):
        """Return the names of those that theory calls unbiased here, known best first."""
        names = [
            name
            for name, claim in self.claims.items()
            if claim.unbiased and not self.broken(name) and self._is_finite(name)
        ]
        return sorted(names, key=lambda name: np.linalg.norm(self.found(name).stderr))

    def apart(self, name, other):
        """Return how far an estimator is Apart from another one, from DIFFERENCES or from what is EXACT."""
        if other == EXACT:
            return from_exact(self.measured[name], name, self.exact)
        if other == DIFFERENCES:
            common = name in self.common
            return from_slopes(self.measured[name], name, self.slopes, self.directions, self.batch, common)
        return from_another(self.measured[name], name, self.measured[other], other)

    def _is_finite(self, name):
        x = self.found(name)
        return x.nonfinite == 0 and x.count > 1 and bool(np.isfinite(x.mean).all() and np.isfinite(x.stderr).all())


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
    gradient: np.ndarray
    trusted: bool
    apart: dict
    threshold: float
    witness: Apart | None
    witness_visible: float | None
    disagreement: object


class Disagreement(NamedTuple):
    """Who is apart from whom although theory says that both are right, and what that says.

    Attributes
    ----------
    pairs : tuple of (str, str, float)
        Two, and the z between them; the ones that are apart first.
    wrong : tuple of str
        The families that differences of returns disagree with, if they side with anybody.
    text : tuple of str
        For a person.
    """

    pairs: tuple
    wrong: tuple
    text: tuple


def judge(evidence):
    """Return the Verdict on what was measured."""
    P = len(next(iter(evidence.measured.values())).moments.parameters)
    threshold = limit(P * (len(evidence.claims) + 1))
    sound, slopes = evidence.sound(), evidence.slopes
    trusted = True
    if evidence.exact is not None:
        reference, gradient = EXACT, evidence.exact
    elif sound:
        reference, gradient = sound[0], evidence.found(sound[0]).mean
    elif slopes is not None and _is_whole(evidence):
        reference, gradient = DIFFERENCES, slopes.estimate
    else:
        reference, trusted = _known_best(evidence), False
        gradient = evidence.found(reference).mean
    apart = {name: None if name == reference else evidence.apart(name, reference) for name in evidence.claims}
    witness = evidence.apart(reference, DIFFERENCES) if reference in sound and slopes is not None else None
    apart_ones = {name for name in sound if apart[name] is not None and apart[name].worst > threshold}
    disagreement = None
    if apart_ones or (witness is not None and witness.worst > threshold):
        disagreement = _disagreement(evidence, reference, sound, apart_ones, threshold)
    visible = None
    if witness is not None:
        visible = witness.visible(threshold, np.linalg.norm(evidence.directions @ gradient))
    return Verdict(reference, gradient, trusted, apart, threshold, witness, visible, disagreement)


def limit(comparisons):
    """Return the z that chance exceeds in one of 1000 comparisons of so many numbers."""
    return statistics.NormalDist().inv_cdf(1.0 - CHANCE / (2 * comparisons))


def _is_whole(evidence):
    """Tell whether the differences are a gradient, and good for something."""
    P = evidence.directions.shape[1]
    return np.array_equal(evidence.directions, np.eye(P)) and bool(
        np.isfinite(evidence.slopes.estimate).all() and np.isfinite(evidence.slopes.stderr).all()
    )


def _known_best(evidence):
    """Return the name of what to draw the gradient from where nothing can be relied on."""
    names = [name for name in evidence.claims if evidence.found(name).count > 1]
    if not names:
        raise ValueError("problem: no estimator was finite on more than one trajectory")
    order = [
        (evidence.broken(name), evidence.found(name).nonfinite, np.linalg.norm(evidence.found(name).stderr), name)
        for name in names
    ]
    return min(order)[-1]


def _disagreement(evidence, reference, sound, apart_ones, threshold):
    """Return the Disagreement among the most precise of each family, those that are apart, and differences."""
    claims = evidence.claims
    spoken = {claims[name].family: name for name in reversed(sound)}  # the best of each family
    names = sorted({*spoken.values(), *apart_ones}, key=sound.index)
    others = [DIFFERENCES] if evidence.slopes is not None else [EXACT] if evidence.exact is not None else []
    pairs = [
        (name, other, evidence.apart(name, other).worst)
        for k, name in enumerate(names)
        for other in (*names[k + 1 :], *others)
    ]
    pairs.sort(key=lambda pair: -pair[2])
    judges = {name: z for name, other, z in pairs if other in others}
    against = [name for name, z in judges.items() if z > threshold]
    beside = [name for name in judges if name not in against]
    wrong = tuple(dict.fromkeys(claims[name].family for name in against)) if against and (beside or not others) else ()
    text = [
        f"{first} and {second} are {z:.3g} standard errors apart"
        if z > threshold
        else f"{first} and {second} agree ({z:.1f})"
        for first, second, z in pairs
    ]
    if others:
        text.append(_who_is_right(evidence, others[0], against, beside))
    return Disagreement(tuple(pairs), wrong, tuple(text))


def _who_is_right(evidence, judge_name, against, beside):
    """Return what it says that some agree with what rests on least, and others do not."""
    rests_least = (
        "The exact gradient is the truth"
        if judge_name == EXACT
        else "Of all of them central differences rest on least: on returns alone"
    )
    if against and beside:
        blamed = {x for name in against for x in evidence.claims[name].rests}
        kept = {x for name in beside for x in evidence.claims[name].rests}
        return f"{rests_least}. They side with {listed(beside)}. {_blame(blamed - kept or blamed)}"
    if not against:
        return f"{rests_least}; with this many samples they cannot tell who is right. mcgrad.check looks closer."
    rests = {x for name in against for x in evidence.claims[name].rests}
    if rests <= {SCORE, MEASURE} or rests == {DERIVATIVES}:
        return f"{rests_least}. {_blame(rests)}"
    return (
        f"{rests_least}, and nobody agrees with them: more than one premise is wrong, or a few rare trajectories carry the "
        "gradient and were met too seldom"
    )


def _blame(rests):
    """Return what is wrong with what they rest on."""
    said = []
    if SCORE in rests:
        said.append(
            "the score is not that of what `sample` draws: look at `log_prob` (or `score`), its sign and its factors, and at "
            "whether it holds all that depends on eta"
        )
    if MEASURE in rests:
        said.append("the actions are not Gaussian with the std that the policy declares")
    if DERIVATIVES in rests:
        said.append(
            "derivatives of step, reward or sample miss something: a jump that no search has met (`where`, `floor`, `sign`, "
            "`//`), say so with Environment(discontinuous=...)"
        )
    return "So " + "; or ".join(said) + "." if said else "So nothing but returns is at fault."


def listed(names):
    """Return names as a phrase: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
