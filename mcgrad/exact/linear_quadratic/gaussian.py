"""Expectations of products of quadratic forms of one Gaussian vector, and of such products times a carry.

A *form* is a symmetric matrix q of x~ = (1, x), x ~ N(0, S): q(x) = x~^T q x~. With C = diag(0, S),

    E q = q_00 + tr(q C),     the gradient of q at the mean is 2 q[:, 0],     its Hessian 2 q[1:, 1:],

and joint cumulants are traces (Mathai & Provost 1992, Quadratic Forms in Random Variables, ch. 3).

A *carry* Y is a centred random variable, chaos of order at most two of a Gaussian vector that contains x, given
by its moments N = E[Y x~ x~^T] (N_00 = 0). With gamma = E[Y x] and Gamma = E[Y x x^T], the rest of N,

    E[Y f(x)] = d/de E f under N(e gamma, S + e Gamma) at e = 0,

which needs no inverse of S. All arrays broadcast over leading axes (T, P); forms, C and N are (..., N, N).
"""

from ..theory import Array


def transpose(a: Array) -> Array:
    """Transpose of the last two axes."""
    return a.swapaxes(-1, -2)


def symmetric(a: Array) -> Array:
    """Symmetric part, (a + a^T) / 2."""
    return (a + transpose(a)) / 2


def trace(a: Array, b: Array) -> Array:
    """Trace of a product, tr(a b), over the last two axes."""
    return (a * transpose(b)).sum((-2, -1))


def bilinear(u: Array, a: Array, v: Array) -> Array:
    """Bilinear form u^T a v over the last axes."""
    return (u * (a @ v[..., None])[..., 0]).sum(-1)


def mean(q: Array, C: Array) -> Array:
    """E q = q_00 + tr(q C)."""
    return q[..., 0, 0] + trace(q, C)


def mean2(p: Array, q: Array, C: Array) -> Array:
    """E[p q] = E p E q + 2 tr(pCqC) + 4 p_0^T C q_0, with p_0 = p[:, 0]."""
    return mean(p, C) * mean(q, C) + _cumulant2(p, q, C)


def mean3(p: Array, q: Array, r: Array, C: Array) -> Array:
    """E[p q r] by cumulants; the third is 8 tr(pCqCrC) + 8 (p_0^T CqCr_0 + q_0^T CpCr_0 + p_0^T CrCq_0)."""
    a, b, c = mean(p, C), mean(q, C), mean(r, C)
    pC, qC, rC = p @ C, q @ C, r @ C
    p0, q0, r0 = (C @ f[..., :1] for f in (p, q, r))
    chains = ((p0, q, r0), (q0, p, r0), (p0, r, q0))
    third = trace(pC @ qC, rC) + sum((transpose(u) @ f @ v)[..., 0, 0] for u, f, v in chains)
    pairs = a * _cumulant2(q, r, C) + b * _cumulant2(p, r, C) + c * _cumulant2(p, q, C)
    return a * b * c + pairs + 8 * third


def _cumulant2(p: Array, q: Array, C: Array) -> Array:
    return 2 * trace(p @ C, q @ C) + 4 * bilinear(p[..., 0], C, q[..., 0])


def carried(q: Array, N: Array) -> Array:
    """E[Y q] = tr(N q)."""
    return trace(N, q)


def carried2(p: Array, q: Array, C: Array, N: Array) -> Array:
    """E[Y p q] = E p E[Y q] + E q E[Y p] + cumulant(Y, p, q).

    The last is the derivative of the cumulant of p and q along the carry,
    4 tr(Gamma p C q) + 4 (gamma^T p C q_0 + gamma^T q C p_0) + 4 p_0^T Gamma q_0.
    """
    gamma, Gamma = N[..., 0], N.copy()
    Gamma[..., 0, :] = Gamma[..., :, 0] = 0.0
    p0, q0 = p[..., 0], q[..., 0]
    pCq = p @ C @ q
    third = trace(Gamma, pCq) + bilinear(p0, Gamma, q0)
    third = third + bilinear(gamma, p @ C, q0) + bilinear(gamma, q @ C, p0)
    return mean(p, C) * carried(q, N) + mean(q, C) * carried(p, N) + 4 * third


def lift(q: Array, C: Array) -> Array:
    """E[q x~ x~^T] = E q (C + e_0 e_0^T) + 2 CqC + 2 (C q_0 e_0^T + e_0 q_0^T C)."""
    level = mean(q, C)[..., None, None]
    out = level * C + 2 * C @ q @ C
    slope = 2 * (C @ q[..., :1])[..., 0]
    out[..., :, 0] += slope
    out[..., 0, :] += slope
    out[..., 0, 0] += level[..., 0, 0]
    return out
