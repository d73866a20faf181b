"""Which gradient estimator has the least variance on my problem, by how much, and why?

Monte Carlo estimates of policy gradients, compiled to SIMD machine code, every figure next to the exact truth.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING

from . import baselines, critics, designs, environments, estimators, noises, policies
from .compiler.functions import lookup, stop_gradient, where, with_derivative
from .compiler.trace import TraceError
from .kernel.step_view import DiscontinuityWarning
from .kernel_handle import kernel
from .measure import measure, sample
from .moments import Moments
from .precision import PrecisionWarning
from .problem import Environment, Policy, Problem
from .rollouts import rollout

if TYPE_CHECKING:
    from . import exact, optimizers
    from .ascent import Ascent, ascend
    from .best_behaviour import BestBehaviour, best_behaviour
    from .check import check
    from .compare import compare
    from .continuing import continuing
    from .cost import cost
    from .directional import directional
    from .fisher import fisher

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
    "kernel",
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

# What a measurement does not need is imported when it is first asked for: name -> where it is.
_LATER = {"exact": "", "optimizers": "", "Ascent": "ascent", "ascend": "ascent", "BestBehaviour": "best_behaviour"}
_LATER |= {x: x for x in ("best_behaviour", "check", "compare", "continuing", "cost", "directional", "fisher")}


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module 'mcgrad' has no attribute {name!r}")
    home = importlib.import_module(f".{_LATER[name] or name}", __name__)
    return home if not _LATER[name] else getattr(home, name)


def __dir__():
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    """A package in which a function keeps its name when the module of the same name is imported: `mcgrad.check`, say."""

    def __setattr__(self, name, value):
        if isinstance(value, types.ModuleType) and _LATER.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
