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
import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import validate

# What is written in terms of problems, and what they offer all the same: `kernel_handle` puts it here.
written = types.SimpleNamespace()


@dataclasses.dataclass(frozen=True, eq=False)
class Environment:
    """Dynamics and rewards, as plain Python functions of tuples of numbers.

    Parameters
    ----------
    states, actions : int
        n and m: how many numbers make a state and an action. Without actions there is nothing but design parameters.
    noises, initial_noises : int
        How many standard normals `step` and `reward` get as `w`, and `init` as `z`.
    uniforms, initial_uniforms : int
        How many numbers uniform on (0, 1) come after these in `w` and `z`.
    choices : int or tuple, optional
        How many actions there are to choose from, numbered from 0, where the action is discrete. One entry for each
        component where there are several: (2, 3), or (2, None) with a component that is continuous.
    params : dict
        Name -> number or array; the functions read them as `p.name`. New values do not cause a recompile.
    init : callable
        init(p, z) -> the n numbers of s_0.
    step : callable
        step(p, s, a, w) -> the n numbers of the next state.
    reward : callable
        reward(p, s, a, s_next, w) -> the reward of the step, to be maximised. One that sees the policy names what it wants
        after these: `eta`, the parameters of the action's distribution, `log_prob`, log p(a | eta), or both. So an entropy
        bonus is a reward(p, s, a, s_next, w, eta), and a penalty for leaving a reference policy takes log_prob.
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
    choices: int | tuple | None = None
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
            low = 1 if field == "states" else 0
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
        object.__setattr__(self, "reward_sees", _reward_sees(self.reward))
        if self.reward_sees:  # it is not the reward that a theory knows
            object.__setattr__(self, "closed_form", None)

    def __repr__(self):
        noise = [
            _counted(count, what)
            for what, count in (
                ("process noise", self.noises + self.uniforms),
                ("initial noise", self.initial_noises + self.initial_uniforms),
            )
            if count
        ]
        facts = [_counted(self.states, "state"), _of_actions(self), *noise, *_shapes(self.params)]
        return f"<Environment {self.name}: {', '.join(facts)}>"


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    """A distribution of actions: eta = eta(p, theta, s) are its parameters, a = sample(p, eta, e) draws from it.

    Parameters
    ----------
    states, actions, noises : int
        n, m, and how many standard normals `sample` gets as `e`.
    uniforms : int
        How many numbers uniform on (0, 1) come after these in `e`.
    choices : int or tuple, optional
        How many actions it chooses from, numbered from 0, where the action is discrete; as of the environment.
    parameters : sequence of str
        The names of the P components of theta.
    eta : callable
        eta(p, theta, s) -> the numbers that parametrise the distribution of the action.
    sample : callable
        sample(p, eta, e) -> the m numbers of the action, differentiable in eta at fixed e where pathwise gradients exist.
        A draw by iterations may be given its derivative: `mcgrad.with_derivative`.
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
    choices: int | tuple | None = None
    name: str = "policy"
    closed_form: Any = None

    def __post_init__(self):
        for field, low in (("states", 1), ("actions", 0), ("noises", 0), ("uniforms", 0)):
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
        if (not names and self.actions) or len(set(names)) < len(names):
            got = validate.describe(self.parameters)
            raise ValueError(f"parameters: expected a name for each component of theta, all different, got {got}")
        validate.parameters(len(names))
        object.__setattr__(self, "parameters", names)
        object.__setattr__(self, "params", _params(self.params))
        object.__setattr__(self, "start", validate.array("start", self.start, (None,)))
        if len(self.start) > len(names):
            raise ValueError(
                f"start: expected at most {len(names)} numbers, one for each parameter, got {len(self.start)}"
            )

    def __repr__(self):
        count = len(self.parameters)
        theta = f"theta: {', '.join(self.parameters[:4])}{f', ... ({count})' if count > 4 else ''}"
        return f"<Policy {self.name}: {_counted(self.states, 'state')}, {_of_actions(self)}, {theta}>"

    def theta(self, gain: ArrayLike) -> NDArray[np.float64]:
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

    def __post_init__(self):
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

    def __repr__(self):
        discount = "by step" if self.discount_varies else f"{self.discount:g}"
        lines = [
            f"Problem: horizon {self.horizon}, discount {discount}, {len(self.parameters)} parameters",
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

    def split(self, theta):
        """Return the policy's part of theta, and {name: value of its own shape} for the design parameters."""
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
        """Return theta as a checked array of P finite numbers."""
        return validate.array("theta", theta, (len(self.parameters),))

    def weights(self) -> NDArray[np.float64]:
        """Return gamma^t, or the product of the gamma_k, k < t, for t = 0, ..., T, shape (T + 1,)."""
        if self.discount_varies:
            return np.cumprod([1.0, *self.discount])
        return self.discount ** np.arange(self.horizon + 1)


def _design(names, environment):
    names = validate.sequence("design", names, "names of params")
    names = tuple(x if isinstance(x, str) else validate.describe(x) for x in names)
    known = ", ".join(environment.params) or "none"
    for name in names:
        if name not in environment.params:
            raise ValueError(f"design: expected names among the params of {environment.name} ({known}), got {name!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"design: expected different names, got {list(names)}")
    return names


def _no_policy(states):
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


def _reward_sees(reward):
    """Return which of "eta" and "log_prob" a reward takes after (p, s, a, s_next, w), in the order of its arguments."""
    try:
        arguments = inspect.signature(reward).parameters.values()
    except (TypeError, ValueError):  # some builtins do not say what they take
        return ()
    found = [x for x in arguments if x.name in ("eta", "log_prob")]
    for x in found:
        if x.kind is x.KEYWORD_ONLY or x.kind is x.VAR_KEYWORD or x.kind is x.VAR_POSITIONAL:
            raise ValueError(f"reward: expected {x.name} as an ordinary argument after w, got {x}")
    return tuple(x.name for x in found)


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
    """Check `choices`: an int for an action that is one whole number, None for one that is continuous, else a tuple."""
    choices = thing.choices
    if isinstance(choices, (tuple, list)):
        if len(choices) != thing.actions:
            raise ValueError(
                f"choices: expected an entry for each of {thing.actions} components of the action, got {len(choices)}"
            )
        choices = tuple(k if k is None else validate.size(f"choices[{i}]", k, 2) for i, k in enumerate(choices))
        if len(choices) == 1 or not any(choices):
            choices = next(iter(choices), None)
    elif choices is not None:
        choices = validate.size("choices", choices, 2)
    object.__setattr__(thing, "choices", choices)


def _of_actions(thing):
    """Say what an action is."""
    if isinstance(thing.choices, int):
        return f"one of {thing.choices} actions"
    return _counted(thing.actions, "action")


def _counted(count, what):
    return f"{count} {what}{'' if count == 1 else 's'}"


def _shapes(params):
    """Say what the parameters are called, and how large arrays are."""
    named = [f"{k}[{', '.join(map(str, np.shape(x)))}]" if np.ndim(x) else k for k, x in params.items()]
    return [f"parameters {' '.join(named)}"] if named else []


def _params(params):
    if not isinstance(params, Mapping):
        raise ValueError(f"params: expected a dict of numbers and arrays, got {validate.describe(params)}")
    checked = {}
    for name, value in params.items():
        validate.name("params", name)
        checked[name] = validate.array(f"params[{name!r}]", value)
        checked[name].flags.writeable = False
    return checked
