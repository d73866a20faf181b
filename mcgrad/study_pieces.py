"""A setting of a study as a piece of work: what is sent to a worker, and how it is found and checked there.

What is sent is where the function `rows` is, and the setting. A worker has the same files, on a disk that is shared or of its
own; whether they are the same is checked, and so are versions of libraries: rows of other sources never come back.
"""

import functools
import importlib
import importlib.machinery
import importlib.util
import pathlib
import sys
import time
import uuid
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from . import provenance
from .merge_rows import Misfit

_PROCESS = uuid.uuid4().hex
_seen: dict[pathlib.Path, bytes] = {}  # file -> digest, of what this process has imported for a study


class Origin(NamedTuple):
    """Where the rows of a study come from.

    Attributes
    ----------
    module, path : str
        Of the function, and its file.
    folder : str
        From where the module is imported.
    name : str
        Of the function.
    sources : str
        The fingerprint of the study.
    process : str
        Who sent it; the same process needs no check.
    """

    module: str
    path: str
    folder: str
    name: str
    sources: str
    process: str


def origin(study: Any) -> Origin:
    """Return the `Origin` of a study.

    Raises
    ------
    Misfit
        For a function that other processes cannot find.
    """
    module, name = study.rows.__module__, study.rows.__qualname__
    path = getattr(sys.modules.get(module), "__file__", None)
    if path is None or "<" in name:
        raise Misfit(f"{study.name}: other processes need its rows as a function at the top of a file, got {name}")
    path = pathlib.Path(path).resolve()
    folder = path.parents[module.count(".") + (path.name == "__init__.py")]
    return Origin(module, str(path), str(folder), name, provenance.fingerprint(study), _PROCESS)


def rows(where: Origin, setting: dict[str, Any], seed: int, threads: int | None) -> tuple[list[dict[str, Any]], float]:
    """Return (rows, seconds) of a setting, in whatever process this is."""
    began = time.perf_counter()
    found = _function(where)(setting, seed, threads)
    return found, time.perf_counter() - began


@functools.lru_cache(maxsize=16)
def _function(where: Origin) -> Callable[..., Any]:
    """Return the function that a piece of work is about, checked to be what the sender has."""
    module = _module(where)
    if where.process != _PROCESS:
        name = module.__name__
        if provenance.fingerprint_of(name) != where.sources:
            what = "the sources of mcgrad or of the study, or versions of libraries, are not those of the sender"
            raise Misfit(f"{where.module}: a worker has others: {what}")
        for path, digest in provenance.digests(name).items():
            if _seen.setdefault(path, digest) != digest:
                raise Misfit(
                    f"{where.module}: {path.name} was edited after a worker has imported it; restart the workers"
                )
    found: Any = functools.reduce(getattr, where.name.split("."), module)
    return found


def _module(where: Origin) -> ModuleType:
    """Return the module that the function is in: by its name, or from its file where no import would find it."""
    if where.process == _PROCESS:
        return sys.modules[where.module]
    if where.folder not in sys.path:
        sys.path.insert(0, where.folder)
    name, path = where.module, pathlib.Path(where.path)
    try:
        if name != "__main__":  # of the sender
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if path.exists() and error.name != name:
            raise
    if not path.exists():
        what = f"a worker has no file {path}; workers need the same files at the same places"
        raise Misfit(f"{name}: {what}")
    own = f"{name} in {path}"  # files of one name in several folders are several studies
    if own not in sys.modules:
        loader = importlib.machinery.SourceFileLoader(own, str(path))
        spec = importlib.util.spec_from_loader(own, loader)
        assert spec is not None  # there is a loader
        module = sys.modules[own] = importlib.util.module_from_spec(spec)
        try:
            loader.exec_module(module)
        except BaseException:
            del sys.modules[own]
            raise
    return sys.modules[own]
