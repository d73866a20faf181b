"""What J is: an environment, a policy, and how long and how discounted they run together.

    J(theta) = E[ sum_{t<T} gamma^t r(s_t, a_t, s_{t+1}) + gamma^T r_T(s_T) ],
    s_0 = init(z),  eta_t = eta(theta, s_t),  a_t = sample(eta_t, e_t),  s_{t+1} = step(s_t, a_t, w_t),

where z, e_t, w_t hold standard normals and numbers that are uniform on (0, 1). An episode that is `done` stays where it
is, without rewards. Everything is a plain Python function of tuples of numbers, so that it can be traced,
differentiated and compiled; `p` holds the named parameters, which may change without a recompile.
"""

import dataclasses
import keyword
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import validate


@dataclasses.dataclass(frozen=True, eq=False)
class Environment:
    """Dynamics and rewards, as plain Python functions of tuples of numbers.

    Parameters
    ----------
    states, actions : int
        n and m: how many numbers make a state and an action.
    noises, initial_noises : int
        How many standard normals `step` and `reward` get as `w`, and `init` as `z`.
    uniforms, initial_uniforms : int
        How many numbers uniform on (0, 1) come after these in `w` and `z`.
    choices : int, optional
        How many actions there are to choose from, numbered from 0, where the action is discrete.
    params : dict
        Name -> number or array; the functions read them as `p.name`. New values do not cause a recompile.
    init : callable
        init(p, z) -> the n numbers of s_0.
    step : callable
        step(p, s, a, w) -> the n numbers of the next state.
    reward : callable
        reward(p, s, a, s_next, w) -> the reward of the step, to be maximised.
    terminal : callable, optional
        terminal(p, s) -> a reward for the last state, discounted by gamma^T.
    done : callable, optional
        done(p, s) -> whether an episode that has arrived at s is over: no actions, no rewards, no `terminal` from then on.
        A reward for having arrived is for `reward` to pay, which sees s_next.
    name : str
        What to call it in messages and tables.
    discontinuous : str, optional
        Where the dynamics or the rewards jump, and what a pathwise gradient, which does not see jumps, loses by it.
        Pathwise gradients warn about it once.
    closed_form : object, optional
        What `mcgrad.exact` knows the environment by: the matrices of a linear-quadratic one, for instance.
    action_bounds : pair, optional
        (low, high), numbers or (m,) arrays: where continuous actions have a limit. It is for agents that need one (see
        `mcgrad.gym`); `step` and `reward` get any action, and have to clip where clipping is meant.

    Raises
    ------
    ValueError
        Naming the argument that is not as described.
    """

    states: int
    actions: int
    noises: int = 0
    initial_noises: int = 0
    uniforms: int = 0
    initial_uniforms: int = 0
    choices: int | None = None
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    init: Callable = None
    step: Callable = None
    reward: Callable = None
    terminal: Callable | None = None
    done: Callable | None = None
    name: str = "environment"
    discontinuous: str | None = None
    closed_form: Any = None
    action_bounds: Any = None

    def __post_init__(self):
        for field in ("states", "actions", "noises", "initial_noises", "uniforms", "initial_uniforms"):
            low = 1 if field in ("states", "actions") else 0
            object.__setattr__(self, field, validate.size(field, getattr(self, field), low))
        _check_choices(self)
        for field in ("init", "step", "reward"):
            validate.function(field, getattr(self, field))
        for field in ("terminal", "done"):
            validate.function(field, getattr(self, field), optional=True)
        validate.text("discontinuous", self.discontinuous)
        if self.action_bounds is not None:
            if self.choices is not None:
                raise ValueError("action_bounds: expected None for an action that is one of several choices")
            bounds = validate.interval("action_bounds", self.action_bounds, self.actions)
            object.__setattr__(self, "action_bounds", bounds)
        object.__setattr__(self, "params", _params(self.params))


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    """A distribution of actions: eta = eta(p, theta, s) are its parameters, a = sample(p, eta, e) draws from it.

    Parameters
    ----------
    states, actions, noises : int
        n, m, and how many standard normals `sample` gets as `e`.
    uniforms : int
        How many numbers uniform on (0, 1) come after these in `e`.
    choices : int, optional
        How many actions it chooses from, numbered from 0, where the action is discrete.
    parameters : sequence of str
        The names of the P components of theta.
    eta : callable
        eta(p, theta, s) -> the numbers that parametrise the distribution of the action.
    sample : callable
        sample(p, eta, e) -> the m numbers of the action, differentiable in eta at fixed e where pathwise gradients exist.
    log_prob : callable, optional
        log_prob(p, eta, a) -> log density of a; its gradient in eta is the score.
    score : callable, optional
        score(p, eta, a, e) -> d log p(a | eta) / d eta, where a direct formula is cheaper than differentiating.
    params : dict
        Name -> number or array, read by the functions as `p.name`.
    no_score : str, optional
        Why this policy has no score function (a deterministic one, for instance), and what to use instead.
    no_pathwise : str, optional
        Why this policy has no pathwise gradient (one of discrete actions, for instance), and what to use instead.
    start : array, optional
        Starting values of the last parameters of theta (log standard deviations); `theta(K)` appends them to K.
    closed_form : object, optional
        What `mcgrad.exact` knows the policy by.
    """

    states: int
    actions: int
    noises: int
    parameters: tuple
    eta: Callable
    sample: Callable
    log_prob: Callable | None = None
    score: Callable | None = None
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    no_score: str | None = None
    no_pathwise: str | None = None
    start: Any = ()
    uniforms: int = 0
    choices: int | None = None
    name: str = "policy"
    closed_form: Any = None

    def __post_init__(self):
        for field, low in (("states", 1), ("actions", 1), ("noises", 0), ("uniforms", 0)):
            object.__setattr__(self, field, validate.size(field, getattr(self, field), low))
        _check_choices(self)
        for field in ("eta", "sample"):
            validate.function(field, getattr(self, field))
        for field in ("log_prob", "score"):
            validate.function(field, getattr(self, field), optional=True)
        for field in ("no_score", "no_pathwise"):
            validate.text(field, getattr(self, field))
        names = self.parameters
        try:
            names = () if isinstance(names, str) else tuple(map(str, names))
        except TypeError:  # no sequence
            names = ()
        if not names or len(set(names)) < len(names):
            got = validate.describe(self.parameters)
            raise ValueError(f"parameters: expected a name for each component of theta, all different, got {got}")
        object.__setattr__(self, "parameters", names)
        object.__setattr__(self, "params", _params(self.params))
        object.__setattr__(self, "start", validate.array("start", self.start, (None,)))
        if len(self.start) > len(names):
            raise ValueError(
                f"start: expected at most {len(names)} numbers, one for each parameter, got {len(self.start)}"
            )

    def theta(self, gain):
        """Return theta: the gain K (or its ravelled form), followed by the starting values of the other parameters."""
        size = len(self.parameters) - len(self.start)
        gain = validate.array("gain", gain).ravel()
        if gain.size != size:
            raise ValueError(f"gain: expected {size} numbers, got {gain.size}")
        return np.concatenate([gain, self.start])


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """An environment under a policy for `horizon` steps, rewards discounted by gamma^t.

    Parameters
    ----------
    environment : Environment
    policy : Policy
    horizon : int
        T >= 1, the number of actions.
    discount : float or (T,) array
        gamma in (0, 1]; or gamma_t in [0, 1] from each step to the next, which makes prod_{k<t} gamma_k of gamma^t. The
        theories of `mcgrad.exact` know the first kind alone.

    Raises
    ------
    ValueError
        If the two do not fit each other, or a number is out of its range.
    """

    environment: Environment
    policy: Policy
    horizon: int
    discount: float = 1.0

    def __post_init__(self):
        if not isinstance(self.environment, Environment):
            raise ValueError(f"environment: expected an Environment, got {validate.describe(self.environment)}")
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
        object.__setattr__(self, "horizon", validate.integer("horizon", self.horizon, 1, 2**31))
        object.__setattr__(self, "discount", _discount(self.discount, self.horizon))

    @property
    def discount_varies(self):
        """Whether the discount differs from step to step."""
        return isinstance(self.discount, np.ndarray)

    @property
    def parameters(self):
        """Names of theta's P components."""
        return self.policy.parameters

    def theta(self, theta):
        """Return theta as a checked array of P finite numbers."""
        return validate.array("theta", theta, (len(self.parameters),))

    def weights(self):
        """Return gamma^t, or the product of the gamma_k, k < t, for t = 0, ..., T, shape (T + 1,)."""
        if self.discount_varies:
            return np.cumprod([1.0, *self.discount])
        return self.discount ** np.arange(self.horizon + 1)


def _discount(discount, horizon):
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


def _check_choices(thing):
    if thing.choices is not None:
        object.__setattr__(thing, "choices", validate.size("choices", thing.choices, 2))


def _params(params):
    if not isinstance(params, Mapping):
        raise ValueError(f"params: expected a dict of numbers and arrays, got {validate.describe(params)}")
    checked = {}
    for name, value in params.items():
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise ValueError(f"params: expected names that can be written as p.name (without _ in front), got {name!r}")
        checked[name] = validate.array(f"params[{name!r}]", value)
        checked[name].flags.writeable = False
    return checked
