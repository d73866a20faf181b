"""Estimators that theory calls unbiased disagree: who with whom, which of them rests on least, and whose premise is wrong."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ..text import listed
from .candidates import DERIVATIVES, IN_PART, MEASURE, SCORE
from .evidence import DIFFERENCES, EXACT, Evidence


class Disagreement(NamedTuple):
    """Who is apart from whom although theory says that both are right, and what that says.

    Attributes
    ----------
    pairs : tuple of (str, str, float)
        Two, and the z between them, the largest first; of each family one, and what rests on least.
    beside, against : tuple of str
        Estimators that agree with what rests on least, the best first, and those that do not; empty if it cannot tell.
    text : tuple of str
        For a person.
    """

    pairs: tuple[tuple[str, str, float], ...]
    beside: tuple[str, ...]
    against: tuple[str, ...]
    text: tuple[str, ...]


def among(evidence: Evidence, sound: Sequence[str], rivals: Collection[str], threshold: float) -> Disagreement:
    """Return the Disagreement of estimators, the best first, of which `rivals` are apart from the first."""
    arbiter = EXACT if evidence.exact is not None else DIFFERENCES if evidence.slopes is not None else None
    against = [name for name in sound if arbiter and evidence.apart(name, arbiter).worst > threshold]
    beside = [name for name in sound if arbiter and name not in against]
    spoken: dict[str, str] = {}  # one of each family: of those that are apart the best
    for name in (*(x for x in sound if x in rivals or x in against), *sound):
        spoken.setdefault(evidence.claims[name].family, name)
    names = sorted(spoken.values(), key=sound.index)
    pairs = [
        (name, other, evidence.apart(name, other).worst)
        for k, name in enumerate(names)
        for other in (*names[k + 1 :], *((arbiter,) if arbiter else ()))
    ]
    pairs.sort(key=lambda pair: -pair[2])
    text = [
        f"{first} and {second}: {z:.3g} standard errors apart" + ("" if z > threshold else ", which is chance")
        for first, second, z in pairs
    ]
    if arbiter:
        blamed, kept = ([name for name in names if name in x] for x in (against, beside))
        text.append(_who_is_right(evidence, arbiter, blamed, kept))
    return Disagreement(tuple(pairs), tuple(beside) if against else (), tuple(against), tuple(text))


def _who_is_right(evidence: Evidence, arbiter: str, against: Sequence[str], beside: Sequence[str]) -> str:
    """Return what it says that some agree with what rests on least, and others do not."""
    rests_least = (
        "The exact gradient is the truth"
        if arbiter == EXACT
        else "Of all of them central differences rest on least: on returns alone"
    )
    if not against:
        return f"{rests_least}; with this many samples they cannot tell who is right."
    blamed = {x for name in against for x in evidence.claims[name].rests}
    if beside:
        kept = {x for name in beside for x in evidence.claims[name].rests}
        return f"{rests_least}. They side with {listed(beside)}. {_blame(blamed - kept or blamed)}"
    if blamed <= {SCORE, MEASURE} or blamed == {DERIVATIVES}:
        return f"{rests_least}. {_blame(blamed)}"
    return (
        f"{rests_least}, and nobody agrees with them: more than one premise is wrong, or a few rare trajectories carry the "
        "gradient and were met too seldom."
    )


def _blame(rests: Collection[str]) -> str:
    """Return what is wrong with what they rest on."""
    said = []
    if SCORE in rests:
        said.append(
            "the score is not that of what `sample` draws: look at `log_prob` (or `score`), its sign and its factors, and at "
            "whether it holds all that depends on eta"
        )
    if MEASURE in rests:
        said.append("the actions are not Gaussian with the std that the policy declares")
    if DERIVATIVES in rests or IN_PART in rests:
        said.append(
            "derivatives of step, reward or sample miss something: a jump that no search has met (`where`, `floor`, `sign`, "
            "`//`), say so with Environment(discontinuous=...)"
        )
    return "So " + "; or ".join(said) + "." if said else "So nothing but returns is at fault."
