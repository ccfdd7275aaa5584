"""Freed memory that is kept costs no page faults when it is needed again."""

import json
import subprocess
import sys

MEASURE = """
import json, resource, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from zeromiss.memory import keep_freed_memory
told = keep_freed_memory() if sys.argv[1] == "kept" else False
def once():
    held = [np.ones(3 << 17) for _ in range(10)]  # 3 MiB each
    return float(sum(values.sum() for values in held))
with ThreadPoolExecutor(1) as pool:
    once(), pool.submit(once).result()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    sums = [once(), once(), *pool.map(lambda _: once(), range(3))]
print(json.dumps([told, sums, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before]))
"""


def faults(kind: str) -> tuple[bool, list[float], int]:
    """Return whether memory is kept, five sums over 30 MiB each, in two threads, and the page faults they took."""
    done = subprocess.run([sys.executable, "-c", MEASURE, kind], capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout))


def test_memory_that_is_kept_is_used_again_without_faults() -> None:
    told, sums, few = faults("kept")
    _, same, many = faults("given back")
    assert told and sums == same == [float(30 << 17)] * 5
    assert few < 200 < 1000 < many
