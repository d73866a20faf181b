"""Linear dynamics, quadratic costs, Gaussian noise: the problems on which every variance is known exactly."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import validate
from ..problem import Environment


class LinearQuadratic(NamedTuple):
    """The matrices of a linear-quadratic environment: what `mcgrad.exact` reads."""

    A: np.ndarray
    B: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    terminal_cost: np.ndarray
    process_noise: np.ndarray
    initial_mean: np.ndarray
    initial_cov: np.ndarray


def linear_quadratic(
    A: ArrayLike,
    B: ArrayLike,
    Q: ArrayLike,
    R: ArrayLike,
    *,
    terminal_cost: ArrayLike | None = None,
    process_noise: ArrayLike | None = None,
    initial_mean: ArrayLike | None = None,
    initial_cov: ArrayLike | None = None,
) -> Environment:
    """Return s_next = A s + B a + w with reward -(s^T Q s + a^T R a), and -s^T Q_f s at the end.

    Parameters
    ----------
    A, B : (n, n), (n, m)
        The dynamics.
    Q, R : (n, n), (m, m)
        Symmetric costs of states and actions; they need not be definite.
    terminal_cost : (n, n), optional
        Q_f, symmetric; 0 by default.
    process_noise : (n, n), optional
        W, the covariance of w; 0 by default.
    initial_mean, initial_cov : (n,), (n, n), optional
        s_0 ~ N(mean, cov); 0 and the identity by default.

    Returns
    -------
    Environment
        Its matrices are run-time data: systems of one size share one kernel. What tells kernels apart is whether there
        is process noise or a terminal cost, and the zeros of matrices of which at least half the elements are zero.

    Raises
    ------
    ValueError
        For a wrong shape, a number that is not finite, a cost that is not symmetric, or a covariance that is not
        symmetric positive semidefinite.

    Examples
    --------
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]], process_noise=[[0.04]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> problem.environment.states, problem.environment.actions
    (1, 1)
    """
    A = validate.array("A", A, (None, None))
    n = len(A)
    A = validate.array("A", A, (n, n))
    B = validate.array("B", B, (n, None))
    m = B.shape[1]
    if n == 0 or m == 0:
        raise ValueError(f"A, B: expected at least one state and one action, got n = {n}, m = {m}")
    Q, R = validate.symmetric("Q", Q, n), validate.symmetric("R", R, m)
    zero = np.zeros((n, n))
    Qf = validate.symmetric("terminal_cost", zero if terminal_cost is None else terminal_cost, n)
    W = validate.covariance("process_noise", zero if process_noise is None else process_noise, n)
    mean = validate.array("initial_mean", np.zeros(n) if initial_mean is None else initial_mean, (n,))
    cov = validate.covariance("initial_cov", np.eye(n) if initial_cov is None else initial_cov, n)

    noisy, ends = bool(W.any()), bool(Qf.any())
    params = {"A": A, "B": B, "Q": doubled(Q), "R": doubled(R), "mean": mean, "root": validate.factor(cov)}
    if noisy:
        params["noise"] = validate.factor(W)
    if ends:
        params["Qf"] = doubled(Qf)

    upper, below = np.triu(np.ones((n, n), bool)), np.tril(np.ones((n, n), bool))
    inside = {"Q": upper, "R": np.triu(np.ones((m, m), bool)), "Qf": upper}
    inside |= {"root": below, "noise": below}
    used = {name: structure(x, inside.get(name)) for name, x in params.items()}

    def times(p, name, x):
        """Return matrix @ x; what is known to be zero is left out, and not multiplied by zero."""
        rows = zip(getattr(p, name), used[name], strict=True)
        return np.array([sum(q * y for q, y, use in zip(row, x, uses, strict=True) if use) for row, uses in rows])

    def form(p, name, x):
        """Return x^T matrix x."""
        uses = np.any(used[name], axis=1).tolist()
        return sum(y * z for y, z, use in zip(x, times(p, name, x), uses, strict=True) if use)

    def init(p, z):
        return p.mean + times(p, "root", z)

    def step(p, s, a, w):
        s_next = times(p, "A", s) + times(p, "B", a)
        return s_next + times(p, "noise", w) if noisy else s_next

    def reward(p, s, a, s_next, w):
        return -(form(p, "Q", s) + form(p, "R", a))

    def terminal(p, s):
        return -form(p, "Qf", s)

    return Environment(
        states=n,
        actions=m,
        noises=n if noisy else 0,
        initial_noises=n,
        params=params,
        init=init,
        step=step,
        reward=reward,
        terminal=terminal if ends else None,
        name=f"linear-quadratic n={n} m={m}",
        closed_form=LinearQuadratic(A, B, Q, R, Qf, W, mean, cov),
    )


def doubled(Q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper triangle U of a symmetric Q, off-diagonal elements doubled: x^T Q x = x^T U x with half the products."""
    return np.triu(Q) + np.triu(Q, 1)


def structure(matrix: NDArray[np.float64], inside: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Return which elements of a matrix a kernel computes with: those `inside` a triangle, and of sparse ones the nonzero.

    A few zeros in a dense matrix are numbers like any others, so that a sweep through zero compiles once.
    """
    inside = np.ones(matrix.shape, bool) if inside is None else inside
    nonzero = inside & (matrix != 0.0)
    sparse = matrix.size > 1 and 2 * nonzero.sum() <= inside.sum()
    return nonzero if sparse else inside
