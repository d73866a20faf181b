"""What a reverse scan adds to an estimator where theta acts along paths, and not only through densities.

    dJ/dtheta = E[ sum_t (dlog p_t / dtheta) w_t + dR/dtheta ],    total derivatives along what is followed

An estimator emits cotangents of eta_t for what is scored. Each of them gets an adjoint of its own, mu,

    etabar_total = etabar + (da/deta)^T (ds_{t+1}/da)^T mu_{t+1},    mu_t = (ds_{t+1}/ds)^T mu_{t+1} + (deta/ds)^T etabar_total,

and the return one more, lambda, with the rewards' derivatives in place of etabar. Where the estimator is the plain sum of one
cotangent, the two are one. Where theta moves nothing along paths, all of this is zero and no scan has it.

References
----------
Schulman, Heess, Weber and Abbeel (2015), Gradient estimation using stochastic computation graphs, theorem 1.
"""

import dataclasses
from collections.abc import Iterator

from ..scan_types import (
    Carry,
    Constants,
    Cotangents,
    EndView,
    Number,
    Numbers,
    StartView,
    StepView,
)
from .estimator import Estimator


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Followed(Estimator):
    """An estimator with its total derivatives.

    Attributes
    ----------
    inner : Estimator
    number : int
        How many cotangents its `step` returns.
    """

    inner: Estimator
    number: int

    @property
    def joined(self) -> bool:
        """Whether the return shares the adjoint of the only cotangent."""
        return self.number == 1 and self.inner.sums_up

    def last(self, c: Constants, end: EndView) -> Carry:
        of_return = end.reward_vjp(1.0)
        zero = (0.0,) * len(of_return)
        return self.inner.last(c, end), (of_return, *(zero for _ in range(0 if self.joined else self.number)))

    def step(self, c: Constants, x: StepView, carry: Carry) -> tuple[Carry, Cotangents]:
        carry, (of_return, *adjoints) = carry
        carry, etabar = self.inner.step(c, x, carry)
        nothing = (0.0,) * len(x.eta)
        if self.joined:
            of_return, etabar = self._back(c, x, of_return, 1.0, etabar)
            return (carry, (of_return,)), etabar
        of_return, direct = self._back(c, x, of_return, 1.0, nothing)
        flat = _leaves(etabar)
        pairs = [self._back(c, x, mu, 0.0, bar) for mu, bar in zip(adjoints, flat, strict=True)]
        totals = iter([total for _, total in pairs])
        return (carry, (of_return, *(mu for mu, _ in pairs))), [_like(etabar, totals), direct]

    def _back(
        self, c: Constants, x: StepView, adjoint: Numbers, reward: Number, etabar: Numbers
    ) -> tuple[Numbers, Numbers]:
        """Return the adjoint of the step before, and the total cotangent of eta."""
        below, along = x.follow(adjoint, reward, self.inner.path(c, x))
        total = tuple(a + b for a, b in zip(etabar, along, strict=True))
        through = x.policy_vjp(total)
        n = len(through)
        below = tuple(a + b for a, b in zip(below[:n], through, strict=True)) + below[n:]
        return self.inner.restart(c, x, below), total

    def finish(self, c: Constants, sums: Cotangents, carry: Carry, start: StartView) -> Numbers:  # type: ignore[override]  # one more
        """Return the gradient; what moved along with the start comes in here."""
        carry, adjoints = carry
        of_return, *others = (start.design_vjp(adjoint) for adjoint in adjoints)
        if self.joined:
            return self.inner.finish(c, _with_design(sums, of_return), carry)
        totals, direct = sums
        designs = iter(others)
        totals = _like(
            totals, (_with_design(bar, design) for bar, design in zip(_leaves(totals), designs, strict=True))
        )
        return self.inner.with_direct(self.inner.finish(c, totals, carry), _with_design(direct, of_return))


def _with_design(pulled: Numbers, design: Numbers) -> Numbers:
    """Return a pulled-back cotangent, whose last components are those of the design, with what the design gets."""
    first = len(pulled) - len(design)
    return tuple(pulled[:first]) + tuple(a + b for a, b in zip(pulled[first:], design, strict=True))


def _leaves(tree: Cotangents) -> list[Numbers]:
    """Return the cotangents in a cotangent or (nested) list of cotangents."""
    return [leaf for part in tree for leaf in _leaves(part)] if isinstance(tree, list) else [tuple(tree)]


def _like(tree: Cotangents, leaves: Iterator[Numbers]) -> Cotangents:
    """Return a tree with other leaves."""
    return [_like(part, leaves) for part in tree] if isinstance(tree, list) else next(leaves)


def count(etabar: Cotangents) -> int:
    """Return how many cotangents there are in what a `step` returned."""
    return len(_leaves(etabar))
