"""Data with one entry for each time."""

from typing import NamedTuple

import numpy as np


class PerStep(NamedTuple):
    """Data of an estimator with one entry for each time: step t reads entry t (the end of the trajectory, entry T)."""

    values: np.ndarray
