"""Exact moments of any traced estimator, by one backward recursion over a space of functions of the state.

chain, ring, system     a problem and its estimators as a chain with an affine carry: what a step makes of its monomials
polynomials             coefficients with exact zeros (stage, powers, basis, degrees)
nodal                   values at nodes: of tables (tables) and grids (grids); noise as nodes and weights (noise, laws, edges)
branches, branched      rollouts that branch off (measure-valued derivatives): functions of one state and of two
reachable               all states that can be reached, where noise only chooses, by cells of the noise
cuts, spans             where decisions change, proved by intervals; resolution: what may hide between two nodes
refine, boxes           grids, noise, start and box, until nothing moves; periods: what of the state is an angle
directions              a random direction of theta, by an outer quadrature
questions, moments      what is asked of chains, and moments of any estimators; selected: no more of them than are asked for
values                  the exact value function
theory                  all of it as a `Theory`, the last line of the table `exact.theories`; work: what it may cost
"""

from .found import ExactEstimate, ExactMoments

__all__ = ["ExactEstimate", "ExactMoments"]
