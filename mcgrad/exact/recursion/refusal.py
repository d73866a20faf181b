"""How this room says no: as all of `mcgrad.exact` does."""

from ..theory import NoClosedForm

__all__ = ["NoClosedForm"]
