"""A number that is not known yet, as far as it is like a float: what a float has besides arithmetic, and what it cannot do."""

from __future__ import annotations

import sys
import types
from typing import Any, NoReturn, Self

from .errors import TRACED, TraceError, user_line

# Functions that tracers' methods call and that are written in terms of tracers: `known_functions` puts them here.
written = types.SimpleNamespace()


class Unknown:
    """A number that is not known yet."""

    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        """What isinstance(x, float) goes by: it is True for the numbers that the function gets when it is not traced."""
        return float

    @property
    def real(self) -> Self:
        """As of a float."""
        return self

    @property
    def imag(self) -> float:
        """As of a float."""
        return 0.0

    def conjugate(self) -> Self:
        """As of a float."""
        return self

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __getattr__(self, name: str) -> Any:
        if hasattr(float, name):
            raise TraceError(f"{user_line()}.{name} of a number that is not known yet cannot be traced.")
        raise AttributeError(f"'float' object has no attribute {name!r}")

    def __repr__(self) -> str:
        if TRACED in sys._getframe(1).f_builtins:
            self._no_text()
        return f"<traced value {self.index}>"

    def __str__(self) -> str:
        self._no_text()

    def __format__(self, form: str) -> str:
        self._no_text()

    def _no_text(self) -> NoReturn:
        raise TraceError(
            f"{user_line()}a number that is not known yet has no text: str, repr, format and f-strings cannot be traced "
            "(print can be used to look at a function while it is traced)."
        )

    def __hash__(self) -> int:
        raise TraceError(
            f"{user_line()}a number that is not known yet cannot be looked up in a dict, a set or a cache. Write where, "
            "or mcgrad.lookup for a table."
        )

    # ---- what needs to know the number --------------------------------------------------------------------------

    def __bool__(self) -> bool:
        raise TraceError(
            f"{user_line()}the outcome of this condition differs between trajectories, so `if`, `while`, `and`, `or`, "
            "`not` and `assert` cannot depend on it. Write where(condition, a, b) instead of `if`, & | ~ instead of "
            "and, or, not, and (0 < x) & (x < 1) instead of 0 < x < 1. Write minimum, maximum or clip for arrays, or "
            "compare their elements one by one: an array of comparisons asks each for its outcome."
        )

    def _not_a_number(self, wanted: str) -> NoReturn:
        raise TraceError(
            f"{user_line()}a traced value has no {wanted} yet. What needs one cannot be traced: `float()`, `int()`, "
            "`range()`, an index, an element of a float array (build a tuple or a list instead of filling an array), "
            "a function of `math` that is not in this list, or that a class calls which the traced function refers to "
            f"(write np.sin instead of math.sin there). What can be traced: {written.traceable()}."
        )

    def __float__(self) -> float:
        self._not_a_number("numerical value")

    def __int__(self) -> int:
        self._not_a_number("integer value")

    def __index__(self) -> int:
        self._not_a_number("integer value")
