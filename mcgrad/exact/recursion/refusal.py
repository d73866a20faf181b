"""How this room says no: as all of `mcgrad.exact` does."""

from ..several import NoClosedForm

__all__ = ["NoClosedForm"]
