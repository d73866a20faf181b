"""Exact moments of any traced estimator, by one backward recursion over a space of functions of the state.

chain, ring, system     a problem and its estimators as a chain with an affine carry: what a step makes of its monomials
polynomials             coefficients with exact zeros (stage, powers, basis, degrees)
nodal                   values at nodes: of tables (tables) and of grids (grids), with noise as nodes and weights (noise)
refine                  grids, noise and box, until nothing moves
questions, public       what is asked, and the public function
"""

from .found import ExactEstimate, ExactMoments
from .public import moments

__all__ = ["ExactEstimate", "ExactMoments", "moments"]
