"""A kernel to import: the gradients of single trajectories, from Python and from compiled code of one's own.

A call of `measure` checks, fits, runs threads and takes moments. Who trains in a loop of his own wants none of it: a handle
calls the machine code, and nothing else. Trajectory i of a seed is the same in both.
"""

import ctypes
import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import validate
from .compiler import backends, native
from .estimators.estimator import Estimator
from .estimators.fitted import is_unfitted
from .kernels.program import Program, gradient_program
from .prepare import prepare
from .problem import Problem, written
from .run import END

Vector: TypeAlias = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Kernel:
    """The compiled gradients of E estimators with P parameters, of one problem; see `kernel`.

    Attributes
    ----------
    names : tuple of E str
    parameters : tuple of P str
    lanes : int
        W, trajectories that are simulated side by side: the columns of `out` are a multiple of it.
    """

    program: Program
    names: tuple[str, ...]
    parameters: tuple[str, ...]
    lanes: int

    def __repr__(self) -> str:
        return (
            f"<{self.program.kernel.label}: {len(self.names)} x {len(self.parameters)} gradients, {self.lanes} lanes>"
        )

    @property
    def text(self) -> str:
        """The source of the kernel, as it is compiled."""
        return self.program.kernel.text

    @functools.cached_property
    def _compiled(self) -> Any:
        return backends.compiled(self.program.kernel, "simd")

    def out(self, count: int) -> NDArray[np.float64]:
        """Return memory for the gradients of `count` trajectories, (E P, count rounded up to a multiple of the lanes)."""
        count = validate.integer("count", count, 1)
        return backends.aligned((self.program.kernel.outputs, -(-count // self.lanes) * self.lanes))

    def work(self) -> NDArray[np.float64]:
        """Return the memory that the compiled function keeps a trajectory in; every thread needs one of its own."""
        return backends.workspace(self.program.kernel, self.program.horizon, self.lanes)

    @functools.cached_property
    def _work(self) -> Any:
        return self.work()

    def samples(
        self, theta: ArrayLike, seed: int, first: int, count: int, out: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return the gradients of trajectories first, ..., first + count - 1: (E, P, count), a view of `out`.

        For one thread at a time: threads make handles of their own.

        Parameters
        ----------
        theta : (P,) array
            Finite; float64 in C's order is taken as it is, anything else copied.
        seed, first, count : int
            The seed from 0 to 2^64 - 1; the first trajectory, from 0 on, and how many, up to number 2^59.
        out : array, optional
            From `out(count)`; it is overwritten.

        Raises
        ------
        ValueError
            For an argument that is not as described.
        """
        program, lanes = self.program, self.lanes
        # What is as it should be is known at once, in less than a microsecond; whatever else there is takes its time.
        theta = _vector(theta, len(self.parameters))
        if not (type(seed) is int and 0 <= seed < 2**64):
            seed = validate.integer("seed", seed, 0, 2**64 - 1)
        if not (type(first) is int and first >= 0):
            first = validate.integer("first", first, 0)
        if not (type(count) is int and count > 0):
            count = validate.integer("count", count, 1)
        if first + count > END:
            raise ValueError(f"first, count: expected first + count <= 2^59, got {first} and {count}")
        blocks = -(-count // lanes)
        if out is None:
            out = self.out(count)
        shape = (program.kernel.outputs, blocks * lanes)
        fits = type(out) is np.ndarray and out.dtype == np.float64 and out.shape == shape
        if not (fits and out.flags.carray):
            what = f"a float64 array of shape {shape} that is C contiguous, aligned and writeable"
            raise ValueError(f"out: expected {what}, as from out({count}), got {validate.describe(out)}")
        numbers = theta, program.p, program.c, program.rows, np.uint64(seed), np.uint64(first)
        self._compiled(*numbers, blocks, lanes, program.horizon, _NO_POINTS, self._work, out, _GO_ON)
        return out.reshape(len(self.names), len(self.parameters), -1)[:, :, :count]

    @functools.cached_property
    def function(self) -> Callable[[Vector, int, int, Vector, Vector], None]:
        """The kernel as a function that Numba compiles calls of: for code of one's own under `numba.njit`.

            function(theta, seed, first, out, work)

        writes the gradients of the trajectories first, first + 1, ... of a seed to the columns of `out`: estimator e and
        parameter p to row e P + p, in the order of `names` and `parameters`.

        | argument | type | |
        |---|---|---|
        | theta | float64 (P,), C | |
        | seed, first | int64 or uint64 | from 0 to 2^64 - 1; from 0 to 2^59. No floats: Numba would cut them |
        | out | float64 (E P, n), C | n trajectories, a multiple of `lanes`: `out(n)` |
        | work | float64 (., .), C | `work()`; one for each thread |

        This signature is stable. The numbers of the problem (params, horizon, data of the estimators) are those that the
        handle was made with. It allocates nothing and takes no lock. Arrays of other shapes raise a ValueError, of other types
        or layouts (float32, a slice with steps) Numba's TypeError, or its TypingError from compiled code. Compiled
        functions hold the address of the machine code, which stays until the process ends: no `cache=True` for what calls it.
        """
        import numba

        program, lanes = self.program, self.lanes
        call = ctypes.CFUNCTYPE(ctypes.c_int32, *native.plain_types(backends.ARGUMENTS))(
            native.plain_address(self._compiled)
        )
        kept = _KEPT.setdefault(
            native.plain_address(self._compiled), (self._compiled, call)
        )  # numba keeps the address alone
        call = kept[1]
        p, c, rows, horizon = program.p, program.c, program.rows, program.horizon
        P, outputs, (room, row) = len(self.parameters), program.kernel.outputs, self.work().shape
        sizes, go_on = (p.size, c.size, *rows.shape), _GO_ON
        p, c, rows = (x.ravel() if x.size else np.zeros(1) for x in (p, c, rows))
        points = np.zeros(1)

        # With types of its own: what a caller compiles with another layout or another precision is an error, not misread.
        vector = numba.types.Array(numba.float64, 1, "C", readonly=True)
        matrix = numba.float64[:, ::1]

        @numba.njit(numba.void(vector, numba.uint64, numba.uint64, matrix, matrix))
        def function(theta: Any, seed: Any, first: Any, out: Any, work: Any) -> None:
            if theta.shape[0] != P or out.shape[0] != outputs or out.shape[1] % lanes != 0:
                raise ValueError("theta, out: expected shapes (P,) and (E P, a multiple of the lanes)")
            if work.shape[0] != room or work.shape[1] != row:
                raise ValueError("work: expected memory from work()")
            call(
                theta.ctypes,
                P,
                p.ctypes,
                sizes[0],
                c.ctypes,
                sizes[1],
                rows.ctypes,
                sizes[2],
                sizes[3],
                np.uint64(seed),
                np.uint64(first),
                out.shape[1] // lanes,
                lanes,
                horizon,
                points.ctypes,
                0,
                0,
                work.ctypes,
                room,
                row,
                out.ctypes,
                outputs,
                out.shape[1],
                go_on.ctypes,
                1,
            )

        function.__doc__ = inspect.getdoc(type(self).function)
        return function


def _vector(theta: Any, P: int) -> NDArray[np.float64]:
    """Return theta, (P,) finite numbers: as it is where that is known at once, else checked and copied."""
    plain = type(theta) is np.ndarray and theta.dtype == np.float64 and theta.shape == (P,)
    if plain and theta.flags.c_contiguous and theta.flags.aligned:
        if math.isfinite(sum(theta.tolist())) if P <= FEW else np.isfinite(theta).all():
            return theta
    return validate.array("theta", theta, (P,))


FEW = 64  # numbers that Python adds in less time than NumPy takes to be called
_KEPT: dict[int, Any] = {}  # address -> what lives there, for compiled code that has no other hold on it
_NO_POINTS, _GO_ON = np.zeros((0, 0)), np.zeros(1, dtype=np.int64)


def kernel(problem: Problem, estimators: dict[str, Estimator], theta: ArrayLike | None = None) -> Kernel:
    """Return the compiled gradients of estimators, to be called without any overhead.

    Parameters
    ----------
    problem : Problem
    estimators : dict
        Name -> estimator, with no coefficients left to fit.
    theta : (P,) array, optional
        Where estimators take what they have to know from theta (exact values, fitted baselines): it stays what it is there,
        whatever theta the kernel is called with. Needed for such estimators, and no others: numbers that were given (a fixed
        baseline, coefficients, widths, data of your own) are the same everywhere.

    Returns
    -------
    Kernel
        `.text`; `.samples(theta, seed, first, count, out=None)`, from Python; `.function`, from compiled code.

    Raises
    ------
    ValueError
        For an argument that is not as described, and where an estimator does not exist for the problem.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgrad as mg
    >>> system = mg.environments.linear_quadratic([[0.9]], [[0.5]], [[1.0]], [[0.1]])
    >>> problem = mg.Problem(system, mg.policies.linear_gaussian(1, 1, std=0.5), horizon=10)
    >>> k = mg.kernel(problem, {"PW": mg.estimators.reparameterization()})
    >>> theta, out = np.array([0.0]), k.out(64)
    >>> for step in range(1000):
    ...     theta += 0.01 * k.samples(theta, seed=0, first=64 * step, count=64, out=out).mean(axis=2)[0]
    >>> bool(abs(theta[0] + 1.4) < 0.2)
    True
    """
    estimators = prepare(estimators)
    unfitted = [name for name, x in estimators.items() if is_unfitted(x)]
    if unfitted:
        raise ValueError(
            f"estimators: expected fixed coefficients in a kernel, but those of {unfitted[0]} are not fitted"
        )
    if not isinstance(problem, Problem):
        raise ValueError(f"problem: expected a Problem, got {validate.describe(problem)}")
    if theta is None:
        for name, e in estimators.items():
            _check_that_it_needs_none(problem, name, e)
        theta = np.zeros(len(problem.parameters))
    program = gradient_program(problem, problem.theta(theta), estimators)
    return Kernel(program, tuple(estimators), problem.parameters, program.kernel.width("simd"))


class _Nowhere:
    """A theta that notes that it was asked for, and is not there."""

    asked = False

    def __getattribute__(self, name: str) -> Any:
        if name != "__class__" and name != "asked":
            self.asked = True
        return object.__getattribute__(self, name)

    def _refused(self, *_: Any, **__: Any) -> NoReturn:
        self.asked = True
        raise ValueError("theta: it is not given")

    __array__ = __len__ = __iter__ = __getitem__ = __float__ = __bool__ = __eq__ = _refused
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __neg__ = __matmul__ = _refused
    __rtruediv__ = __rmatmul__ = __pow__ = __hash__ = _refused


def _check_that_it_needs_none(problem: Problem, name: str, estimator: Estimator) -> None:
    """Raise ValueError for an estimator whose data depend on theta: they are asked for where there is none."""
    nowhere: Any = _Nowhere()
    try:
        estimator.data(problem, nowhere)
    except Exception:
        if not nowhere.asked:
            raise
    if nowhere.asked:
        what = "baselines, critics, what is exact or fitted there"
        raise ValueError(f"theta: expected the parameters at which {name!r} takes its data ({what}), got None")


def source(problem: Problem, estimators: dict[str, Estimator], theta: ArrayLike | None = None) -> str:
    """Return the text of a kernel, and whose each of its outputs is; see `Problem.source`."""
    handle = kernel(problem, estimators, theta)
    P = len(handle.parameters)
    outputs = [
        f"# out[{e * P + k}] {name}: {x}"
        for e, name in enumerate(handle.names)
        for k, x in enumerate(handle.parameters)
    ]
    return handle.text + "\n\n" + "\n".join(outputs) + "\n"


written.source = source
