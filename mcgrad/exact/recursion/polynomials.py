"""The recursion on polynomials in the state: exact where dynamics are linear in it and rewards and scores polynomial.

Fields are arrays of coefficients, one for each monomial of the state up to the degree of that field; functions of state and
noise are expanded in orthonormal polynomials h_k of the noise, f(s, xi) = sum_k f_k(s) h_k(xi), so that E f g = sum_k f_k g_k.
What is zero stays exactly zero. Degrees are those of the terms that there are, never a guess: a term that does not fit is an
error (`TooSmall`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..theory import NoClosedForm
from .chain import Chain
from .degrees import degrees
from .ring import Array, CoefficientFields, Lost, Monomial, Pair, Poly, Value, lift, variable
from .stage import Stage
from .system import Outputs, System, last_values, system


def state_name(i: int) -> str:
    """Return the name of a component of the state as a variable."""
    return f"~{i}"


class Polynomials:
    """The space of polynomials for one chain and what is asked of it.

    Raises
    ------
    NoClosedForm
        If something is no polynomial in state and noise, or the degree grows from step to step.
    """

    name = "polynomials"

    def __init__(self, chain: Chain, first: Iterable[Monomial], pairs: Sequence[Pair]) -> None:
        if chain.branches:
            raise NoClosedForm("no recursion on polynomials where rollouts branch off")
        self.chain, model = chain, chain.model
        self.horizon = chain.problem.horizon
        self.states = [state_name(i) for i in range(chain.states)]
        rows, state = model.all_rows(), [variable(s) for s in self.states]
        noise = {k: variable(k) for k in chain.noises()}
        after = [_checked(x, "the next state") for x in chain.next_states(rows, state, noise)]
        needed = list(chain.carries)
        self.system = system(first, pairs, chain.step(rows, state, noise, needed), chain.carries)
        last = chain.last(model.rows(self.horizon), state, needed)
        self.last_polys = last_values(self.system.terms, last)
        by_step = degrees(self.system, after, self.last_polys, self.states, self.horizon)
        self._settled, self.degrees = len(by_step) == 1, by_step[-1]
        pairs_of = zip(by_step, by_step[1:] or by_step, strict=False)
        # One stage for all steps, or, the last step first, one for each.
        self._stages = [Stage(self.system, after, x, y, self.states, chain.noises()) for x, y in pairs_of]
        if self._settled:
            self._stages[0].prepare(self.last()[0], self.horizon)

    def last(self) -> CoefficientFields:
        """Return the fields after the last step."""
        layout = self._stages[0].layout_in
        return layout.filled(self.last_polys, self.states), np.zeros(layout.covariances)

    def back(self, t: int, fields: CoefficientFields) -> CoefficientFields:
        """Return the fields before step t, given those after it."""
        if self._settled:
            return self._stages[0].back(t, fields)
        stage = self._stages[self.horizon - 1 - t]
        stage.prepare(fields[0], 1)
        return stage.back(t, fields)

    def function(self, fields: CoefficientFields, a: Monomial) -> Callable[..., Array]:
        """Return the conditional mean of a monomial as a function of states (N, n), which are in no box."""
        layouts = [x for stage in self._stages for x in (stage.layout_in, stage.layout_out)]
        layout = next(x for x in layouts if x.means == len(fields[0]))
        place = layout.mean[a]
        powers, c = layout.space.powers[: len(place)], fields[0][place]

        def function(s: Array, held: bool = False) -> Array:
            found = np.ones((len(s), len(place)))
            for x, k in zip(s.T, powers.T, strict=True):
                found *= np.vander(x, k.max() + 1, increasing=True)[:, k]
            return found @ c

        return function

    def start(
        self, fields: CoefficientFields, outputs: Outputs, pairs: Sequence[Pair]
    ) -> tuple[dict[Any, float], dict[Any, float]]:
        """Return {output: mean}, {pair: covariance} of outputs {name: {monomial: polynomial in the noise of the start}}."""
        chain = self.chain
        kinds = chain.noises(start=True)
        s0 = [_checked(x, "the first state") for x in chain.start({z: variable(z) for z in kinds})]
        own = System(outputs, pairs)
        (before,) = degrees(own, s0, {}, [], 1, later=self.degrees)
        stage = Stage(own, s0, self.degrees, before, [], kinds)
        stage.prepare(fields[0], 1)
        means, covariances = stage.back(0, fields)
        layout = stage.layout_out
        covariance = {x: float(covariances[k].sum()) for x, k in layout.covariance.items()}
        return {a: float(means[layout.mean[a]].sum()) for a in outputs}, covariance


def _checked(x: Value, what: str) -> Poly:
    if isinstance(x, Lost):
        raise NoClosedForm(f"no recursion on polynomials: {what} is none: {x.why}")
    return lift(x)
