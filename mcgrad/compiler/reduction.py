"""Huge angles modulo pi/2, without an error that a float64 could show."""

from llvmlite import ir

from .simd import F64, U64, Value, bits, floats, where

# For x = m 2^e with an integer m < 2^53, only a window of the bits of 2/pi matters to x 2/pi (mod 4): those
# further up make multiples of 4, those further down less than 2^-130. 152 bytes hold 2/pi 2^1168, the lowest
# byte first. Integers of 192 bits hold numbers modulo 4, with 190 bits after the point.
I1, I8, I192 = ir.IntType(1), ir.IntType(8), ir.IntType(192)
TWO_PI_BITS = 1168
TWO_PI_BYTES = bytes.fromhex(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1"
    "921cfe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ff"
    "de05980fef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb"
    "5fb11f8d5d085603"
)[::-1] + bytes(6)
PI_4 = 0xC90FDAA22168C235  # pi/4 2^64


def payne_hanek(x: Value) -> tuple[Value, Value, Value]:
    """Return r, e, q with x = r - e + q pi/2 (mod 2 pi), |r| <= pi/4, |e| <= ulp(r)/2; q counts modulo 4.

    For one number (a `Value` of width 1), 2^18 <= |x| < infinity. The relative error of r - e is below 2^-60.

    References
    ----------
    Payne and Hanek (1983), Radian reduction for trigonometric functions. ACM SIGNUM Newsletter 18, 19-24.
    """
    builder = x.builder

    def resize(value, element):
        change = builder.zext if element.width > value.element.width else builder.trunc
        return Value(builder, change(value.ir, element))

    word = bits(x)
    exponent = (word >> 52) & 0x7FF
    exponent = where(exponent < 1041, exponent.constant(1041), exponent)
    m = (word & 0x000FFFFFFFFFFFFF) | 0x0010000000000000

    # p = x 2/pi (mod 4). The window starts at the lowest byte that skips `skipped` bits or up to 7 more.
    skipped = (TWO_PI_BITS - 190 + 1075) - exponent
    table = ir.Constant(ir.ArrayType(I8, len(TWO_PI_BYTES)), bytearray(TWO_PI_BYTES))
    table = _constant(builder.module, "mcgrad.two_pi", table)
    address = builder.gep(builder.bitcast(table, I8.as_pointer()), [((skipped + 7) >> 3).ir])
    window = Value(builder, builder.load(builder.bitcast(address, I192.as_pointer()), align=1))
    p = window * resize(m << ((0 - skipped) & 7), I192)

    # q = p rounded to an integer;  p - q = +-top 2^(-64 - zeros), where `top` has 64 significant bits.
    q = resize((p + (1 << 189)) >> 190, U64)
    fraction = p << 2
    negative = resize(fraction >> 191, U64)
    fraction = where(negative == 1, 0 - fraction, fraction)
    zeros = Value(builder, builder.ctlz(fraction.ir, I1(1)))
    top = resize((fraction << zeros) >> 128, U64)

    # (p - q) pi/2 = integer 2^(-61 - zeros), rounded to a float64; `excess` is what rounding has added.
    integer = resize((resize(top, I192) * PI_4) >> 66, U64)
    rounded = Value(builder, builder.sitofp(integer.ir, F64))
    excess = Value(builder, builder.fptosi(rounded.ir, U64)) - integer
    scale = floats((1023 - 61 - resize(zeros, U64)) << 52)

    # The signs of x and of p - q.
    minus = word >> 63
    scale = floats(bits(scale) | ((minus ^ negative) << 63))
    e = Value(builder, builder.sitofp(excess.ir, F64)) * scale
    return rounded * scale, e, where(minus == 1, 0 - q, q)


def _constant(module: ir.Module, name: str, value: ir.Constant) -> ir.GlobalVariable:
    """Return the address of a constant of the module."""
    found = module.globals.get(name)
    if found is None:
        found = ir.GlobalVariable(module, value.type, name)
        found.linkage, found.global_constant, found.initializer = "internal", True, value
    return found
