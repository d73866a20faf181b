"""A mixture of normals, with learned weights, whose pathwise gradient knows of the weights."""

from collections.abc import Sequence

import numpy as np

from ... import validate
from ...compiler.functions import where
from ...compiler.trace import Number, Numbers, apply
from .. import categorical
from ..maps import MapLike
from .gaussian import scales
from .head import Head, parameter, scale_parameter
from .quantile import normal_density, with_slopes

ITERATIONS = (
    24  # of Newton's method with bisection; 20 are enough but for 1 in 10^4 of mixtures with stds 1000 times apart
)


def mixture(
    components: int, logits: MapLike, means: MapLike, *, std: MapLike | None = None, log_std: MapLike | None = None
) -> Head:
    """Return the head p(a) = sum_k pi_k N(a; mean_k, std_k^2), pi = softmax(logits), for one component of the action.

    With x_k = (a - mean_k) / std_k and r_k = pi_k N_k / p, the share of normal k in the density at a, scores are

        logits: r_k - pi_k,    mean_k: r_k x_k / std_k,    log std_k: r_k (x_k^2 - 1)    (std_k: that over std_k)

    The draw is the quantile of a single noise, F(a) = sum_k pi_k Phi(x_k) = Phi(e), so that it does not jump from one normal
    to another when the weights move a little. Its pathwise derivative is unbiased in all parameters:

        da/dmean_k = r_k,    da/dlog std_k = r_k std_k x_k,    da/dlogit_k = pi_k (F - Phi(x_k)) / p

    Between normals that are far apart p is small and the derivative in the logits large: there the score has less variance.

    Parameters
    ----------
    components : int
        K >= 2.
    logits, means : Map or (K,)
    std, log_std : Map, number or (K,)
        Exactly one of them.

    Raises
    ------
    ValueError
        For fewer than two components, maps of another size, or both or neither of `std` and `log_std`.

    References
    ----------
    Figurnov, Mohamed and Mnih (2018), Implicit reparameterization gradients, section 4 (mixtures). NeurIPS; Graves (2016),
    Stochastic backpropagation through mixture density distributions.
    """
    K = validate.integer("components", components, 2, 100)
    scale, logarithm = scale_parameter(std, log_std, K)

    def parts(values):
        return categorical.probabilities(values[0]), values[1], scales(values[2], logarithm)

    def sample(values, e):
        chances, means, stds = parts(values)
        a = quantile(chances, means, stds, e[0])
        inputs = (*values[0], *values[1], *values[2], e[0])
        return (with_slopes(a, inputs, lambda a: slopes(chances, means, stds, a, e[0])),)

    def slopes(chances, means, stds, a, e):
        x = [(a - mean) / std for mean, std in zip(means, stds, strict=True)]
        densities = [chance * normal_density(y) / std for chance, y, std in zip(chances, x, stds, strict=True)]
        density = sum(densities)
        shares = [y / density for y in densities]
        # F - Phi(x_k) from the tails on the side of a, so that nothing cancels
        side = where(e > 0.0, -1.0, 1.0)
        tails = [apply("ndtr", side * y) for y in x]
        tail = sum(chance * y for chance, y in zip(chances, tails, strict=True))
        of_logits = [chance * (side * (tail - y)) / density for chance, y in zip(chances, tails, strict=True)]
        of_scales = [r * y * (std if logarithm else 1.0) for r, y, std in zip(shares, x, stds, strict=True)]
        return (*of_logits, *shares, *of_scales, normal_density(e) / density)

    def log_terms(values, a):
        """Return log(pi_k N_k) and x_k."""
        logs = values[2] if logarithm else tuple(np.log(std) for std in values[2])
        x = [(a[0] - mean) * np.exp(-log_std) for mean, log_std in zip(values[1], logs, strict=True)]
        terms = [
            logit - log_std - 0.5 * y * y - 0.9189385332046728
            for logit, log_std, y in zip(values[0], logs, x, strict=True)
        ]
        return terms, x

    def log_prob(values, a):
        return log_sum(log_terms(values, a)[0]) - log_sum(values[0])

    def score(values, a, e):
        terms, x = log_terms(values, a)
        shares, stds = categorical.probabilities(terms), scales(values[2], logarithm)
        of_logits = tuple(r - chance for r, chance in zip(shares, categorical.probabilities(values[0]), strict=True))
        of_means = tuple(r * y / std for r, y, std in zip(shares, x, stds, strict=True))
        of_scales = [r * (y * y - 1.0) for r, y in zip(shares, x, strict=True)]
        if not logarithm:
            of_scales = [z / std for z, std in zip(of_scales, stds, strict=True)]
        return of_logits, of_means, tuple(of_scales)

    parameters = (parameter("logits", logits, K), parameter("means", means, K), scale)
    return Head("mixture", parameters, 1, sample, log_prob, score, noises=1)


def log_sum(x: Sequence[Number]) -> Number:
    """Return log sum_k exp(x_k)."""
    total = x[0]
    for y in x[1:]:
        total = apply("logaddexp", total, y)
    return total


def quantile(chances: Numbers, means: Numbers, stds: Numbers, e: Number) -> Number:
    """Return the a with sum_k pi_k Phi((a - mean_k) / std_k) = Phi(e).

    The smallest and the largest mean_k + std_k e enclose it. Newton's method on the logarithm of the tail on the side of e;
    a step that leaves the enclosure, or is more than half of the one before, is replaced by a bisection.
    """
    ends = [mean + std * e for mean, std in zip(means, stds, strict=True)]
    low, high = ends[0], ends[0]
    for x in ends[1:]:
        low, high = np.minimum(low, x), np.maximum(high, x)
    slack = 1e-9 * (high - low)  # rounding must not send a root at the end of the enclosure back to its middle
    low, high, last = low - slack, high + slack, high - low
    side = where(e > 0.0, -1.0, 1.0)
    wanted = apply("log_ndtr", side * e)
    a = sum(chance * x for chance, x in zip(chances, ends, strict=True))
    for _ in range(ITERATIONS):
        x = [(a - mean) / std for mean, std in zip(means, stds, strict=True)]
        tail = sum(chance * apply("ndtr", side * y) for chance, y in zip(chances, x, strict=True))
        density = sum(chance * normal_density(y) / std for chance, y, std in zip(chances, x, stds, strict=True))
        off = side * (np.log(tail) - wanted)
        low, high = where(off > 0.0, low, a), where(off > 0.0, a, high)
        step = -off * tail / density
        to = a + step
        inside = (to >= low - slack) & (to <= high + slack) & (abs(step) <= np.maximum(0.5 * last, slack))
        to = where(inside, to, 0.5 * (low + high))
        last, a = abs(to - a), to
    return a
