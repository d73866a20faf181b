"""The records that the functions of `mcgrad.baselines` return, for what tells them apart."""

from .baseline import Constant, NoBaseline, OfState, TimeDependent
from .fitted import FittedValue
from .known import MeanReturn, MeanToGo, Value
from .optimal import (
    NaiveOptimalOverTime,
    Optimal,
    OptimalConstant,
    OptimalOverTime,
    OptimalQuadratic,
    TotalOptimal,
)

__all__ = [
    "Constant",
    "FittedValue",
    "MeanReturn",
    "MeanToGo",
    "NaiveOptimalOverTime",
    "NoBaseline",
    "OfState",
    "Optimal",
    "OptimalConstant",
    "OptimalOverTime",
    "OptimalQuadratic",
    "TimeDependent",
    "TotalOptimal",
    "Value",
]
