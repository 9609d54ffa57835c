"""Measure latency and peak memory of a model: ``python -m photochrom.evaluation.latency``.

Takes ``[model, sampler options, repeats, size, device]`` as JSON and a photo on stdin, and prints JSON. It is a process
of its own because PyTorch and other models would add to the memory.
"""

import json
import sys
import time
from pathlib import Path

from ..imaging.photo import open_photo
from ..inference.colorizer import Colorizer


def main() -> None:
    """Colorize the photo several times and print the shortest time in ms and the peak memory in MB."""
    model, sampler, repeats, size, device = json.loads(sys.argv[1])
    pixels = open_photo(sys.stdin.buffer.read()).pixels()
    colorizer = Colorizer(model, device=device, **sampler)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        colorizer(pixels, size=size)
        times.append(time.perf_counter() - start)
    cost = {"ms a photo": min(times) * 1000}
    # Not `resource.getrusage`: its peak includes the memory of the parent process from before the exec.
    status = Path("/proc/self/status")
    if status.exists():
        cost["peak MB"] = int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    sys.stdout.write(json.dumps(cost))


if __name__ == "__main__":
    main()
