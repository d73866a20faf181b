"""Policies, one file each."""

from .gaussian import gaussian
from .linear_features import linear_features
from .linear_gaussian import linear_gaussian
from .softmax import linear_softmax, softmax, softmax_of_state
from .tanh_network import network_weights, tanh_network

__all__ = [
    "gaussian",
    "linear_features",
    "linear_gaussian",
    "linear_softmax",
    "network_weights",
    "softmax",
    "softmax_of_state",
    "tanh_network",
]
