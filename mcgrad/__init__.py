"""Which gradient estimator has the least variance on my problem, by how much, and why?

Monte Carlo estimates of policy gradients, compiled to SIMD machine code, every figure next to the exact truth.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import baselines, critics, designs, environments, estimators, noises, policies
from .compiler.functions import lookup, stop_gradient, where, with_derivative
from .compiler.trace import TraceError
from .kernel_handle import Kernel, kernel
from .kernels.step_view import DiscontinuityWarning
from .measurement import measure, sample
from .moments import Moments
from .precision import PrecisionWarning
from .problem import Environment, Policy, Problem
from .rollouts import rollout
from .targets import until
from .version import __version__ as __version__

if TYPE_CHECKING:
    from . import engines, exact, optimizers
    from .ascent import Ascent
    from .behaviours import BestBehaviour, best_behaviour
    from .checks import check
    from .comparison import compare
    from .continuing_problem import continuing
    from .costs import cost
    from .directional_problem import directional
    from .fisher_information import fisher
    from .gradient_ascent import ascend

__all__ = [
    "Ascent",
    "BestBehaviour",
    "DiscontinuityWarning",
    "Environment",
    "Kernel",
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
    "engines",
    "environments",
    "estimators",
    "exact",
    "fisher",
    "kernel",
    "lookup",
    "measure",
    "noises",
    "optimizers",
    "policies",
    "rollout",
    "sample",
    "stop_gradient",
    "until",
    "where",
    "with_derivative",
]

# What a measurement does not need is imported when it is first asked for: name -> the module that has it, or "" for a room.
_LATER = {
    "Ascent": "ascent",
    "BestBehaviour": "behaviours",
    "ascend": "gradient_ascent",
    "best_behaviour": "behaviours",
    "check": "checks",
    "compare": "comparison",
    "continuing": "continuing_problem",
    "cost": "costs",
    "directional": "directional_problem",
    "engines": "",
    "exact": "",
    "fisher": "fisher_information",
    "optimizers": "",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'mcgrad' has no attribute {name!r}")
    home = importlib.import_module(f".{_LATER[name] or name}", __name__)
    return home if not _LATER[name] else getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
