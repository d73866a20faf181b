"""The distribution of a discrete action: eta are its logits, the action one of 0, 1, ..., A - 1.

    pi_k = exp(eta_k) / sum_j exp(eta_j),    score = onehot(a) - pi

One uniform number chooses the action by the inverse of the cumulative distribution.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..compiler.functions import where
from ..compiler.trace import Number, Numbers
from ..problem import Policy

NO_PATHWISE = (
    "the action is one of a few, a step function of the policy's parameters, whose derivative is zero wherever it exists; "
    "use mcgrad.estimators.reward_to_go() or another score function"
)


def probabilities(eta: Numbers) -> Numbers:
    """Return pi_0, ..., pi_{A-1} for logits."""
    weights, total = _weights(eta)
    inverse = 1.0 / total
    return tuple(x * inverse for x in weights)


def _weights(eta: Numbers) -> tuple[Numbers, Number]:
    """Return exp(eta_k - max eta) and their sum."""
    highest = _highest(eta)
    weights = tuple(np.exp(x - highest) for x in eta)
    total = weights[0]
    for x in weights[1:]:
        total = total + x
    return weights, total


def _highest(eta: Numbers) -> Number:
    highest = eta[0]
    for x in eta[1:]:
        highest = where(x > highest, x, highest)
    return highest


def sample(p: Any, eta: Numbers, e: Numbers) -> Numbers:
    """Return the action: the number of cumulative weights that e[0] * total has reached."""
    weights, total = _weights(eta)
    target, reached, action = e[0] * total, 0.0, 0.0
    for x in weights[:-1]:
        reached = reached + x
        action = action + where(target >= reached, 1.0, 0.0)
    return (action,)


def log_prob(p: Any, eta: Numbers, a: Numbers) -> Any:
    """Return log pi_a."""
    _, total = _weights(eta)
    chosen = eta[-1]
    for k in range(len(eta) - 1):
        chosen = where(a[0] == float(k), eta[k], chosen)
    return chosen - _highest(eta) - np.log(total)


def score(p: Any, eta: Numbers, a: Numbers, e: Numbers) -> Numbers:
    """Return onehot(a) - pi."""
    return tuple(where(a[0] == float(k), 1.0, 0.0) - x for k, x in enumerate(probabilities(eta)))


def categorical(
    states: int,
    choices: int,
    parameters: Sequence[str],
    eta: Callable[..., Any],
    params: dict[str, Any],
    name: str,
    closed_form: Any = None,
) -> Policy:
    """Return the policy of a discrete action with given logits."""
    return Policy(
        states=states,
        actions=1,
        noises=0,
        uniforms=1,
        choices=choices,
        parameters=tuple(parameters),
        eta=eta,
        sample=sample,
        log_prob=log_prob,
        score=score,
        params=params,
        no_pathwise=NO_PATHWISE,
        name=name,
        closed_form=closed_form,
    )
