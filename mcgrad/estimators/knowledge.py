"""What an estimator must know: whether the efficiency bound of trajectories is a floor for it.

    trajectories     states, actions, rewards and scores of its own rollouts; baselines and control variates may be as wrong as
                     they like. Unbiased whatever the environment: N times its variance is never below the tree bound.
    fitted critic    the same, but a critic of its own stands in for a return: biased as that is wrong. Its variance at a given
                     critic is not its error: as critic and N grow together, the whole goes back above the Markov bound.
    oracle           an exact critic stands in for a return. Unbiased in this one environment alone, so no bound holds.
    simulator        derivatives of step and reward.
    other data       rollouts that one policy does not give in an environment that has its own dice: with mirrored or common
                     noise, at perturbed parameters, with branches from visited states, of another behaviour policy.
    another quantity its mean is something else than dJ/dtheta, by design.
    not known        your own functions, which may look at anything.

Why some oracles, which look like scores and rewards alone, are below the floor: Cov(X, doubly_robust()) = tree bound holds for
all X that are unbiased in every environment. Advantage, all actions, generalized advantage with decay < 1 are not: their
critic is that of this environment, which a trajectory does not tell.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..baselines.baseline import NoBaseline
from ..baselines.known import Value
from ..critics.exact_critic import Exact
from .action_control_variate import ActionControlVariate
from .advantage import Advantage
from .all_actions import AllActions
from .alpha_order import AlphaOrder
from .antithetic import Antithetic
from .clipped_ratio import ClippedRatio
from .computation_graph import ComputationGraph
from .control_variate import ControlVariate, Difference
from .delta import Delta
from .direct_derivative import DirectDerivative
from .doubly_robust import DoublyRobust
from .estimator import Estimator
from .generalized_advantage import GeneralizedAdvantage
from .groups import Group
from .importance_weighted import ImportanceWeighted, SelfNormalised
from .inverse_variance import InverseVariance
from .inverse_variance_per_step import InverseVariancePerStep
from .measure_valued import MeasureValued
from .natural import Natural
from .parameter_space import EvolutionStrategies, FiniteDifferences
from .persistent import PersistentEvolutionStrategies
from .reparameterization import Reparameterization
from .reward_to_go import RewardToGo
from .score import Score
from .score_function import ScoreFunction
from .score_hessian_vector_product import ScoreHessianVectorProduct
from .short_horizon import ShortHorizon
from .trajectory_control_variate import TrajectoryControlVariate
from .value_gradient import ValueGradient
from .weighted_score import WeightedScore

TRAJECTORIES, FITTED, ORACLE, SIMULATOR = "trajectories", "fitted critic", "oracle", "simulator"
OTHER_DATA, ANOTHER_QUANTITY, UNKNOWN = "other data", "another quantity", "not known"
KINDS = (
    TRAJECTORIES,
    FITTED,
    ORACLE,
    SIMULATOR,
    OTHER_DATA,
    ANOTHER_QUANTITY,
    UNKNOWN,
)  # combined: the last that is in


class Knowledge(NamedTuple):
    """What an estimator must know; see the module.

    Attributes
    ----------
    kind : str
        One of KINDS.
    why : str
        In a few words.
    """

    kind: str
    why: str

    @property
    def has_floor(self) -> bool:
        """Whether its variance, times the rollouts of a sample, is never below the tree bound."""
        return self.kind == TRAJECTORIES


def knows(estimator: Estimator, designed: bool = False) -> Knowledge:
    """Return the `Knowledge` that an estimator needs: whether efficiency bounds are a floor for it.

    Parameters
    ----------
    estimator : Estimator
    designed : bool
        Whether its noise is that of a sampling design (`mcgrad.designs`).

    Returns
    -------
    Knowledge
        `kind`, one of "trajectories", "fitted critic", "oracle", "simulator", "other data", "another quantity" and "not known",
        see the module; `why`, in a few words; `has_floor`.

    Raises
    ------
    ValueError
        For something that is no estimator.
    """
    found = _knows(estimator)
    return _joined([found, Knowledge(OTHER_DATA, "rollouts of a sampling design")]) if designed else found


def _knows(estimator: Estimator) -> Knowledge:
    match estimator:
        case ScoreFunction() | RewardToGo():
            return Knowledge(TRAJECTORIES, "rewards and scores")
        case ActionControlVariate() | TrajectoryControlVariate() | DoublyRobust():
            return Knowledge(TRAJECTORIES, "rewards and scores; its critic may be wrong")
        case Score() | WeightedScore() | Delta():
            return Knowledge(ANOTHER_QUANTITY, "an estimate of zero")
        case DirectDerivative():
            return Knowledge(ANOTHER_QUANTITY, "what is left of the gradient at fixed actions")
        case ScoreHessianVectorProduct() | Natural():
            return Knowledge(ANOTHER_QUANTITY, "the gradient times a matrix")
        case Advantage(critic=critic) | AllActions(critic=critic):
            return _of_critic(critic, "in place of the return")
        case ValueGradient(critic=critic):
            return _of_critic(critic, "whose derivative stands in for the environment's")
        case GeneralizedAdvantage(decay=1.0):
            return Knowledge(TRAJECTORIES, "rewards and scores; its value function may be wrong")
        case GeneralizedAdvantage(critic=critic):
            return _of_critic(critic, "in place of later rewards")
        case Reparameterization() | InverseVariancePerStep() | ComputationGraph():
            return Knowledge(SIMULATOR, "derivatives of step and reward")
        case ShortHorizon(critic=critic):
            also = "" if isinstance(critic, NoBaseline) else ", and a critic"
            return Knowledge(SIMULATOR, f"derivatives of step and reward{also}")
        case Group(kind="leave one out"):
            return Knowledge(TRAJECTORIES, "rewards and scores")
        case Group(kind=kind):
            return Knowledge(ANOTHER_QUANTITY, f"biased by its baseline ({kind})")
        case MeasureValued(critic=None):
            return Knowledge(OTHER_DATA, "rollouts that branch off at visited states")
        case MeasureValued(critic=critic):
            return _of_critic(critic, "in place of branches")
        case ClippedRatio():
            return Knowledge(ANOTHER_QUANTITY, "biased by its clipped ratios")
        case ImportanceWeighted(clip=float()):
            return Knowledge(ANOTHER_QUANTITY, "biased by its clipped weights")
        case SelfNormalised():
            return Knowledge(ANOTHER_QUANTITY, "biased by its normalised weights")
        case ImportanceWeighted():
            return Knowledge(OTHER_DATA, "trajectories of another policy")
        case Antithetic(parts=parts):
            return _joined([*map(knows, parts), Knowledge(OTHER_DATA, "rollouts with mirrored noise")])
        case EvolutionStrategies() | PersistentEvolutionStrategies():
            return Knowledge(
                ANOTHER_QUANTITY, "the gradient of a smoothed objective, by rollouts at perturbed parameters"
            )
        case FiniteDifferences():
            return Knowledge(OTHER_DATA, "rollouts at perturbed parameters, on common noise")
        case Difference(parts=(x, WeightedScore())):
            return knows(x)
        case Difference(parts=(x, Delta() as y)):
            return _joined([knows(x), *_of_zero(y)])
        case Difference():
            return Knowledge(ANOTHER_QUANTITY, "an estimate of zero")
        case ControlVariate(parts=(target, *controls)):
            return _joined([knows(target), *(k for x in controls for k in _of_zero(x))])
        case InverseVariance(parts=parts) | AlphaOrder(parts=parts):
            return _joined(list(map(knows, parts)))
    if not isinstance(estimator, Estimator):
        raise ValueError(f"estimator: expected an estimator, got {type(estimator).__name__}")
    return Knowledge(UNKNOWN, "functions of your own")


def _of_critic(critic: Any, how: str) -> Knowledge:
    if isinstance(critic, (Exact, Value)):
        wrong = isinstance(critic, Exact) and (critic.scale, critic.shift, critic.amplitude) != (1.0, 0.0, 0.0)
        return Knowledge(ORACLE, f"{'a given' if wrong else 'an exact'} critic {how}")
    return Knowledge(FITTED, f"a critic {how}")


def _of_zero(control: Estimator) -> list[Knowledge]:
    """Return what a control of mean zero needs: a difference, both of its parts; scores, nothing."""
    match control:
        case Score() | WeightedScore():
            return []
        case Delta():
            return [Knowledge(SIMULATOR, "derivatives of the reward")]
        case Difference(parts=parts):
            return [knows(part) for part in parts]
    return [knows(control)]


def _joined(found: Sequence[Knowledge]) -> Knowledge:
    return max(found, key=lambda k: KINDS.index(k.kind))
