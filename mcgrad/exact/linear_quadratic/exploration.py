"""How fast the variance of an estimator grows as the exploration vanishes.

With L replaced by c L and c -> 0 the variance goes as c^p, p even. Each summand of the martingale
increments in `increments` has an order in c, found on the noise-free system (L = 0): a score is of order -1 where that
visits the state (log scales: 0), the temporal-difference error 0 where process noise enters it and 1 where exploration
alone does, and so on; p is twice the least order. So returns go as c^-2, a value baseline cures this without process
noise only, and exact critics or derivatives always do.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...estimators import kinds as estimators
from ..theory import Array
from .covariances import return_variance, variance
from .exponents import CLOSE, KINDS, Exponent, Known
from .increments import OfPath
from .system import System, factor
from .values import gradient_to_go, objective, riccati, state_moments

NEVER = np.inf  # the order of what is zero


def std_exponent(system: System, known: Known, scale: bool) -> Exponent:
    """Return the exponent in the policy's std, of the entries of K or (`scale`) of the log scales."""
    parts, baseline = _parts(system, known, scale), known.baseline
    if parts is None:
        return Exponent(None, f"no prediction is known for {known.kind.__name__}")
    name, order = min(parts.items(), key=lambda part: part[1])
    if baseline == "state" and order > _Orders(system, scale).z.min():
        return Exponent(None, f"how {KINDS[baseline]} as a baseline follows the exploration is not known")
    if order == NEVER:
        return Exponent(None, "the variance is zero for every standard deviation")
    return Exponent(float(2 * order), f"the largest part is of order std^{order:.0f}: {name}")


def _parts(system: System, known: Known, scale: bool) -> dict[str, float] | None:
    """Return the orders in c of an estimator's summands, by name; None if it is not known."""
    o, E, kind = _Orders(system, scale), estimators, known.kind
    past = {"past scores times the errors of the value function": (o.past + o.error).min()}
    own = {"each score times the error of its own step": (o.z + o.error).min()}
    common = {"news about the gradient to go": o.news.min(), "the gradient given s_0": o.start_gradient}
    if kind is E.ScoreFunction:
        level = o.level(known.b, known.baseline) + o.z.min()
        running = {"each score times the return so far": (o.running + o.z).min()}
        return past | own | running | {"the mean return less the baseline, times the scores": level} | common
    if kind is E.RewardToGo:
        left = {"what the baseline leaves of the value, times the score": o.left(known.b, known.baseline)}
        return past | own | left | common
    if kind is E.GeneralizedAdvantage:
        return (past if known.option else {}) | own | common
    if kind in (E.Advantage, E.QFunction):
        parts = {"each score times its own advantage": (o.z + o.advantage).min()} | common
        return parts | ({"the value, times the score": o.left(None, "none")} if kind is E.QFunction else {})
    if kind is E.ActionControlVariate:
        left = np.minimum(o.noise, o.square) if known.option else o.noise
        return past | {"each score times what the control variate leaves of its step": (o.z + left).min()} | common
    if kind is E.AllActions:
        return common
    if kind is E.ValueGradient:
        return {"the noise in the critic's action gradient": o.critic.min()} | common
    if kind is E.Reparameterization:
        return {"the noise in the derivative of the return": o.pathwise()}
    return {"the scores": o.z.min()} if kind is E.Score else None


class _Orders:
    """Orders in c of what the estimators are made of, each (T,) unless it belongs to s_0; `NEVER` for zero."""

    def __init__(self, system: System, scale: bool) -> None:
        self.system, self.scale, T = system, scale, system.horizon
        self.quiet = replace(system, L=0 * system.L, learn_scale=False)
        self.P, self.c, F, U = riccati(self.quiet)
        mean, cov = (part[:-1] for part in state_moments(self.quiet))
        second = cov + mean[:, :, None] * mean[:, None, :]
        self.mean, self.cov, moved = mean, cov, system.closed @ second @ system.closed.T
        explored = (np.arange(T) > 0) & np.any(system.B @ system.L)
        self.state = np.where(_some(second), 0, np.where(explored, 1, NEVER))
        self.z = np.zeros(T) if scale else self.state - 1
        self.past = _before(self.z)

        K, P, weight = system.K, self.P[1:], system.discount ** np.arange(T)[:, None, None]
        size = np.abs(weight * system.R @ K).max((1, 2)) + np.abs(system.B.T @ P @ system.closed).max((1, 2))
        F = np.where(np.abs(F) > 1e-12 * size[:, None, None], F, 0.0)
        feedback = np.where(_some(F @ second @ F.swapaxes(-1, -2)), 0, np.where(_some(F), 1, NEVER))
        self.feedback, self.square = np.maximum(feedback, self.state), np.where(_some(U), 2, NEVER)
        self.advantage = np.minimum(1 + self.feedback, self.square)
        self.noise = self._shock(P[:, None], factor(system.W, "W"), moved, 0)
        self.error = np.minimum(self.noise, self.advantage)

        entries = np.arange(K.size)
        H = np.zeros((T + 1, 1, *P.shape[1:])) if scale else gradient_to_go(self.quiet, entries)[0]
        shocks = [(factor(system.W, "W"), 0), (system.B @ system.L, 1)]
        self.news = np.min([self._shock(H[1:], root, moved, order) for root, order in shocks], axis=0)
        self.start_gradient = self._start(H[0])
        self.running = np.minimum(self._start(self.P[:1]), _before(self.error))
        own = self.advantage if scale else np.where(_some(U), 1 + self.state, NEVER)
        self.critic = np.minimum(own, self.news)

    def level(self, b: Any, kind: str | None) -> float:
        """Order of J - b."""
        if kind == "mean":
            return NEVER
        if kind == "optimum":
            return 0 if return_variance(self.quiet) > 0 else 2
        J = objective(self.quiet)
        return 0 if np.any(np.abs(J - b) > CLOSE * (abs(J) + np.abs(b))) else 2

    def left(self, forms: Array | None, kind: str | None) -> float:
        """Order of sum_t (V_t - b_t)(s_t) z_t; a baseline of another kind counts as the value function."""
        if kind in ("value", "state"):
            return NEVER
        P, mean, cov = self.P[:-1], self.mean, self.cov
        random = _some(cov @ P @ mean[..., None]) | _some(cov @ P @ cov)
        V = -(np.einsum("tij,tij->t", P, cov) + np.einsum("ti,tij,tj->t", mean, P, mean) + self.c[:-1])[:, None]
        visited = np.flatnonzero(self.state == 0)
        if kind in ("level", "best level"):
            b = V[visited[0]] if len(visited) else np.zeros(1)
        else:
            b = np.zeros(1) if forms is None else np.asarray(forms, dtype=float)[:, :, 0, 0]
        off = np.any(np.abs(V - b) > CLOSE * (np.abs(V) + np.abs(b)), axis=1) & (kind not in ("mean", "optimum"))
        return (np.where(random | off, 0, np.where(self.state == 0, 1, 2)) + self.z).min()

    def pathwise(self) -> float:
        """Order of the least-order noise in dR/dp."""
        if self.scale:
            later = np.minimum.accumulate(self.noise[::-1])[::-1]
            return np.min([1 + self.feedback, self.square, 1 + later])
        gain, quiet, system = slice(0, self.system.K.size), self.quiet, self.system
        if variance(quiet, OfPath(quiet)).sum() > 0:
            return 0
        return (1 if np.any(self.state == 0) else 2) if variance(system, OfPath(system))[gain].sum() > 0 else NEVER

    @staticmethod
    def _shock(forms: Array, root: Array, moved: Array, order: int) -> Array:
        """Order of 2 x^T form root xi + xi^T root^T form root xi - tr, x = Acl s, for a root of the given order."""
        linear = forms @ root  # (T, p, n, r)
        seen = _some(linear.swapaxes(-1, -2) @ moved[:, None] @ linear)
        line = np.where(seen, 0, np.where(_some(linear), 1, NEVER)) + order
        square = np.where(_some(root.T @ linear), 2 * order, NEVER)
        return np.minimum(line, square).min(axis=1)

    def _start(self, forms: Array) -> float:
        C = self.system.initial_factor
        return 0 if np.any(C.T @ forms @ C) or np.any(C.T @ forms @ self.system.mean) else NEVER


def _some(array: Array) -> NDArray[np.bool_]:
    """Whether any number of the last two axes is not zero."""
    return np.any(array != 0, axis=(-2, -1))


def _before(order: Array) -> Array:
    """Least order over the steps before: (T,)."""
    return np.concatenate([[NEVER], np.minimum.accumulate(order)[:-1]])
