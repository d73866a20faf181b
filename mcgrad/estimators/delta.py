"""The delta method: the Taylor expansion of the reward about the mean action, whose gradient is known, as a control variate.

    T_t(a) = r_t(mu) + u^T g + u^T H u / 2,    u = a - mu,  g = dr_t/da,  H = d2r_t/da2  at the mean action mu(s_t)

    scored      h = sum_t z_t T_t(a_t) - E_a[z_t T_t | s_t]
    followed    h = sum_t (da_t/deta)^T (g + H u_t) - E_a[(da/deta)^T (g + H u) | s_t]

    a = mu(eta) + L(eta) e:  both expectations are  (dmu/deta)^T g + sum_k (dL_k/deta)^T H L_k,  L_k the columns of L

r_t is the reward as a function of the action at the state, the process noise and the time of step t, through s_{t+1} as well.
E h = 0 for every reward, with kinks, jumps and wrong derivatives too: those make h a worse control variate, not a biased one.
What an action does to later rewards is not in T_t: that is what critics know (see `action_control_variate`).

References
----------
Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning, section 7.4; Paisley, Blei and
Jordan (2012), Variational Bayesian inference with stochastic search, section 3 (scored); Miller, Foti, D'Amour and Adams
(2017), Reducing reparameterization gradient variance (followed).
"""

import dataclasses
from collections.abc import Sequence

from .. import validate
from ..compiler.derive import pull_back
from ..compiler.emit import live_nodes
from ..compiler.trace import Graph, Tracer
from ..printing import as_called
from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    Number,
    Numbers,
    StepView,
)
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Delta(Estimator):
    """See the module and `delta`."""

    order: int = 2
    pathwise: bool = False
    centred: bool = False

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        parts, action, mean, root = _gaussian(x)
        at = [action[i] for i in parts]
        _, reward = x.outcome(action)
        u = [x.a[i] - y for i, y in zip(parts, at, strict=True)]
        slope = pull_back(x.graph, [reward], [1.0], at)
        curvature = _curvature(x.graph, slope, at) if self.order == 2 else [[0.0] * len(at)] * len(at)
        entries = [y for row in root for y in row]  # of L, and those of H L
        along = [
            sum(h * y for h, y in zip(row, column, strict=True))
            for row in curvature
            for column in zip(*root, strict=True)
        ]
        expected = pull_back(x.graph, [*mean, *entries], [*slope, *along], x.eta)
        bent = [sum(h * y for h, y in zip(row, u, strict=True)) for row in curvature]
        if self.pathwise:
            slopes = [g + y for g, y in zip(slope, bent, strict=True)]
            total = pull_back(x.graph, [x.sampled[i] for i in parts], slopes, x.eta)
        else:
            level = -0.5 * sum(y * z for y, z in zip(entries, along, strict=True)) if self.centred else reward
            known = level + sum(v * (g + 0.5 * y) for v, g, y in zip(u, slope, bent, strict=True))
            total = tuple(known * z for z in x.score)
        return carry, tuple(y - z for y, z in zip(total, expected, strict=True))

    def with_direct(self, gradient: Numbers, direct: Numbers) -> Numbers:
        return gradient  # its mean is zero, whatever else theta does


@as_called
def delta(order: int = 2, *, pathwise: bool = False, centred: bool = False) -> Estimator:
    """Return an estimate of zero: the gradient of the reward's Taylor expansion about the mean action, less its mean.

    `difference(score_function(), delta())` subtracts it as it is: nothing is left of a quadratic reward of one step, and of
    others what the std sees beyond it. Where the std reaches past the next bend that may add variance: of cos(x) at the mean
    0.6 it leaves 1/7500 of that of `score_function(mean_return())` in the mean's gradient with a std of 0.1, and 60 times as
    much with a std of 2. `control_variate(score_function(), [delta(), score()])` scales it, parameter by parameter, so that
    it adds none but for the fit; so does `control_variate(reparameterization(), delta(pathwise=True))`. Any Gaussian policy
    will do, any horizon, and any estimator of the same trajectories; over a long horizon the reward of one step is a small
    part of what is to be known.

    Parameters
    ----------
    order : int
        1 for the tangent alone, 2 with the curvature: m more sweeps through the reward.
    pathwise : bool
        The expansion's derivative along the path, for pathwise gradients, instead of its value times the score.
    centred : bool
        Subtract from the expansion its mean over the actions, for estimators whose baseline knows that mean already. A
        pathwise one has no mean to subtract.

    Raises
    ------
    ValueError
        When it is measured, under a policy whose random actions are not a mean plus a matrix times normal noise, or under
        the actions of another policy.

    References
    ----------
    Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning, section 7.4.
    """
    order = validate.integer("order", order, 1, 2)
    pathwise, centred = validate.flag("pathwise", pathwise), validate.flag("centred", centred)
    if pathwise and centred:
        raise ValueError("centred: expected False with pathwise=True, where there is no mean to subtract, got True")
    return Delta(order, pathwise, centred)


def _gaussian(x: StepView) -> tuple[list[int], Numbers, list[Number], list[Numbers]]:
    """Return what there is to know of a = mu + L e.

    Returns
    -------
    parts : list
        The numbers of the random components of the action.
    action : tuple of m
        The mean action, as nodes at which a reverse sweep stops.
    mean, root : lists
        mu and the rows of L of the random components, as functions of eta.
    """
    policy, fixed = x.problem.policy, x.fixed
    if x._acting[2] is not x.eta:
        raise ValueError("no delta method here: the actions are those of another policy, at other parameters")
    parts = [i for i, a in enumerate(x.sampled) if i not in fixed and isinstance(a, Tracer)]
    sampled = [x.sampled[i] for i in parts]
    if policy.no_pathwise or not _is_affine(x.graph, sampled, x.e[: policy.noises], x.e[policy.noises :]):
        raise ValueError(
            "no delta method here: expected a Gaussian policy, whose action is its mean plus a matrix times normal noise, "
            f"got {policy.name}"
        )
    root = [pull_back(x.graph, [a], [1.0], x.e[: policy.noises]) for a in sampled]
    means = list(x.with_noise((0.0,) * len(x.e)).a)
    for i, row in zip(parts, root, strict=True):
        if not isinstance(means[i], Tracer):  # a number, in which nothing can be differentiated
            means[i] = x.sampled[i] - sum(y * z for y, z in zip(row, x.e, strict=False))
    return parts, x.graph.alias(means), [means[i] for i in parts], root


def _is_affine(graph: Graph, outputs: Sequence[Number], normals: Sequence[Number], uniforms: Sequence[Number]) -> bool:
    """Tell whether outputs are affine functions of normals, and of no uniform number: by the operations that make them."""
    moving = {e.index: True for e in normals if isinstance(e, Tracer)}  # node -> whether it depends on the noise
    never = {e.index for e in uniforms if isinstance(e, Tracer)}
    for index in live_nodes(graph, outputs, moving):
        operation, arguments = graph.nodes[index]
        if index in moving:
            continue
        noisy = [isinstance(y, Tracer) and moving.get(y.index, False) for y in arguments]
        moving[index] = any(noisy)
        alone = sum(noisy) == 1 and not (operation == "/" and noisy[1])
        linear = operation in ("+", "-", "neg", "alias") or (operation in ("*", "/") and alone)
        if index in never or (any(noisy) and not linear):
            return False
    return True


def _curvature(graph: Graph, slope: Sequence[Number], at: Sequence[Number]) -> list[list[Number]]:
    """Return the rows of the Hessian; symmetric by construction, which E h = 0 needs."""
    rows = [pull_back(graph, [g], [1.0], at) for g in slope]
    return [[rows[min(i, j)][max(i, j)] for j in range(len(at))] for i in range(len(at))]
