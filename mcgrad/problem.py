"""What J is: an environment, a policy, and how long and how discounted they run together.

    J(theta) = E[ sum_{t<T} gamma^t r(s_t, a_t, s_{t+1}) + gamma^T r_T(s_T) ],
    s_0 = init(z),  eta_t = eta(theta, s_t),  a_t = sample(eta_t, e_t),  s_{t+1} = step(s_t, a_t, w_t),

where z, e_t, w_t hold standard normals and numbers that are uniform on (0, 1). An episode that is `done` stays where it
is, without rewards. Everything is a plain Python function of tuples of numbers, so that it can be traced,
differentiated and compiled; `p` holds the named parameters, which may change without a recompile. Some of these may be
components of theta (`design`), and a reward may see the policy (`eta`, `log_prob`): J's gradient then has a part that no
score knows, and every estimator adds it.
"""

import dataclasses
import math
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import validate
from .environment import Environment
from .policy import Policy
from .printing import counted

# What is written in terms of problems, and what they offer all the same: `kernel_handle` puts it here.
written = types.SimpleNamespace()


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """An environment under a policy for `horizon` steps, rewards discounted by gamma^t.

    Parameters
    ----------
    environment : Environment
    policy : Policy or None
        None where all of theta is design parameters: the environment then has no actions.
    horizon : int
        T >= 1, the number of actions.
    discount : float or (T,) array
        gamma in (0, 1]; or gamma_t in [0, 1] from each step to the next, which makes prod_{k<t} gamma_k of gamma^t. The
        theories of `mcgrad.exact` know the first kind alone.
    design : sequence of str
        Names among the environment's `params` whose values are components of theta, after those of the policy, in this
        order; an array counts with all its elements. A mass, a friction, a strike, a spot price: the derivative in them
        goes through `init`, `step`, `reward` and `terminal`, along the path, in every estimator. The values in `params` are
        where one may start from (`design_values`).

    Raises
    ------
    ValueError
        If the parts do not fit each other, or a number is out of its range.

    Examples
    --------
    Delta and vega of a European call after Black and Scholes, 10.45 with S0 = 100, sigma = 0.2:

    >>> import math
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> market = mg.Environment(
    ...     states=1, actions=0, noises=1, params={"S0": 100.0, "sigma": 0.2},
    ...     init=lambda p, z: (np.log(p.S0),),
    ...     step=lambda p, s, a, w: (s[0] + (0.05 - 0.5 * p.sigma**2) / 4 + p.sigma * w[0] / 2,),
    ...     reward=lambda p, s, a, s_next, w: 0.0,
    ...     terminal=lambda p, s: math.exp(-0.05) * np.maximum(np.exp(s[0]) - 100.0, 0.0))
    >>> call = mg.Problem(market, None, horizon=4, design=("S0", "sigma"))
    >>> found = mg.measure(call, [100.0, 0.2], {"pathwise": mg.estimators.reparameterization()}, 400_000)
    >>> delta, vega = found["pathwise"].mean  # exactly 0.6368 and 37.52
    >>> abs(delta - 0.6368) < 5 * found["pathwise"].stderr[0], abs(vega - 37.524) < 5 * found["pathwise"].stderr[1]
    (np.True_, np.True_)

    References
    ----------
    Glasserman (2003), Monte Carlo methods in financial engineering, section 7.2.
    """

    environment: Environment
    policy: Policy
    horizon: int
    discount: Any = 1.0  # a float, or an array
    design: tuple[str, ...] = ()

    if TYPE_CHECKING:  # what is taken for these

        def __init__(
            self,
            environment: Environment,
            policy: Policy | None,
            horizon: int,
            discount: ArrayLike = 1.0,
            design: Sequence[str] = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.environment, Environment):
            raise ValueError(f"environment: expected an Environment, got {validate.describe(self.environment)}")
        object.__setattr__(self, "design", _design(self.design, self.environment))
        if self.policy is None and self.design:
            if self.environment.actions:
                raise ValueError(
                    f"policy: expected one for the {self.environment.actions} actions of {self.environment.name}, got None"
                )
            object.__setattr__(self, "policy", _no_policy(self.environment.states))
        if self.design:  # no theory knows what theta is then
            object.__setattr__(self, "environment", dataclasses.replace(self.environment, closed_form=None))
        if not isinstance(self.policy, Policy):
            raise ValueError(f"policy: expected a Policy, got {validate.describe(self.policy)}")
        for field, what in (("states", "states"), ("actions", "actions")):
            theirs, ours = getattr(self.environment, field), getattr(self.policy, field)
            if theirs != ours:
                raise ValueError(
                    f"policy: expected one for {theirs} {what}, as the environment has, got one for {ours}"
                )
        if self.environment.choices != self.policy.choices:
            offered, chosen = (
                f"{k} choices" if k else "a continuous action" for k in (self.environment.choices, self.policy.choices)
            )
            raise ValueError(f"policy: expected one for {offered}, as the environment has, got one for {chosen}")
        if not self.parameters:
            raise ValueError("design: expected names of parameters where the policy has none, got ()")
        twice = set(self.policy.parameters) & set(self.design_names)
        if twice:
            raise ValueError(f"design: expected other names than those of the policy's parameters, got {sorted(twice)}")
        object.__setattr__(self, "horizon", validate.integer("horizon", self.horizon, 1, 2**31))
        object.__setattr__(self, "discount", _discount(self.discount, self.horizon))

    def __repr__(self) -> str:
        discount = "by step" if self.discount_varies else f"{self.discount:g}"
        lines = [
            f"Problem: horizon {self.horizon}, discount {discount}, {counted(len(self.parameters), 'parameter')}",
            f"  environment  {self.environment!r}",
            f"  policy       {self.policy!r}",
        ]
        return "\n".join(lines + ([f"  design       {', '.join(self.design)}"] if self.design else []))

    def source(self, estimators: dict[str, Any], theta: ArrayLike | None = None) -> str:
        """Return the text of the kernel that samples named estimators, to be read; `print` it.

        Parameters
        ----------
        estimators : dict
            Name -> estimator.
        theta : (P,) array, optional
            As for `mcgrad.kernel`: needed where estimators take their data (exact values, say) from it.

        Raises
        ------
        ValueError
            As `mcgrad.kernel`.
        """
        return written.source(self, estimators, theta)

    @property
    def discount_varies(self) -> bool:
        """Whether the discount differs from step to step."""
        return isinstance(self.discount, np.ndarray)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of theta's P components: those of the policy, then those of the design."""
        return self.policy.parameters + self.design_names

    @property
    def design_names(self) -> tuple[str, ...]:
        """Names of the design's components of theta: "mass", and "k[0]", "k[1]" of an array."""
        names = []
        for name in self.design:
            value = self.environment.params[name]
            names += [f"{name}[{','.join(map(str, k))}]" if k else name for k in np.ndindex(value.shape)]
        return tuple(names)

    @property
    def design_values(self) -> NDArray[np.float64]:
        """What the design parameters are in `params` of the environment, as components of theta."""
        return np.concatenate([np.zeros(0), *(self.environment.params[x].ravel() for x in self.design)])

    def split(self, theta: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return the policy's part of theta, and {name: value of its own shape} for the design parameters.

        Parameters
        ----------
        theta : sequence of P numbers
            Traced or not; its length is not checked.
        """
        rest = theta[len(self.policy.parameters) :]
        values = {}
        for name in self.design:
            shape = self.environment.params[name].shape
            size = math.prod(shape)
            part, rest = rest[:size], rest[size:]
            array = np.empty(size, dtype=object)
            array[:] = part
            values[name] = array.reshape(shape) if shape else part[0]
        return theta[: len(self.policy.parameters)], values

    def theta(self, theta: ArrayLike) -> NDArray[np.float64]:
        """Return theta as a checked array of P finite numbers.

        Parameters
        ----------
        theta : (P,) array

        Raises
        ------
        ValueError
            For another shape, or numbers that are not finite.
        """
        return validate.array("theta", theta, (len(self.parameters),))

    def weights(self) -> NDArray[np.float64]:
        """Return gamma^t, or the product of the gamma_k, k < t, for t = 0, ..., T, shape (T + 1,)."""
        if self.discount_varies:
            return np.cumprod([1.0, *self.discount])
        return self.discount ** np.arange(self.horizon + 1)


def _design(names: Any, environment: Environment) -> tuple[str, ...]:
    """Return the names of design parameters, checked."""
    names = validate.sequence("design", names, "names of params")
    names = tuple(x if isinstance(x, str) else validate.describe(x) for x in names)
    known = ", ".join(environment.params) or "none"
    for name in names:
        if name not in environment.params:
            raise ValueError(f"design: expected names among the params of {environment.name} ({known}), got {name!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"design: expected different names, got {list(names)}")
    return names


def _no_policy(states: int) -> Policy:
    """Return the policy of problems without actions."""
    return Policy(
        states=states,
        actions=0,
        noises=0,
        parameters=(),
        eta=lambda p, theta, s: (),
        sample=lambda p, eta, e: (),
        no_score="there are no actions, and nothing is drawn from a density; use mcgrad.estimators.reparameterization()",
        name="no actions",
    )


def _discount(discount: Any, horizon: int) -> float | NDArray[np.float64]:
    """Return gamma, or gamma_t (T,) where it varies."""
    discount = validate.array("discount", discount)
    if discount.ndim == 0 or (discount.shape == (horizon,) and discount.min() == discount.max() > 0.0):
        return validate.number("discount", float(discount.flat[0]), above=0.0, high=1.0)
    if discount.shape != (horizon,):
        raise ValueError(f"discount: expected a number or shape ({horizon},), one for each step, got {discount.shape}")
    if discount.min() < 0.0 or discount.max() > 1.0:
        raise ValueError(f"discount: expected numbers from 0 to 1, got {discount.min():g} to {discount.max():g}")
    discount.flags.writeable = False
    return discount
