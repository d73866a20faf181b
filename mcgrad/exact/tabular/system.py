"""A finite Markov decision process with a policy: the data of every function in this room.

    s_0 ~ start,   a_t ~ policy[s_t],   s_{t+1} ~ P[s_t, a_t],   E[r_t | s, a, s_next], Var[r_t | s, a, s_next] given,
    J = E[sum_{t<T} gamma^t r_t + gamma^T terminal_reward[s_T]]

An episode that has reached one of the states `ends` is over: the reward of the step that led there was its last, no
more is paid, and no more scores count. The terminal reward goes to episodes that are not over at T.

Exact variances of gradients are quadratic in each reward, so that the first two moments of r given (s, a, s_next) say all
about it.
"""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...printing import outline
from ..theory import Array

TOLERANCE = 1e-9  # of probabilities that should sum to one


@dataclass(frozen=True, eq=False, repr=False)
class System:
    """The arrays of one problem, checked.

    Parameters
    ----------
    P : array
        (S, A, S), transition probabilities P(s_next | s, a).
    reward : array
        (S, A, S) means E[r | s, a, s_next], or (S, A).
    start : array
        (S,), the distribution of s_0.
    policy : array
        (S, A), pi(a | s).
    horizon : int or None
        T; None for episodes that surely end by themselves.
    jacobian : array or None
        (S, A, P), the derivatives of the logits of a softmax policy; None: one parameter for each logit, P = S A, in
        the order of ravel(). For a policy of another kind the derivatives of log pi(a | s) do as well, because only
        z(s, a) = jacobian[s, a] - sum_b pi(b | s) jacobian[s, b] is used.
    discount : float
        gamma.
    ends : array or None
        (S,) of bool, the states in which an episode is over.
    reward_variance : array or float
        (S, A, S) variances of r given (s, a, s_next), or (S, A), or a number.
    terminal_reward : array or None
        (S,), paid at T, times gamma^T.

    Raises
    ------
    ValueError
        Naming the argument, for what does not fit.
    """

    P: Array
    reward: Array
    start: Array
    policy: Array
    horizon: int | None
    jacobian: Array = None  # type: ignore[assignment]  # those that are None are filled in
    discount: float = 1.0
    ends: NDArray[np.bool_] = None  # type: ignore[assignment]  # an array once it is checked
    reward_variance: Array = 0.0  # type: ignore[assignment]  # an array once it is checked
    terminal_reward: Array = None  # type: ignore[assignment]  # an array once it is checked
    memo: dict = field(init=False, repr=False, default_factory=dict)  # derived arrays, computed once

    def __post_init__(self) -> None:
        P = _array("P", self.P)
        if P.ndim != 3 or P.shape[0] != P.shape[2] or P.size == 0:
            raise ValueError(f"P: expected shape (S, A, S), got {P.shape}")
        S, A = P.shape[:2]
        ends = np.zeros(S, dtype=bool) if self.ends is None else np.array(self.ends)
        if ends.dtype != bool or ends.shape != (S,):
            raise ValueError(f"ends: expected {S} truth values, got {ends.dtype} of shape {ends.shape}")
        jacobian = np.eye(S * A).reshape(S, A, S * A) if self.jacobian is None else _array("jacobian", self.jacobian)
        if jacobian.ndim != 3 or jacobian.shape[:2] != (S, A):
            raise ValueError(f"jacobian: expected shape ({S}, {A}, P), got {jacobian.shape}")
        terminal = np.zeros(S) if self.terminal_reward is None else self.terminal_reward
        found = dict(
            P=_distributions("P", P, ~ends),
            reward=_of_transitions("reward", self.reward, S, A),
            start=_distributions("start", _array("start", self.start, (S,))),
            policy=_distributions("policy", _array("policy", self.policy, (S, A)), ~ends),
            jacobian=jacobian,
            ends=ends,
            reward_variance=_of_transitions("reward_variance", self.reward_variance, S, A),
            terminal_reward=_array("terminal_reward", terminal, (S,)),
        )
        if found["reward_variance"].min() < 0:
            raise ValueError(f"reward_variance: expected numbers >= 0, got {found['reward_variance'].min()}")
        for name, array in found.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.horizon is not None:
            if isinstance(self.horizon, bool) or int(self.horizon) != self.horizon or self.horizon < 1:
                raise ValueError(f"horizon: expected an integer of at least 1, or None, got {self.horizon}")
            object.__setattr__(self, "horizon", int(self.horizon))
        if not (np.isfinite(self.discount) and self.discount >= 0):
            raise ValueError(f"discount: expected a finite number >= 0, got {self.discount}")
        if self.horizon is None and self.terminal_reward.any():
            raise ValueError("terminal_reward: expected none with horizon=None, where no episode is cut off")

    def __repr__(self) -> str:
        names = [x.name for x in fields(self) if x.repr]
        return outline("Tabular system", {name: getattr(self, name) for name in names})

    @property
    def states(self) -> int:
        """S, the number of states."""
        return self.P.shape[0]

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return self.jacobian.shape[2]

    @cached_property
    def flow(self) -> Array:
        """P without the rows of the states that end an episode: what follows them counts no more. (S, A, S)."""
        return np.where(self.ends[:, None, None], 0.0, self.P)

    @cached_property
    def closed(self) -> Array:
        """P_pi[s, s_next] = sum_a pi(a | s) flow[s, a, s_next], (S, S)."""
        return np.einsum("sa,sax->sx", self.policy, self.flow)

    @cached_property
    def mean_reward(self) -> Array:
        """E[r | s, a], 0 where the episode is over: (S, A)."""
        return np.sum(self.flow * self.reward, axis=2)

    @cached_property
    def score(self) -> Array:
        """z(s, a) = d log pi(a | s) / dtheta, 0 where the episode is over: (S, A, P)."""
        z = self.jacobian - np.einsum("sb,sbp->sp", self.policy, self.jacobian)[:, None]
        return np.where(self.ends[:, None, None], 0.0, z)


def softmax(logits: ArrayLike) -> Array:
    """Return the policy with the given logits: (..., A) of the same shape."""
    weights = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _array(name: str, value: ArrayLike, shape: tuple[int, ...] | None = None) -> Array:
    array = np.array(value, dtype=float)
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers")
    return array


def _of_transitions(name: str, value: ArrayLike, S: int, A: int) -> Array:
    array = _array(name, value)
    if array.shape == (S, A):
        array = array[:, :, None]
    elif array.shape not in ((), (S, A, S)):
        raise ValueError(f"{name}: expected shape ({S}, {A}, {S}) or ({S}, {A}), got {array.shape}")
    return np.array(np.broadcast_to(array, (S, A, S)))


def _distributions(name: str, array: Array, rows: Any = slice(None)) -> Array:
    """Return probabilities, checked; where an episode is over (not in `rows`) any numbers will do."""
    checked = array[rows] if array.ndim > 1 else array
    off = np.abs(checked.sum(axis=-1) - 1).max(initial=0.0)
    if checked.min(initial=0.0) < 0 or off > TOLERANCE:
        raise ValueError(
            f"{name}: expected probabilities that sum to 1, got sums that are off by {off:.3g} and a least entry of "
            f"{checked.min(initial=0.0):.3g}"
        )
    return array
