"""Environments, one file each.

n states, m actions. Derivatives: "smooth"; "kinks": continuous, so that pathwise gradients are unbiased; "jumps": they are
biased, and say so; "choice": a discrete action, which has none. Truth: "exact" is `mcgrad.exact.variance` and its like,
"quadrature" is `mcgrad.exact.quadrature`, for a few steps.

| environment | n, m | derivatives | truth | what it is for |
|---|---|---|---|---|
| `linear_quadratic` | any | smooth | exact | every estimator against its exact variance, sweeps of everything |
| `quadratic_cost`, `exponential_cost`, `cosine_cost` | 1, 1 | smooth | exact | one step: the costs of Mohamed et al. |
| `sum_cost`, `constant_cost` | 1, D | smooth | exact | one step: variance and the number of parameters |
| `step_reward`, `linear_ramp` | 1, 1 | jumps, kinks | exact | a jump that pathwise gradients miss, and the ramp that hides it |
| `sinusoid_on_parabola` | 1, 1 | smooth | exact | fast ripples: pathwise gradients see slopes, not heights |
| `ball_with_wall` | 1, 1 | jumps | exact | contact: a landing place that jumps |
| `chaotic_map` | 1, 1 | smooth | exact | one action whose influence grows exponentially |
| `coulomb_friction` | 2, 1 | kinks | none | stiff contact: an action that is felt in a thin layer alone |
| `influence_balancing` | n, 1 | smooth | none | influence that comes late and with the other sign |
| `bandit`, `bernoulli_toy` | 1, 1 | choice | exact | softmax and Bernoulli policies in closed form |
| `tabular` | 1, 1 | choice | exact | any finite Markov decision process |
| `short_corridor`, `random_walk` | 1, 1 | choice | exact | those of the textbooks |
| `cart_pole` | 4, 1 | choice | none | the tutorials' environment, with episodes that end |
| `pendulum` | 2, 1 | kinks | quadrature | Gymnasium's Pendulum-v1: limits of torque and speed |
| `plain_pendulum` | 2, 1 | smooth | quadrature | long unstable swing-up without limits: workload W4 |
| `quadratic_scalar`, `cubic_scalar` | 1, 1 | smooth | quadrature | polynomial systems of Han and Yang |
| `double_well` | 1, 1 | smooth | quadrature | rare crossings of a barrier, trajectories that part at it |
| `double_pendulum` | 4, 1 or 2 | smooth | quadrature | chaos: pathwise variances that grow exponentially |

`with_clock`, `with_memory` and `with_observation` add to the state of any of them.
"""

from .ball_with_wall import ball_with_wall
from .bandit import bandit, bernoulli_toy
from .cart_pole import cart_pole
from .chains import corridor_features, random_walk, short_corridor
from .chaotic_map import chaotic_map
from .coulomb_friction import coulomb_friction
from .double_pendulum import double_pendulum
from .double_well import double_well
from .influence_balancing import influence_balancing
from .linear_quadratic import linear_quadratic
from .one_step import constant_cost, cosine_cost, exponential_cost, quadratic_cost, sum_cost
from .pendulum import pendulum
from .plain_pendulum import plain_pendulum
from .polynomial_scalar import cubic_scalar, quadratic_scalar
from .sinusoid_on_parabola import sinusoid_on_parabola
from .step_reward import linear_ramp, step_reward
from .tabular import tabular
from .with_state import with_clock, with_memory, with_observation

__all__ = [
    "ball_with_wall",
    "bandit",
    "bernoulli_toy",
    "cart_pole",
    "chaotic_map",
    "constant_cost",
    "corridor_features",
    "cosine_cost",
    "coulomb_friction",
    "cubic_scalar",
    "double_pendulum",
    "double_well",
    "exponential_cost",
    "influence_balancing",
    "linear_quadratic",
    "linear_ramp",
    "pendulum",
    "plain_pendulum",
    "quadratic_cost",
    "quadratic_scalar",
    "random_walk",
    "short_corridor",
    "sinusoid_on_parabola",
    "step_reward",
    "sum_cost",
    "tabular",
    "with_clock",
    "with_memory",
    "with_observation",
]
