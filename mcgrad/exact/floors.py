"""Efficiency bounds of a `System`, linear-quadratic or tabular, by the name of what may be known."""

from .. import validate
from . import lq
from .several import NoClosedForm

MODELS = ("markov", "tree", "stationary")


def bound(theory, s, model, matrix):
    """Return the bound that `exact.efficiency_bound` describes of a system `s` of a theory, `lq` or `tabular`."""
    if model not in MODELS:
        raise ValueError(f"model: expected one of {', '.join(map(repr, MODELS))}, got {validate.describe(model)}")
    if model == "stationary" and theory is lq and s.states > 1 and not lq.bounds.in_equilibrium(s):
        raise NoClosedForm(
            "the stationary bound is a ratio of densities, with a closed form for one state variable or for a state that has "
            f"the same distribution at all times, not for these {s.states}"
        )
    if model == "markov" and s.horizon is None:
        raise NoClosedForm(
            'the markov bound sums ratios over time: without a horizon "tree" and "stationary" are known'
        )
    return getattr(theory, f"{model}_bound")(s, bool(matrix))
