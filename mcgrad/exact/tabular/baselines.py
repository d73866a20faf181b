"""The textbook's baseline over time.

Of least variance is b_t = Cov(X, z_t) / Var z_t (`algebra`): Cov(X, z_t) has the terms E[z_k G_k z_t], k != t, that the
textbook's E[z_t^2 G_t] / E[z_t^2] leaves out.

References
----------
Weaver & Tao (2001); Greensmith, Bartlett & Baxter (2004), Variance reduction techniques for gradient estimates in
reinforcement learning.
"""

import numpy as np

from ..theory import Array
from .system import System
from .values import critic, discounted_visits


def naive_over_time(system: System) -> Array:
    """Return b_t = E[z_t^2 G_t] / E[z_t^2], 0 where a score vanishes: (T, P)."""
    _, Q = critic(system)
    visits, squares = discounted_visits(system), system.policy[..., None] * system.score**2
    top = np.einsum("ts,tsa,sap->tp", visits, Q, squares)
    bottom = np.einsum("ts,sap->tp", visits, squares)
    return np.divide(top, bottom, out=np.zeros(np.shape(top)), where=bottom > 0)
