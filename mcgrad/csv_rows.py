"""Rows, which are dicts, as the text of a CSV file, and back."""

import csv
import io
from collections.abc import Sequence
from typing import Any


def as_csv(columns: Sequence[str], rows: list[dict[str, Any]]) -> str:
    """Return rows as the text of a CSV file, with floats that read back to the same bits and None as an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")  # raises ValueError for a key that is no column
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def from_csv(text: str) -> list[dict[str, Any]]:
    """Return the rows of a CSV file: numbers as such, empty cells as None."""
    return [{key: _value(x) for key, x in row.items()} for row in csv.DictReader(text.splitlines())]


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text or None
