"""Whether a problem's functions are those that its `closed_form` speaks of: `dataclasses.replace` keeps it whatever changes.

Functions are run as they are, on plain numbers, at a few states, actions and noises, beside those of an environment that is
made anew from the closed form, and beside a = K s + L e.
"""

import types
import weakref
from collections.abc import Hashable, Iterable

import numpy as np

from ..compiler.structure import Unknown, Walk
from ..environments.bandit import Bandit, bandit
from ..environments.linear_quadratic import LinearQuadratic, linear_quadratic
from ..environments.tabular import Tabular, continued
from ..policies.linear_gaussian import LinearGaussian
from ..problem import Environment, Policy, Problem
from .theory import Array, NoClosedForm

POINTS, CLOSE = 3, 1e-9
STEP, ROUGH = 1e-5, 1e-5  # of differences of log densities, and how close a score is to them


_checked: weakref.WeakKeyDictionary[Environment, object] = (
    weakref.WeakKeyDictionary()
)  # and the structure that they had


_moves: weakref.WeakKeyDictionary[Environment, tuple[object, bool]] = weakref.WeakKeyDictionary()


def structure(problem: Problem) -> Hashable:
    """Return what the functions of a problem are made of, down to what they captured and the globals that they read.

    Equal structures are equal functions (see `compiler.structure`); where that is not known, each is another one.
    """
    return _structure(problem.environment, _OF_ENVIRONMENT), _structure(problem.policy, _OF_POLICY)


_OF_ENVIRONMENT, _OF_POLICY = ("init", "step", "reward", "terminal", "done"), ("eta", "sample", "log_prob", "score")


def _structure(owner: Environment | Policy, names: Iterable[str]) -> Hashable:
    walk = Walk()
    try:
        return tuple([walk.of(getattr(owner, name)) for name in names])
    except (Unknown, RecursionError):
        return object()


def check_faithful(problem: Problem, theta: Array) -> None:
    """Raise NoClosedForm if the functions of a problem are others than those of its closed form."""
    environment, policy, rng = problem.environment, problem.policy, np.random.default_rng(0)
    own = _structure(environment, _OF_ENVIRONMENT)  # theta has no part in it
    known = None if _checked.get(environment) == own else _anew(environment)
    if known is not None:
        wrong = next(
            (name for name in ("init", "step", "reward", "terminal") if not _same(name, environment, known, rng)), None
        )
        if wrong or (environment.done is None) != (known.done is None):
            raise NoClosedForm(
                f"no closed form is known for this {environment.name}: its {wrong or 'done'} is another function than that "
                "of its closed form; write `closed_form=None` along with what you replace"
            )
    _checked[environment] = own
    if isinstance(policy.closed_form, LinearGaussian) and not _is_linear_gaussian(policy, theta, rng):
        raise NoClosedForm(
            f"no closed form is known for this {policy.name}: its functions are others than those of its closed form; "
            "write `closed_form=None` along with what you replace"
        )


def moves_as_said(environment: Environment) -> bool:
    """Tell whether start, steps and ends are those of a closed form for a table; rewards may be others."""
    now = _structure(environment, ("init", "step", "done"))
    if environment not in _moves or _moves[environment][0] != now:
        known, rng = _anew(environment), np.random.default_rng(0)
        same = known is not None and all(_same(name, environment, known, rng) for name in ("init", "step"))
        _moves[environment] = now, same and known is not None and (environment.done is None) == (known.done is None)
    return _moves[environment][1]


def _anew(environment: Environment) -> Environment | None:
    """Return an environment made from a closed form, or None for kinds that are taken at their word."""
    match environment.closed_form:
        case LinearQuadratic() as f:
            return linear_quadratic(
                f.A,
                f.B,
                f.Q,
                f.R,
                terminal_cost=f.terminal_cost,
                process_noise=f.process_noise,
                initial_mean=f.initial_mean,
                initial_cov=f.initial_cov,
            )
        case Tabular() as table:
            return continued(environment, table.start, table.terminal, 1)
        case Bandit() as known:
            return bandit(known.values, known.std)
    return None


def _same(name: str, environment: Environment, known: Environment, rng: np.random.Generator) -> bool:
    """Tell whether two environments have the same function of this name, at a few points."""
    sizes = ("noises", "uniforms", "initial_noises", "initial_uniforms")
    one, two = getattr(environment, name), getattr(known, name)
    if one is None or two is None:
        return one is two
    if any(getattr(environment, x) != getattr(known, x) for x in sizes):
        return False
    for _ in range(POINTS):
        s, a = _state_and_action(environment, rng)
        w, z = (_noise(rng, *(getattr(known, x) for x in pair)) for pair in (sizes[:2], sizes[2:]))
        p, q = (types.SimpleNamespace(**x.params) for x in (environment, known))
        s_next = tuple(known.step(q, s, a, w))
        arguments = {"init": (z,), "step": (s, a, w), "reward": (s, a, s_next, w), "terminal": (s,)}[name]
        found, expected = (np.asarray(f(x, *arguments), dtype=float) for f, x in ((one, p), (two, q)))
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=CLOSE, atol=CLOSE):
            return False
    return True


def _state_and_action(
    environment: Environment, rng: np.random.Generator
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if environment.choices is None:
        return tuple(rng.normal(size=environment.states)), tuple(rng.normal(size=environment.actions))
    table = environment.closed_form
    S = len(table.start) if isinstance(table, Tabular) else 1
    over = table.ends if isinstance(table, Tabular) else np.zeros(1, dtype=bool)
    return (float(rng.choice(np.flatnonzero(~over))) if S > 1 else 0.0,), (float(rng.integers(environment.choices)),)


def _noise(rng: np.random.Generator, normals: int, uniforms: int) -> tuple[float, ...]:
    return (*rng.normal(size=normals), *rng.random(uniforms))


def _is_linear_gaussian(policy: Policy, theta: Array, rng: np.random.Generator) -> bool:
    """Tell whether a = K s + L e, with the log density and the score of that."""
    n, m, form, p = policy.states, policy.actions, policy.closed_form, types.SimpleNamespace(**policy.params)
    K, L = form.matrices(theta)
    for _ in range(POINTS):
        s, e = rng.normal(size=n), rng.normal(size=policy.noises)
        eta = tuple(policy.eta(p, tuple(theta), tuple(s)))
        a = np.asarray(policy.sample(p, eta, tuple(e)), dtype=float)
        if a.shape != (m,) or not _is_close(a, K @ s + L @ np.resize(e, m)):
            return False
        if policy.log_prob is None or policy.no_score:
            continue
        v = np.linalg.solve(L, a - K @ s)
        density = -0.5 * v @ v - np.linalg.slogdet(L)[1] - 0.5 * m * np.log(2 * np.pi)
        if not _is_close(np.asarray(policy.log_prob(p, eta, tuple(a)), dtype=float), density):
            return False
        if policy.score is not None and not _is_slope(policy, p, np.array(eta, dtype=float), tuple(a), tuple(e)):
            return False
    return True


def _is_close(found: Array, expected: Array) -> bool:
    """Tell whether numbers are finite and equal up to rounding: `np.allclose` takes several times as long."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool((np.abs(found - expected) <= CLOSE + CLOSE * np.abs(expected)).all() and np.isfinite(found).all())


def _is_slope(policy: Policy, p: types.SimpleNamespace, eta: Array, a: tuple[float, ...], e: tuple[float, ...]) -> bool:
    """Tell whether the score is the derivative of the log density in eta."""
    assert policy.score and policy.log_prob
    found = np.asarray(policy.score(p, tuple(eta), a, e), dtype=float)
    for i, unit in enumerate(np.eye(len(eta))):
        h = STEP * max(1.0, abs(eta[i]))
        up, down = (float(policy.log_prob(p, tuple(eta + x * h * unit), a)) for x in (1, -1))
        if abs(found[i] - (up - down) / (2 * h)) > ROUGH * (1.0 + np.abs(found).max()):
            return False
    return True
