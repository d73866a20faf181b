"""The average reward of problems without end, and its gradient: linear-quadratic and tabular ones."""

from ..environments.linear_quadratic import LinearQuadratic
from . import finite, problems
from .arguments import checked_arguments
from .lq import average as lq_average
from .several import NoClosedForm
from .tabular import average as tabular_average


@checked_arguments
def average_reward(problem, theta):
    """Return J = lim 1/T E[sum_{t<T} r_t], a float; the horizon, the start and the terminal reward play no part."""
    theory, system = _theory(problem, theta)
    return theory.average_reward(system)


@checked_arguments
def average_gradient(problem, theta):
    """Return the gradient of the average reward, (P,), by the policy gradient theorem. Sutton et al. (2000)."""
    theory, system = _theory(problem, theta)
    return lq_average.average_gradient(system) if theory is lq_average else tabular_average.gradient(system)


@checked_arguments
def differential_value(problem, theta):
    """Return V(s) = E[sum_t (r_t - J) | s_0 = s]: a table (S,), or P and c of -(s' P s + c)."""
    theory, system = _theory(problem, theta)
    if theory is lq_average:
        return lq_average.differential_value(system)
    return tabular_average.differential_values(system)[0]


@checked_arguments
def stationary(problem, theta):
    """Return the stationary distribution of the state: probabilities (S,), or the covariance (n, n) about mean 0."""
    theory, system = _theory(problem, theta)
    if theory is lq_average:
        return lq_average.stationary_covariance(system)
    return tabular_average.stationary_distribution(system)


def _theory(problem, theta):
    if problem.discount_varies or problem.discount != 1.0:
        raise ValueError(f"problem: expected no discount for the average reward, got {problem.discount}")
    if isinstance(problem.environment.closed_form, LinearQuadratic):
        return lq_average, problems.system(problem, theta)
    if problem.environment.choices:
        return tabular_average, finite.system(problem, theta)
    raise NoClosedForm(f"the average reward of {problem.environment.name} is not known")
