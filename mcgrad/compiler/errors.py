"""Errors of functions that cannot be traced: said once and for all, with the user's line."""

import builtins
import contextlib
import dis
import functools
import linecache
import sys
import threading
from collections.abc import Iterator
from types import CodeType, FrameType

# A name among the builtins of the functions that are being traced, by which their frames are known
TRACED = "__traced_by_mcgrad__"


class TraceError(ValueError):
    """A function of the user's cannot be traced; the message names the line and says what to write instead.

    Once it has happened, the function is refused, even if it catches the error: see `stated`.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        if _traces.errors:
            _traces.errors[-1].append(self)


class _Traces(threading.local):
    """The errors of the functions that are being traced, a list for each, the innermost last."""

    def __init__(self) -> None:
        self.errors: list[list[TraceError]] = []


_traces = _Traces()


@contextlib.contextmanager
def stated() -> Iterator[None]:
    """Raise the first `TraceError` that happens inside, whatever the function that is traced there makes of it."""
    errors: list[TraceError] = []
    _traces.errors.append(errors)
    try:
        yield
    except Exception as error:
        if errors and error is not errors[0]:
            raise errors[0] from error
        raise
    finally:
        _traces.errors.pop()
    if errors:
        raise errors[0]


def user_line() -> str:
    """Return "in name, file:line: source" for the innermost frame outside of mcgrad and NumPy, or ""."""
    frame = sys._getframe(1)
    while frame is not None and not is_users(frame):
        frame = frame.f_back
    return place_of(frame, frame.f_lineno) if frame is not None else ""


def is_users(frame: FrameType) -> bool:
    """Tell whether a frame runs a user's code: not that of mcgrad or NumPy."""
    package = frame.f_globals.get("__name__", "").split(".")[0]
    return package not in ("mcgrad", "numpy") and frame.f_code.co_filename != "<string>"


def place_of(frame: FrameType, line: int) -> str:
    """Return "in name, file:line: source" for a line of a frame."""
    path = frame.f_code.co_filename
    return f"in {frame.f_code.co_name}, {path}:{line}: {linecache.getline(path, line, frame.f_globals).strip()}\n"


# ---- exceptions that a kernel does not raise -----------------------------------------------------------------------

_OF_NUMBERS = (ZeroDivisionError, OverflowError, ValueError)


def check_handlers() -> None:
    """Refuse an operation for which Python may raise an exception, where the function that is traced would catch it.

    1/0 is an exception for Python's floats, and infinite in a kernel: `except ZeroDivisionError` would never run.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_exceptiontable and TRACED in frame.f_builtins:
            for name in _handlers(frame.f_code):
                caught = BaseException if name is None else frame.f_globals.get(name, getattr(builtins, name, None))
                if _catches(caught):
                    raise TraceError(
                        f"{user_line()}Python may raise an exception here, which is then caught by "
                        f"{f'`except {name}`' if name else '`except`'} in {frame.f_code.co_name}. A kernel raises none: "
                        "1/0 is infinite, log(-1) is NaN. Write where(condition, a, b) instead of try."
                    )
        frame = frame.f_back


def _catches(caught: object) -> bool:
    if isinstance(caught, tuple):
        return any(map(_catches, caught))
    if not isinstance(caught, type) or not issubclass(caught, BaseException):
        return False
    return any(issubclass(x, caught) for x in _OF_NUMBERS)


@functools.lru_cache(maxsize=1024)
def _handlers(code: CodeType) -> tuple[str | None, ...]:
    """Return the names of the exceptions that a code object catches; None for `except:` without a name."""
    names: list[str | None] = []
    recent: list[str] = []
    before = None
    for x in dis.get_instructions(code):
        if before == "PUSH_EXC_INFO":
            recent = []
            if x.opname == "POP_TOP":
                names.append(None)
        if x.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR"):
            recent.append(x.argval)
        if x.opname == "CHECK_EXC_MATCH":
            names += recent
            recent = []
        before = x.opname if x.opname not in ("CACHE", "NOP") else before
    if "suppress" in code.co_names:  # contextlib.suppress(ZeroDivisionError)
        names += code.co_names
    return tuple(names)
