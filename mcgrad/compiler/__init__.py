"""Plain Python to machine code: trace, derive, emit, compile. Nothing in here knows of reinforcement learning.

errors      what cannot be traced, said once and for all
trace       a function of the user's, run once on tracer scalars -> a graph
functions   powers, choices, tables, derivatives that are given
known_functions  the functions that can be traced, by the names of `math`, `numpy` and `scipy.special`
namespaces  a user's globals, with `math` and `np` that accept tracers
derive      vector-Jacobian products by one reverse sweep
emit        a graph -> the text of a Python function
backends    the same text on three machines: which compiles it, and what is kept
on_numpy, on_lanes, on_numbers  what it means on NumPy arrays, on SIMD lanes, on plain numbers
simd        values whose operators write LLVM instructions, W lanes at a time
memory      arrays that lanes are read from and written to
lowering    the loops of a kernel to LLVM's language
building    what functions of SIMD lanes are built with: one copy in a module, sums with their rounding errors
elementary  sin, exp, log, ... of SIMD lanes
special, gamma  error, normal, gamma and other functions, written once for all machines
division    the exact remainder of SIMD lanes
noise       random numbers: a keyed hash of their address, and Box-Muller
native      machine code as bytes: made by LLVM, linked and called
with_numba  the same for the scalar machine, made by Numba
store       bytes on disk, believed only if they are whole and nobody else can have written them
cache       compiled kernels on disk, found by what they depend on
"""
