"""A dict that stays as it is: what has been derived from it stays true."""

from typing import Any, NoReturn


class Fixed(dict[str, Any]):
    """A dict that refuses changes; `x | {"name": value}` is a plain dict with one, and `dataclasses.replace` takes that.

    Exact values, kernels and checks of a problem are remembered: one whose parameters changed in place would be answered
    with those of another.
    """

    def _refused(self, *arguments: Any, **named: Any) -> NoReturn:
        raise TypeError(
            "params cannot be changed in place: make another environment or policy, "
            "dataclasses.replace(x, params=x.params | {'name': value})"
        )

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refused

    def __reduce__(self) -> tuple[Any, ...]:
        return Fixed, (dict(self),)
