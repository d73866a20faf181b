"""Which gradient estimator has the least variance on my problem, by how much, and why?

Monte Carlo estimates of policy gradients, compiled to SIMD machine code, every figure next to the exact truth.
"""

from . import baselines, critics, designs, environments, estimators, exact, noises, optimizers, policies
from .ascent import Ascent, ascend
from .best_behaviour import BestBehaviour, best_behaviour
from .check import check
from .compare import compare
from .compiler.functions import lookup, stop_gradient, where, with_derivative
from .compiler.trace import TraceError
from .continuing import continuing
from .cost import cost
from .directional import directional
from .fisher import fisher
from .kernel.step_view import DiscontinuityWarning
from .measure import measure, sample
from .moments import Moments
from .precision import PrecisionWarning
from .problem import Environment, Policy, Problem
from .rollouts import rollout

__version__ = "0.1.0"

__all__ = [
    "Ascent",
    "BestBehaviour",
    "DiscontinuityWarning",
    "Environment",
    "Moments",
    "Policy",
    "PrecisionWarning",
    "Problem",
    "TraceError",
    "ascend",
    "baselines",
    "best_behaviour",
    "check",
    "compare",
    "continuing",
    "cost",
    "directional",
    "critics",
    "designs",
    "environments",
    "estimators",
    "exact",
    "fisher",
    "lookup",
    "measure",
    "noises",
    "optimizers",
    "policies",
    "rollout",
    "sample",
    "stop_gradient",
    "where",
    "with_derivative",
]
