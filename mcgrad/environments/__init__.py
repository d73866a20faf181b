"""Environments, one file each."""

from .linear_quadratic import linear_quadratic

__all__ = ["linear_quadratic"]
