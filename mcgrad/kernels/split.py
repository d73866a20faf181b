"""Which components of an action are scored and which are followed, and what either contributes to a gradient.

A random component of the action is *scored* (its sampled value is held fixed, its density is differentiated) or *followed*
(its noise is held fixed, its value is differentiated). A function of eta alone, the memory of a policy or a log std that is
handed on, has no density and can only be followed. The theorem (below) then holds for any split:

    dJ/dtheta = E[ sum_t (dlog p(a_t scored | eta_t, noise of a_t followed) / dtheta) G_t + dR / dtheta ],

total derivatives in both terms, along everything that is followed. `log_prob` is the joint density of the random components.
With e_f the noise of the followed ones, a_f = h(eta, a_s, e_f) at fixed scored ones a_s, the change of variables gives

    log p(a_s | eta, e_f) = log p(a_s, a_f | eta) + log |det dh/de_f| + a constant,

so that the density of the scored ones alone need not be given.

References
----------
Schulman, Heess, Weber and Abbeel (2015), Gradient estimation using stochastic computation graphs, theorem 1.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from ..calls import call
from ..compiler.derive import pull_back
from ..compiler.emit import live_nodes
from ..compiler.trace import Number, Numbers, Tracer, apply
from ..scan_types import StepView


def functions_of_eta(sampled: Sequence[Number], e: Sequence[Number]) -> frozenset[int]:
    """Return the numbers of the components of an action that are functions of eta alone, from what `sample` made of noise e.

    A plain number needs neither a score nor a derivative, and counts as random.
    """
    noise = _indices(e)
    traced = ((i, a) for i, a in enumerate(sampled) if isinstance(a, Tracer))
    return frozenset(i for i, a in traced if noise.isdisjoint(live_nodes(a.graph, [a])))


def score(x: StepView, path: frozenset[int]) -> Numbers:
    """Return the score of a step in eta, with the random components in `path` followed and all others scored.

    Raises
    ------
    ValueError
        Where there is no density, or none of the scored components alone: the message names the component and says why.
    """
    policy = x.problem.policy
    followed = x.fixed | path
    if len(followed) == len(x.sampled):
        if policy.no_score and not path:
            raise ValueError(f"no score function here: {policy.no_score}")
        return (0.0,) * len(x.eta)
    if policy.no_score:
        raise ValueError(f"no score function here: {policy.no_score}")
    # Off the policy e is not the noise that would have drawn the action: only the density knows the score.
    on_policy = x._acting[0] is policy and x._acting[2] is x.eta
    own = policy.score is not None and on_policy and not path
    if policy.log_prob is None and not own:
        what = "neither `score` nor `log_prob`" if policy.score is None else "no `log_prob`"
        raise ValueError(f"no score function here: {policy.name} has {what}")
    at_fixed: Numbers = ()
    along: Numbers | None = None
    if policy.log_prob is not None and (followed or not own):
        log_prob = call(f"log_prob of {policy.name}", policy.log_prob, (x._p, x.eta, x.a), None)
        bars = pull_back(x.graph, [log_prob], [1.0], x.eta + x.a)
        at_fixed, along = bars[: len(x.eta)], bars[len(x.eta) :]
    if own and policy.score is not None:
        at_fixed = call(f"score of {policy.name}", policy.score, (x._p, x.eta, x.a, x.e), len(x.eta))
    if not followed or along is None:
        return at_fixed
    total = _sum(at_fixed, action_vjp(x, {i: along[i] for i in followed}))
    if path:
        total = _sum(total, _log_determinant_slope(x, sorted(path - x.fixed)))
    return total


def action_vjp(x: StepView, cotangents: Mapping[int, Number]) -> Numbers:
    """Return the cotangent of eta for cotangents {component: number} of followed components, the scored ones held fixed."""
    if not cotangents:
        return (0.0,) * len(x.eta)
    outputs = [x.sampled[i] for i in cotangents]
    return pull_back(x.graph, outputs, list(cotangents.values()), x.eta + _scored(x, cotangents))[: len(x.eta)]


def scored_components(x: StepView, path: frozenset[int]) -> list[int]:
    """Return the numbers of the scored components, where the random ones in `path` are followed."""
    followed = x.fixed | path
    return [i for i in range(len(x.sampled)) if i not in followed]


def noise_of(x: StepView, path: Iterable[int]) -> set[int]:
    """Return the numbers of the components of e that the followed components in `path` are made of."""
    outputs = [x.sampled[i] for i in sorted(path)]
    live = set(live_nodes(x.graph, outputs, _indices(_scored(x, {*path, *x.fixed}))))
    return {k for k, e in enumerate(x.e) if isinstance(e, Tracer) and e.index in live}


def is_zero(y: Number) -> bool:
    """Tell whether a number is zero on every trajectory."""
    return not isinstance(y, Tracer) and y == 0.0


def _scored(x: StepView, followed: Collection[int]) -> Numbers:
    """Return the nodes of the scored components, where a sweep along the followed ones stops."""
    own = _indices(x.sampled[i] for i in followed)
    return tuple(
        a for i, a in enumerate(x.sampled) if i not in followed and isinstance(a, Tracer) and a.index not in own
    )


def _log_determinant_slope(x: StepView, path: Sequence[int]) -> Numbers:
    """Return d log |det da_f / de_f| / d eta for the followed components f, at fixed scored ones."""
    policy = x.problem.policy
    scored = _scored(x, {*path, *x.fixed})
    fixed = _indices(scored)
    # What is a function of eta and of scored components has no noise of its own, and no density.
    path = [i for i in path if set(live_nodes(x.graph, [x.sampled[i]], fixed)) & _indices(x.e)]
    outputs = [x.sampled[i] for i in path]
    noise = sorted(noise_of(x, frozenset(path)))
    others = set(live_nodes(x.graph, scored, _indices(outputs)))
    shared = [k for k in noise if others & _indices([x.e[k]])]
    if shared or len(noise) != len(path):
        why = (
            f"it shares its noise e[{shared[0]}] with a component that is scored"
            if shared
            else f"{len(path)} such components are made of {len(noise)} random numbers"
        )
        raise ValueError(
            f"path: {_components(path)} of the action of {policy.name} cannot be followed while others are scored, since "
            f"{why}: their density given that noise is not known. Follow all components, or none, or draw them separately"
        )
    inputs = [x.e[k] for k in noise]
    rows = [pull_back(x.graph, [a], [1.0], [*inputs, *scored])[: len(path)] for a in outputs]
    determinant = _determinant(rows)
    if is_zero(determinant):
        raise ValueError(
            f"path: {_components(path)} of the action of {policy.name} cannot be followed: a discrete choice has no "
            "derivative in its noise. Score it"
        )
    return pull_back(x.graph, [apply("log", abs(determinant))], [1.0], [*x.eta, *scored])[: len(x.eta)]


def _determinant(rows: Sequence[Sequence[Number]]) -> Number:
    """Return the determinant by expansion along the first row: zeros, of which triangles are full, cost nothing."""
    if not rows:
        return 1.0
    total = 0.0
    for k, y in enumerate(rows[0]):
        if not is_zero(y):
            minor = _determinant([(*row[:k], *row[k + 1 :]) for row in rows[1:]])
            total = total + (y if k % 2 == 0 else -y) * minor
    return total


def _sum(first: Numbers, second: Numbers) -> Numbers:
    return tuple(a + b for a, b in zip(first, second, strict=True))


def _indices(numbers: Iterable[Number]) -> set[int]:
    return {x.index for x in numbers if isinstance(x, Tracer)}


def _components(path: Sequence[int]) -> str:
    return ("component " if len(path) == 1 else "components ") + ", ".join(map(str, path))
