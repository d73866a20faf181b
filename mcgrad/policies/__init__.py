"""Policies, one file each; `joint` makes them of heads (how an action is drawn) and maps (of what)."""

from . import heads, maps
from .gaussian import gaussian
from .joint import joint
from .linear_features import linear_features
from .linear_gaussian import linear_gaussian
from .softmax import linear_softmax, softmax, softmax_of_state
from .tanh_network import network_weights, tanh_network

__all__ = [
    "gaussian",
    "heads",
    "joint",
    "linear_features",
    "linear_gaussian",
    "linear_softmax",
    "maps",
    "network_weights",
    "softmax",
    "softmax_of_state",
    "tanh_network",
]
