"""What the C library does with the memory that tensors give back."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt(3)."""
TRIM_BYTES, MMAP_BYTES = 2**31 - 1, 2**30


def keep_freed_memory() -> bool:
    """Let this process keep what is freed, for the next iteration needs as much again; whether that was possible.

    glibc would give it back to Linux, which hands it out anew page by page: up to a fifth of an iteration on a CPU.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(TRIM_THRESHOLD, TRIM_BYTES) and mallopt(MMAP_THRESHOLD, MMAP_BYTES))
