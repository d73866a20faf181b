"""A policy: a distribution of actions, eta = eta(p, theta, s) its parameters, a = sample(p, eta, e) a draw."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import validate
from .parts import check_choices, checked_params, of_actions
from .printing import counted


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    """A distribution of actions: eta = eta(p, theta, s) are its parameters, a = sample(p, eta, e) draws from it.

    Parameters
    ----------
    states, actions, noises : int
        n, m, and how many standard normals `sample` gets as `e`.
    uniforms : int
        How many numbers uniform on (0, 1) come after these in `e`.
    choices : int or tuple, optional
        How many actions it chooses from, numbered from 0, where the action is discrete; as of the environment.
    parameters : sequence of str
        The names of the P components of theta.
    eta : callable
        eta(p, theta, s) -> the numbers that parametrise the distribution of the action.
    sample : callable
        sample(p, eta, e) -> the m numbers of the action, differentiable in eta at fixed e where pathwise gradients exist.
        A draw by iterations may be given its derivative: `mcgrad.with_derivative`.
    log_prob : callable, optional
        log_prob(p, eta, a) -> log density of a; its gradient in eta is the score.
    score : callable, optional
        score(p, eta, a, e) -> d log p(a | eta) / d eta, where a direct formula is cheaper than differentiating.
    params : dict
        Name -> number or array, read by the functions as `p.name`.
    no_score : str, optional
        Why this policy has no score function (a deterministic one, for instance), and what to use instead.
    no_pathwise : str, optional
        Why this policy has no pathwise gradient (one of discrete actions, for instance), and what to use instead.
    start : array, optional
        Starting values of the last parameters of theta (log standard deviations); `theta(K)` appends them to K.
    closed_form : object, optional
        What `mcgrad.exact` knows the policy by.
    """

    states: int
    actions: int
    noises: int
    parameters: tuple
    eta: Callable
    sample: Callable
    log_prob: Callable | None = None
    score: Callable | None = None
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    no_score: str | None = None
    no_pathwise: str | None = None
    start: Any = ()
    uniforms: int = 0
    choices: int | tuple | None = None
    name: str = "policy"
    closed_form: Any = None

    def __post_init__(self) -> None:
        for field, low in (("states", 1), ("actions", 0), ("noises", 0), ("uniforms", 0)):
            object.__setattr__(self, field, validate.size(field, getattr(self, field), low))
        check_choices(self)
        for field in ("eta", "sample"):
            validate.function(field, getattr(self, field))
        for field in ("log_prob", "score"):
            validate.function(field, getattr(self, field), optional=True)
        for field in ("no_score", "no_pathwise"):
            validate.text(field, getattr(self, field))
        names = self.parameters
        try:
            names = () if isinstance(names, str) else tuple(map(str, names))
        except TypeError:  # no sequence
            names = ()
        if (not names and self.actions) or len(set(names)) < len(names):
            got = validate.describe(self.parameters)
            raise ValueError(f"parameters: expected a name for each component of theta, all different, got {got}")
        validate.parameters(len(names))
        object.__setattr__(self, "parameters", names)
        object.__setattr__(self, "params", checked_params(self.params))
        object.__setattr__(self, "start", validate.array("start", self.start, (None,)))
        if len(self.start) > len(names):
            raise ValueError(
                f"start: expected at most {len(names)} numbers, one for each parameter, got {len(self.start)}"
            )

    def __repr__(self) -> str:
        count = len(self.parameters)
        theta = f"theta: {', '.join(self.parameters[:4])}{f', ... ({count})' if count > 4 else ''}"
        return f"<Policy {self.name}: {counted(self.states, 'state')}, {of_actions(self)}, {theta}>"

    def theta(self, gain: ArrayLike) -> NDArray[np.float64]:
        """Return theta: the gain K (or its ravelled form), followed by the starting values of the other parameters.

        Parameters
        ----------
        gain : array
            As many numbers as theta has, less those of `start`; a matrix is read row by row.

        Returns
        -------
        (P,) array

        Raises
        ------
        ValueError
            For another number of them, or numbers that are not finite.
        """
        size = len(self.parameters) - len(self.start)
        gain = validate.array("gain", gain).ravel()
        if gain.size != size:
            raise ValueError(f"gain: expected {size} numbers, got {gain.size}")
        return np.concatenate([gain, self.start])
