"""Where the numbers of a study come from: what its rows depend on, and what the JSON file beside them says."""

import ast
import contextlib
import datetime
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .version import __version__


class Described(Protocol):
    """What is to be known of a `mcgrad.study.Study`."""

    @property
    def name(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def rows(self) -> Callable[..., Any]: ...
    @property
    def libraries(self) -> tuple[str, ...]: ...


def fingerprint(study: Described) -> str:
    """Return a hash of what the rows of a study depend on: the sources of this package and of the study, versions of libraries.

    The study's sources are the file of its function `rows` and all that it imports, directly or not, from outside of installed
    packages.
    """
    return fingerprint_of(study.rows.__module__)


def fingerprint_of(module: str) -> str:
    """Return the fingerprint of a study whose function `rows` is in a module."""
    digest = hashlib.sha256(json.dumps(versions()).encode())
    for one in digests(module).values():
        digest.update(one)
    return digest.hexdigest()


def digests(module: str) -> dict[pathlib.Path, bytes]:
    """Return {file: hash of it} of this package and of what a module is made of."""
    own = pathlib.Path(__file__).parent
    files = (*sorted(own.rglob("*.py")), *sorted(_imported(module, own)))
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in files}


def _imported(name: str, without: pathlib.Path) -> set[pathlib.Path]:
    """Return the files of a module and of all that it imports, except installed packages and what is in a folder."""
    installed = [pathlib.Path(p) for key, p in sysconfig.get_paths().items() if "lib" in key]
    found, waiting = {}, [name]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in found or path is None or without in path.parents or any(x in path.parents for x in installed):
            continue
        found[name] = path
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        waiting += [".".join(package[:k]) for k in range(1, len(package))]
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                waiting += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return set(found.values())


def _source(name: str) -> pathlib.Path | None:
    """Return the file of a module's source, loaded or not; None of what is no module or has none."""
    try:
        module = sys.modules.get(name)
        path = module.__file__ if module is not None else importlib.util.find_spec(name).origin  # type: ignore[union-attr]  # caught
    except (ImportError, AttributeError, ValueError):
        return None
    return pathlib.Path(path).resolve() if path and path.endswith(".py") else None


def versions() -> dict[str, str]:
    """Return {name: version} of Python and of the libraries that numbers come from."""
    libraries = {name: importlib.metadata.version(name) for name in ("numpy", "numba", "llvmlite", "scipy")}
    return {"python": platform.python_version()} | libraries | {"mcgrad": __version__}


def versions_of(libraries: Iterable[str]) -> dict[str, str]:
    """Return {name: version} of those of some libraries that are installed."""
    found = {}
    for name in libraries:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def provenance(study: Described, command: str, **facts: Any) -> dict[str, Any]:
    """Return where results come from, as a dict for JSON; it names no person, path or host."""
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {"study": study.name, "question": study.question, "command": command, "date": date} | facts
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
    machine = {"cpu": cpu or platform.processor(), "cores": os.cpu_count(), "platform": platform.platform()}
    return about | {"versions": versions() | versions_of(study.libraries), "git": _git(), "machine": machine}


def _git() -> dict[str, Any] | None:
    """Return commit and whether any source differs from it, or None if this package does not lie in a repository of its own."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(pathlib.Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", ":/*.py"))}
    except (OSError, subprocess.CalledProcessError):
        return None
