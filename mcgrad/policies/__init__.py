"""Policies, one file each."""

from .linear_gaussian import linear_gaussian

__all__ = ["linear_gaussian"]
