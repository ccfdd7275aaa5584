"""Freed memory stays with the process: a network's maps are large, short-lived and soon needed again.

By default glibc gives every large block back to the kernel when it is freed, and the next one begins with a page
fault for every 4 KiB. At 1024 pixels these take as long as the network itself.
"""

import ctypes
import platform
import resource
from functools import cache

# Numbers of mallopt's settings, from malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_LARGEST = 1 << 30  # bytes of a block that comes from the heap, and of free memory that is kept
_STEP = 64 << 20  # bytes by which the heap grows


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, up to 1 GiB at the heap's end; return whether it was told to.

    Threads that begin afterwards share one heap: one of their own could hold no block above 64 MiB. Holds for the
    whole process and changes no result. Only glibc is told; other libraries are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    settings = ((_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _LARGEST), (_TOP_PAD, _STEP), (_ARENA_MAX, 1))
    return all([library.mallopt(name, value) == 1 for name, value in settings])


def peak_mib() -> float:
    """Return the most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
