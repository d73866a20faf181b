"""One parameter that pushes many states: at once the wrong way, in the long run the right way."""

import numpy as np

from .. import validate
from ..problem import Environment


def influence_balancing(n: int = 23, positive: int = 10) -> Environment:
    """Return the environment s_next = A s + signs a, A = (I + shift) / 2, with reward -(s_next_1 - 1)^2 / 2.

        s_next_i = (s_i + s_{i+1}) / 2 + sign_i a,    the first `positive` signs +1, the others -1, s_{n+1} = 0, s_0 = 0

    The action reaches s_1 at once with sign_1, and later through all the others: under a constant a = theta,
    s_1 -> 2 (2 positive - n) theta, which is -6 theta for the defaults; the loss at theta = 0.5 is 8 per step in the long
    run, its derivative 24, and one that is truncated to one step -4: of the wrong sign.

    Parameters
    ----------
    n, positive : int
        Number of states, and how many of them are pushed up, 0 to n.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    Tallec and Ollivier (2017), Unbiased online recurrent optimization; Vicol, Metz and Sohl-Dickstein (2021), Unbiased
    gradient estimation in unrolled computation graphs with persistent evolution strategies.
    """
    n = validate.size("n", n)
    positive = validate.integer("positive", positive, 0, n)

    def step(p, s, a, w):
        above = (*s[1:], 0.0)
        return tuple(0.5 * (s[i] + above[i]) + p.signs[i] * a[0] for i in range(n))

    return Environment(
        states=n,
        actions=1,
        params={"signs": np.where(np.arange(n) < positive, 1.0, -1.0)},
        init=lambda p, z: (0.0,) * n,
        step=step,
        reward=lambda p, s, a, s_next, w: -0.5 * (s_next[0] - 1.0) ** 2,
        name=f"influence balancing n={n}",
    )
