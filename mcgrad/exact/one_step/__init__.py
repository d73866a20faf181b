"""Exact truth for problems of one step under a Gaussian policy: smooth costs, and rewards that jump or have kinks."""

from .theory import OneStep

__all__ = ["OneStep"]
