"""Discrete actions, alone and as the switch between other heads."""

from ... import validate
from ...compiler.functions import where
from .. import categorical
from ..maps import MapLike
from .head import Head, Parameter, parameter


def discrete(choices: int, logits: MapLike) -> Head:
    """Return the head of one of A = `choices` whole numbers from 0: pi_k = exp(logits_k) / sum_j exp(logits_j).

    The score in the logits is onehot(a) - pi; there is no pathwise gradient.

    Parameters
    ----------
    choices : int
        A >= 2.
    logits : Map or (A,)
        Only their differences matter.

    Raises
    ------
    ValueError
        For fewer than two choices, or a map of another size.
    """
    A = validate.integer("choices", choices, 2, 1000)

    def sample(values, e):
        return categorical.sample(None, values[0], e)

    def log_prob(values, a):
        return categorical.log_prob(None, values[0], a)

    def score(values, a, e):
        return (categorical.score(None, values[0], a, e),)

    parameters = (parameter("logits", logits, A),)
    reason = categorical.NO_PATHWISE
    return Head("discrete", parameters, 1, sample, log_prob, score, uniforms=1, choices=A, no_pathwise=reason)


def switch(logits: MapLike, *heads: Head) -> Head:
    """Return the head (k, a): k one of the `heads` by a softmax of logits, a drawn from that head.

    log p(k, a) = log pi_k + log p_k(a). The score in the logits is onehot(k) - pi, that in the parameters of head j is its
    own where k = j and 0 elsewhere. There is no pathwise gradient, because k jumps.

    Parameters
    ----------
    logits : Map or (A,)
        One for each head.
    heads : Head
        At least two, with the same number of continuous components each.

    Raises
    ------
    ValueError
        For fewer than two heads, or heads that do not fit each other.

    References
    ----------
    Masson, Ranchod and Konidaris (2016), Reinforcement learning with parameterized actions. AAAI.
    """
    if len(heads) < 2:
        raise ValueError(f"heads: expected at least two to choose between, got {len(heads)}")
    for head in heads:
        if not isinstance(head, Head) or head.choices is not None or head.log_prob is None or head.score is None:
            raise ValueError(f"heads: expected heads of continuous random actions, got {validate.describe(head)}")
        if head.actions != heads[0].actions:
            raise ValueError(
                f"heads: expected the same number of components for each, got {[x.actions for x in heads]}"
            )
    A, chosen_by = len(heads), discrete(len(heads), logits)
    noises, uniforms = max(x.noises for x in heads), max(x.uniforms for x in heads)
    ends = [1]
    for head in heads:
        ends.append(ends[-1] + len(head.parameters))

    def parts(values):
        return [values[i:j] for i, j in zip(ends[:-1], ends[1:], strict=True)]

    def noise(head, e):
        return (*e[: head.noises], *e[noises : noises + head.uniforms])

    def sample(values, e):
        (k,) = chosen_by.sample(values[:1], e[-1:])
        drawn = [head.sample(own, noise(head, e)) for head, own in zip(heads, parts(values), strict=True)]
        a = drawn[-1]
        for j in range(A - 1):
            a = tuple(where(k == float(j), x, y) for x, y in zip(drawn[j], a, strict=True))
        return (k, *a)

    def log_prob(values, a):
        pairs = zip(heads, parts(values), strict=True)
        densities = [head.log_prob(own, a[1:]) for head, own in pairs]  # type: ignore[misc]  # heads without one have no switch
        density = densities[-1]
        for j in range(A - 1):
            density = where(a[0] == float(j), densities[j], density)
        return chosen_by.log_prob(values[:1], a[:1]) + density  # type: ignore[misc]  # heads without one have no switch

    def score(values, a, e):
        result = chosen_by.score(values[:1], a[:1], e[-1:])  # type: ignore[misc]  # heads without one have no switch
        for j, (head, own) in enumerate(zip(heads, parts(values), strict=True)):
            here = a[0] == float(j)
            of_head = head.score(own, a[1:], noise(head, e))  # type: ignore[misc]  # heads without one have no switch
            result += tuple(tuple(where(here, x, 0.0) for x in z) for z in of_head)
        return result

    named = [Parameter(f"{j} {x.name}", x.map, x.count) for j, head in enumerate(heads) for x in head.parameters]
    return Head(
        "switch",
        (*chosen_by.parameters, *named),
        1 + heads[0].actions,
        sample,
        log_prob,
        score,
        noises=noises,
        uniforms=uniforms + 1,
        choices=(A, *(None,) * heads[0].actions),
        no_pathwise=chosen_by.no_pathwise,
    )
