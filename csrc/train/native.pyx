# cython: language_level=3
"""The door to csrc/train of a Python that has its headers; without them toolkit/train/backends/native opens it by cffi."""

from libc.stdint cimport intptr_t, uintptr_t


cdef extern from "tl_train.h":
    ctypedef struct tl_call:
        pass
    void tl_train_run(const tl_call *calls, intptr_t n) noexcept nogil


def run(uintptr_t calls, intptr_t n):
    """The n calls at an address, one after the other, without the interpreter's lock."""
    with nogil:
        tl_train_run(<const tl_call *> calls, n)
