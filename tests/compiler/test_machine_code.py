"""Machine code as bytes: it takes what it expects, refers to nothing that is not there, and goes with its function."""

import ctypes
import os
import pathlib
import pickle

import numpy as np
import pytest
from two_functions import ARGUMENTS, result

from mcgrad.compiler import native, passes, with_numba


def test_arrays_are_where_they_are_looked_for():
    x = np.zeros((2, 3))

    def at(name, kind):
        return kind.from_address(id(x) + native.OFFSETS[name]).value

    assert ctypes.c_void_p.from_address(id(x) + native.TYPE).value == id(np.ndarray)
    assert at("data", ctypes.c_void_p) == x.ctypes.data and at("ndim", ctypes.c_int) == 2
    assert list((ctypes.c_int64 * 2).from_address(at("shape", ctypes.c_void_p))) == [2, 3]
    assert at("dtype", ctypes.c_void_p) == id(x.dtype)
    for dtype in (x.dtype, np.dtype(">f8"), np.dtype(np.int64)):
        assert ctypes.c_int.from_address(id(dtype) + native.DTYPE["number"]).value == dtype.num
        assert ctypes.c_char.from_address(id(dtype) + native.DTYPE["order"]).value.decode() == dtype.byteorder
    assert at("flags", ctypes.c_int) == x.flags.num & 0xFFFF


def test_arrays_that_come_from_elsewhere_are_taken(codes):
    x = pickle.loads(pickle.dumps(np.arange(3.0)))
    assert x.dtype is not np.dtype(np.float64)
    x.setflags(write=False)
    out = np.zeros(3)
    native.link(*codes[0])(x, out)
    assert out.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        (np.zeros(3),),
        (np.zeros(3), np.zeros(3), 1),
        (np.zeros((3, 1)), np.zeros(3)),
        (np.zeros(6)[::2], np.zeros(3)),
        (np.zeros(3, dtype=np.float32), np.zeros(3)),
        (np.zeros(3, dtype=">f8"), np.zeros(3)),
        (np.zeros(25, dtype=np.uint8)[1:].view(float), np.zeros(3)),
        ([1.0, 2.0, 3.0], np.zeros(3)),
        (None, np.zeros(3)),
        (np.zeros(3), np.frombuffer(bytes(24))),
    ],
    ids=["nothing", "few", "many", "2-d", "strided", "float32", "swapped", "unaligned", "list", "None", "read-only"],
)
def test_machine_code_takes_nothing_but_what_it_expects(codes, wrong):
    function = native.link(*codes[0])
    with pytest.raises(TypeError):
        function(*wrong)
    assert result(function) == [1.0, 2.0, 3.0]


def test_integers_are_taken_and_refused():
    x, out, squares = np.arange(48.0).reshape(6, 8), np.zeros((5, 6)), np.zeros((2, 8))
    central = passes.compiled().central
    central(x, np.int64(3), out, squares)
    np.testing.assert_array_equal(out[0], x.mean(axis=1))
    np.testing.assert_array_equal(squares, np.full((2, 1), 3.0) * (np.arange(8) - 3.5) ** 2)
    for wrong in ("2", 2.0, 2**80, None):
        with pytest.raises((TypeError, OverflowError)):
            central(x, wrong, out, squares)


def test_code_that_needs_what_is_not_there_is_not_linked(codes):
    code, outside = codes[0]
    assert native.link(code, [*outside, "mcgrad_has_no_such_function"]) is None


def test_code_that_refers_to_addresses_of_its_process_is_not_made():
    """Numba takes a large array by its address: in the next process something else would be there."""
    large = np.ones(10**6)

    def refers(x, out):
        for i in range(len(x)):
            out[i] = x[i] + large[i]

    with pytest.raises(AssertionError, match="addresses of this process"):
        with_numba.compile_function(refers, {"error_model": "numpy"}, ARGUMENTS)


def test_code_is_unloaded_with_its_function(codes):
    """A thousand more kernels, one after the other, take no more memory; those that are kept do."""

    def resident():
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("how much memory is in use is not known here")
    for _ in range(100):
        function = native.link(*codes[0])
    before = resident()
    for _ in range(500):
        function = native.link(*codes[0])
    assert result(function) == [1.0, 2.0, 3.0] and resident() - before < 4_000_000
    kept = [native.link(*codes[0]) for _ in range(1000)]
    assert resident() - before > 4_000_000 and result(kept[7]) == [1.0, 2.0, 3.0]
