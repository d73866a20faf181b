"""Critics: what an estimator believes about values. Here those of linear-quadratic problems, exact or wrong on purpose.

    V_t(s) = -(s' P_t s + c_t),    Q_t(s, a) = V_t(s) + A_t(s, a),    A_t = -(2 u' F_t s + u' U_t u - tr U_t Sigma),

with u = a - K s, and with the discount counted from time 0 (the matrices: `mcgrad.exact.critic`). A critic is a baseline,
too: its V_t. Of a wrong one

    Q~(s, a) = scale Q(s, a) + shift + amplitude sum_i cos(frequency a_i),    V~(s) = E_a Q~(s, a),

control variates stay unbiased, and what puts Q~ in the place of a return does not. An error that oscillates in the action
is small in value and large in slope: it parts estimators that use the value of a critic from those that use its gradient.

References
----------
Carvalho, Tateo, Muratore and Peters (2021), An empirical analysis of measure-valued derivatives for policy gradients
(errors that oscillate).
"""

import dataclasses

import numpy as np

from . import validate
from .baselines import Baseline


@dataclasses.dataclass(frozen=True, eq=False)
class Critic(Baseline):
    """Values of states and actions. Derive from it: its methods are traced, `data` gives the numbers that they read."""

    def value(self, c, x):
        """Return V_t(s_t)."""
        raise NotImplementedError

    def advantage(self, c, x):
        """Return A_t = Q_t(s_t, a_t) - V_t(s_t), whose mean over the actions of the policy is zero."""
        raise NotImplementedError

    def action_gradient(self, c, x):
        """Return dQ_t(s_t, a) / da at a = a_t."""
        raise NotImplementedError

    def first_order(self, c, x):
        """Return A_t of the Taylor expansion of Q_t about the mean action, u' dQ_t/da, and E_a[score * A_t | s_t]."""
        raise NotImplementedError

    def expected_score(self, c, x):
        """Return E_a[score * Q_t(s_t, a) | s_t], a cotangent of eta."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False)
class Quadratic(Critic):
    """The critic of a linear-quadratic problem under its policy; see the module for how it may be wrong."""

    scale: float = 1.0
    shift: float = 0.0
    amplitude: float = 0.0
    frequency: float = 0.0

    def wrong(self, scale=1.0, shift=0.0, oscillation=(0.0, 0.0)):
        """Return scale Q + shift + amplitude sum_i cos(frequency a_i), Q the exact one.

        Parameters
        ----------
        scale, shift : float
        oscillation : (amplitude, frequency)
        """
        amplitude, frequency = validate.array("oscillation", oscillation, (2,))
        return Quadratic(
            validate.number("scale", scale), validate.number("shift", shift), float(amplitude), float(frequency)
        )

    def data(self, problem, theta):
        from .estimators.estimator import PerStep
        from .exact import critic

        P, c, F, U, cov = critic(problem, theta)
        F, U = (np.concatenate([x, np.zeros_like(x[:1])]) for x in (F, U))  # no action at the end
        by_action = np.einsum("tij,ji->ti", U, cov)  # (U_t Sigma)_ii
        learned = len(problem.parameters) - F[0].size  # all log scales, or none
        oscillation = {
            "amplitude": self.amplitude,
            "frequency": self.frequency,
            "variances": np.diag(cov),
            "damping": np.exp(-0.5 * self.frequency**2 * np.diag(cov)),
        }
        return {
            "P": PerStep(self.scale * (np.triu(P) + np.triu(P, 1))),
            "c": PerStep(self.scale * c - self.shift),
            "F": PerStep(2 * self.scale * F),
            "U": PerStep(self.scale * U),
            "level": PerStep(self.scale * by_action.sum(axis=1)),
            "scales": PerStep(-2 * self.scale * by_action[:, :learned]),
            **(oscillation if self.amplitude else {}),
        }

    def value(self, c, x):
        n = len(x.s)
        V = -(sum(x.s[i] * sum(c.P[i, j] * x.s[j] for j in range(i, n)) for i in range(n)) + c.c)
        if self.amplitude:
            V += c.amplitude * sum(np.cos(c.frequency * mu) * d for mu, d in zip(x.eta, c.damping, strict=False))
        return V

    def _deviation(self, c, x):
        """Return u = a - K s, and the vectors 2 F s and U u."""
        m = len(x.a)
        u = tuple(x.a[i] - x.eta[i] for i in range(m))
        return u, tuple(c.F @ np.array(x.s)), tuple(c.U @ np.array(u))

    def advantage(self, c, x):
        u, Fs, Uu = self._deviation(c, x)
        A = c.level - sum(u[i] * (Fs[i] + Uu[i]) for i in range(len(u)))
        if self.amplitude:
            for a, mu, d in zip(x.a, x.eta, c.damping, strict=False):
                A += c.amplitude * (np.cos(c.frequency * a) - np.cos(c.frequency * mu) * d)
        return A

    def action_gradient(self, c, x):
        u, Fs, Uu = self._deviation(c, x)
        gradient = [-(Fs[i] + 2.0 * Uu[i]) for i in range(len(u))]
        return self._with_slope(c, gradient, x.a, [1.0] * len(u))

    def first_order(self, c, x):
        u, Fs, _ = self._deviation(c, x)
        gradient = self._with_slope(c, [-y for y in Fs], x.eta, [1.0] * len(u))
        known = sum(a * b for a, b in zip(u, gradient, strict=True))
        return known, gradient + (0.0,) * (len(x.eta) - len(u))

    def expected_score(self, c, x):
        _, Fs, _ = self._deviation(c, x)
        means = self._with_slope(c, [-y for y in Fs], x.eta, c.damping if self.amplitude else ())
        scales = list(c.scales)
        if self.amplitude:
            for i in range(len(scales)):
                curvature = c.frequency**2 * c.variances[i] * c.damping[i]
                scales[i] -= c.amplitude * curvature * np.cos(c.frequency * x.eta[i])
        return means + tuple(scales)

    def _with_slope(self, c, gradient, a, weights):
        """Add the slope of the oscillation at an action, each component times a weight."""
        if not self.amplitude:
            return tuple(gradient)
        slope = c.amplitude * c.frequency
        return tuple(g - slope * np.sin(c.frequency * a[i]) * weights[i] for i, g in enumerate(gradient))


def exact():
    """Return the exact critic of a linear-quadratic problem under its linear-Gaussian policy.

    `exact().wrong(scale=1.2)`, `.wrong(shift=1.0)` and `.wrong(oscillation=(0.1, 3.0))` are wrong in a known way.
    """
    return Quadratic()


def as_critic(critic):
    """Return the critic to use for what a user passes: None for the exact one."""
    if critic is None:
        return exact()
    if not isinstance(critic, Critic):
        raise ValueError(f"critic: expected one of mcgrad.critics, got {validate.describe(critic)}")
    return critic


def as_value(critic):
    """Return the value function to use for what a user passes: a critic, a baseline of the state, or None (exact)."""
    if critic is None:
        return exact()
    if not isinstance(critic, Baseline) or critic.per_parameter:
        raise ValueError(
            "critic: expected one of mcgrad.critics, or a baseline such as fitted_value() or of_state(), "
            f"got {validate.describe(critic)}"
        )
    return critic
