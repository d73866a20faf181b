"""A linear feedback with Gaussian exploration: a = K s + L e, the policy of every exact result."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..problem import Policy
from .gaussian_head import gaussian_policy, linear


class LinearGaussian(NamedTuple):
    """A linear-Gaussian policy as `mcgrad.exact` reads it: L = diag(exp(l)) root, l learned or 0."""

    root: np.ndarray
    learn_std: bool

    def matrices(self, theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return K (m, n) and L (m, m) at theta."""
        m = len(self.root)
        gain, scales = (theta[:-m], theta[-m:]) if self.learn_std else (theta, np.zeros(m))
        return gain.reshape(m, -1), np.exp(scales)[:, None] * self.root


def linear_gaussian(
    n: int, m: int, std: ArrayLike | None = None, *, cov: ArrayLike | None = None, learn_std: bool = False
) -> Policy:
    """Return the policy a = K s + L e, e ~ N(0, I), with theta = K.ravel() and, if learned, m log scales.

    The score is d log p / d(K s) = L^-T e = Sigma^-1 (a - K s), and for the log scale of row i of L,
    l_i: u_i (Sigma^-1 u)_i - 1 with u = L e.

    Parameters
    ----------
    n, m : int
        States and actions.
    std : float or (m,)
        Standard deviation of each action, >= 0. With 0 the policy is deterministic: pathwise gradients are those of
        back-propagation through time, and there is no score function.
    cov : (m, m)
        Full covariance of the action, instead of `std`; L is its lower triangular factor, L L^T = cov.
    learn_std : bool
        Append m log scales to theta: the logarithms of `std`; with `cov`, those of factors on the rows of L.
        `policy.theta(K)` gives theta with the scales where `std` or `cov` put them (log std, or 0 for cov).

    Raises
    ------
    ValueError
        For both or neither of `std` and `cov`, a negative std, an indefinite cov, or a std of 0 that should be learned.

    Examples
    --------
    >>> import mcgrad as mg
    >>> policy = mg.policies.linear_gaussian(2, 1, std=0.5, learn_std=True)
    >>> policy.parameters
    ('K[0,0]', 'K[0,1]', 'log std[0]')
    >>> policy.theta([[-1.0, -0.5]]).round(4)
    array([-1.    , -0.5   , -0.6931])
    """
    n, m = validate.size("n", n), validate.size("m", m)
    validate.parameters(n * m)

    def mean(theta, s):
        return linear(theta, s, m)

    names = [f"K[{i},{j}]" for i in range(m) for j in range(n)]
    title = f"linear-Gaussian n={n} m={m}"
    return gaussian_policy(n, m, mean, names, std, cov, learn_std, name=title, closed_form=LinearGaussian)
