"""A real training step in a process of its own, beside the plan of it: prints both peaks of memory and both times."""

import json
import os
import resource
import sys

from benchmarks.growth.chain import step_seconds
from zeromiss.detector_params import VqganParams
from zeromiss.planning.devices import measured_cpu, seconds
from zeromiss.planning.paper_step import paper_step

_SIDE = 256
_BASE = {"stem": "conv", "crop": None, "batch": 1, "codebook": "gradient", "backbone": "vgg16", "critic_layers": 3, "attention": True}
NETWORKS = {
    "quick profile, 96 px, batch 4": (VqganParams(), 96),
    "paper's plan at width 64, 256 px, batch 1": (
        VqganParams(channels=(64, 64, 128, 128, 256), blocks=2, codes=256, code_dim=64, critic_channels=64, **_BASE),
        _SIDE,
    ),
}


def main(name: str) -> None:
    """Measure one of `NETWORKS`; memory is what the process grew by after its libraries were loaded."""
    params, side = NETWORKS[name]
    plan = paper_step(params, side, gpu=False, phases=False)
    before = measured_cpu()
    small = params.model_copy(update={"channels": (16,) * len(params.channels), "codes": 8, "code_dim": 4})
    step_seconds(small, 64, 1)  # loads what any step loads
    held = int(open("/proc/self/statm", encoding="utf-8").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    real = step_seconds(params, side, 4)
    after = measured_cpu()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - held
    planned = [seconds(plan.phases[-1].work, device) for device in (before, after)]
    print(json.dumps({"memory": plan.memory.peak, "grown": grown, "planned": min(planned), "real": real, "flops": plan.phases[-1].flops}))


if __name__ == "__main__":
    main(sys.argv[1])
