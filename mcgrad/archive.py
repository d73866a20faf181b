"""Results on disk: arrays and words in one .npz file, written in one stroke and read back bit for bit."""

from __future__ import annotations

import io
import json
import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .records import write


def save(path: str | pathlib.Path, words: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> pathlib.Path:
    """Write words (JSON) and arrays to a file, which ends with .npz; return its path."""
    path = pathlib.Path(path)
    path = path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")
    stream = io.BytesIO()
    every: dict[str, Any] = {
        "words": np.array(json.dumps(words))
    } | arrays  # names, none of which is an option of NumPy's
    np.savez_compressed(stream, **every)
    write(path, stream.getvalue())
    return path


def load(path: str | pathlib.Path, what: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the words and the arrays of a file.

    Raises
    ------
    ValueError
        For a file that is none of `what`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        words = json.loads(str(arrays.pop("words")))
        if words.pop("what", None) != what:
            raise ValueError("it holds something else")
    except (KeyError, TypeError, ValueError, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"path: expected a file with {what}, got {path} ({error})") from error
    return words, arrays
