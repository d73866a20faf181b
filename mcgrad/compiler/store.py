"""Bytes on disk under a name, believed only where nobody else can have put them there.

Machine code is run by whoever loads it. So, as for the keys of ssh, the folder and each file have to be ours and must not
be writable by others; and a digest has to agree, because a disk may fail, and a flipped bit in machine code is a crash or
a wrong number. Owner, mode and digest are taken from the open file whose bytes are returned: nothing is looked at twice.
Whatever is not as it should be is missing, and is written anew. Where nothing can be written nothing is kept, which is
said once.

Entries that nobody has used for `AGE` are removed, and the oldest beyond `SPACE`.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import stat
import sys
import tempfile
import time

AGE, SPACE = 60 * 86400.0, 500_000_000  # seconds, bytes
DAY = 86400.0
MAGIC = b"mcgrad: machine code, format 1\n"
_NAMES = re.compile(r"k_[0-9a-f]{20}\.code")
_LEFT = re.compile(r"k_[0-9a-f]{20}\..*\.tmp")  # of a process that died while it wrote

_said: set[tuple[str, str]] = set()
_writes = 0


def folder() -> pathlib.Path | None:
    """Return the folder for compiled kernels, made if it is missing, or None if there is none that is safe to use.

    `MCGRAD_CACHE_DIR` if it is set, else `mcgrad` below `XDG_CACHE_HOME` or `~/.cache`.
    """
    chosen = os.environ.get("MCGRAD_CACHE_DIR")
    if not chosen:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        chosen = os.path.join(base, "mcgrad")
    try:
        os.makedirs(os.path.dirname(os.path.abspath(chosen)), mode=0o700, exist_ok=True)
        pathlib.Path(chosen).mkdir(mode=0o700, exist_ok=True)
        path = pathlib.Path(chosen).resolve()
        fault = _fault(path.stat()) or next(filter(None, (_fault_above(above.stat()) for above in path.parents)), None)
    except OSError as error:
        fault = error.strerror or str(error)
    if fault is None:
        return path
    say(chosen, fault)
    return None


def _fault(status: os.stat_result) -> str | None:
    """Return what is wrong with a folder or file of ours, or None."""
    if not hasattr(os, "geteuid"):
        return None  # folders of a user are private where there are no modes
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it (mend it with chmod go-w)"
    return None


def _fault_above(status: os.stat_result) -> str | None:
    """Return what is wrong with a folder above: its owner could put another folder in the place of ours."""
    if not hasattr(os, "geteuid"):
        return None
    if status.st_uid not in (os.geteuid(), 0, os.stat("/").st_uid):
        return "a folder above it belongs to another user"
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return "others may write to a folder above it"
    return None


def say(where: str | pathlib.Path, what: str) -> None:
    """Say once on stderr why nothing is kept on disk."""
    where = str(where)
    if (where, what) not in _said:
        _said.add((where, what))
        print(f"mcgrad: compiled kernels are not kept in {where}: {what}", file=sys.stderr, flush=True)


def read(name: str) -> bytes | None:
    """Return the bytes under a name, or None if there are none that can be trusted."""
    where = folder()
    if where is None:
        return None
    path = where / f"{name}.code"
    try:
        status, found = _contents(path)
    except OSError:
        return None
    head = len(MAGIC) + 32
    if found[:head] != MAGIC + _digest(name, found[head:]):
        return None
    if time.time() - status.st_mtime > DAY:  # when it was last used, to the day
        with contextlib.suppress(OSError):
            os.utime(path)
    return found[head:]


def _contents(path: pathlib.Path) -> tuple[os.stat_result, bytes]:
    """Return status and bytes of one and the same file of ours; nothing of what is no file or not ours alone."""
    options = ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC")  # of a pipe, opening waits for a writer
    file = os.open(path, os.O_RDONLY | sum(getattr(os, x, 0) for x in options))
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or _fault(status) or status.st_size > SPACE:
            return status, b""
        with open(file, "rb", closefd=False) as stream:
            return status, stream.read()
    finally:
        os.close(file)


def write(name: str, data: bytes) -> None:
    """Keep bytes under a name, if that is possible; no other process or thread ever sees half of them."""
    global _writes
    where = folder()
    if where is None:
        return
    temporary = None
    try:
        file, temporary = tempfile.mkstemp(prefix=f"{name}.", suffix=".tmp", dir=where)  # mode 0600
        with open(file, "wb") as stream:
            stream.write(MAGIC + _digest(name, data) + data)
        os.replace(temporary, where / f"{name}.code")
    except OSError as error:
        if temporary is not None:
            _remove(temporary)
        say(where, error.strerror or str(error))
        return
    if _writes % 100 == 0:  # a compilation takes a second, and this a few milliseconds
        prune(where)
    _writes += 1


def _digest(name: str, data: bytes) -> bytes:
    """Return what tells an entry from a damaged one, and from a good one under another name."""
    return hashlib.sha256(b"%s %d\n" % (name.encode(), len(data)) + data).digest()


def prune(where: pathlib.Path) -> None:
    """Remove entries that have not been used for long, the oldest if there are too many, and what dead processes left."""
    now, entries = time.time(), []
    with os.scandir(where) as found:
        for entry in found:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if _NAMES.fullmatch(entry.name):
                entries.append((status.st_mtime, status.st_size, entry.path))
            elif _LEFT.fullmatch(entry.name) and now - status.st_mtime > DAY:
                _remove(entry.path)
    total = 0
    for used, size, path in sorted(entries, reverse=True):
        total += size
        if now - used > AGE or total > SPACE:
            _remove(path)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
