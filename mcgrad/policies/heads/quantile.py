"""A draw that is the quantile of its noise, and what its derivative is.

A continuous number a with distribution function F(a; eta) is drawn from a standard normal e as a = F^-1(Phi(e)). Held at the
same noise, it moves with eta, and with e, by the implicit function theorem:

    da/deta = -(dF/deta) / p(a),    da/de = phi(e) / p(a)

Drawn so, by whatever iterations, a is a smooth function of eta at fixed noise, which is what pathwise gradients, differences
with common noise and antithetic noise rest on.

References
----------
Figurnov, Mohamed and Mnih (2018), Implicit reparameterization gradients, equation 6. NeurIPS; Jankowiak and Obermeyer (2018),
Pathwise derivatives beyond the reparameterization trick. ICML.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...compiler.functions import with_derivative
from ...compiler.trace import Number, Numbers


def with_slopes(a: Number, inputs: Numbers, slopes: Callable[[Number], Numbers]) -> Number:
    """Return a with the slopes that `slopes(a)` returns, right to second order: they see how a itself moves."""
    return with_derivative(a, inputs, slopes(with_derivative(a, inputs, slopes(a))))


def normal_density(x: Number) -> Any:
    """Return the density of a standard normal."""
    return np.exp(-0.5 * (x * x)) * 0.3989422804014327
