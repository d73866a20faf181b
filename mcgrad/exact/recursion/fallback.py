"""Where no closed form is known, the recursion steps in."""

import functools

from .public import moments
from .refusal import NoClosedForm

WORK = 5.0  # about so many seconds


def or_by_recursion(question):
    """Let the recursion answer `mean`, `variance` or `covariance` where they have no closed form.

    Adds `work` to the arguments of the question, see `moments`; 0 for closed forms alone.
    """

    @functools.wraps(question)
    def ask(problem, theta, *estimators, work=WORK, **named):
        try:
            return question(problem, theta, *estimators, **named)
        except NoClosedForm as error:
            if not work:
                raise
            asked = [*estimators, *named.values()]
            try:
                found = moments(problem, theta, dict(zip("xy", asked, strict=False)), work=work)
            except NoClosedForm as other:
                raise NoClosedForm(f"{error}; {other}") from error
        if question.__name__ == "covariance":
            return found.covariance("x", "y")
        return getattr(found["x"], question.__name__)

    return ask
