"""Many people at once: photographs sent to `photochrom web`, each looked at when it comes back.

    python benchmarks/web.py [--photos 200] [--clients 16] [--side 1000] [--jobs 1] [--model default] [--json FILE]

Each client sends its photographs one after the other, all different, and waits for the copy (`POST /colorize`). A copy
must have the lightness of the photograph that was sent and no other's. Beside it, the same photographs in one process
by `Colorizer`, one after the other. Memory is the largest that the server and its workers had together, resident.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pyvips

from photochrom import Colorizer
from photochrom.core.color import rgb_to_lab

LOOK = 0.2  # seconds between two looks at memory


def photograph(number: int, side: int) -> bytes:
    """A JPEG that no other number has: waves whose lengths and places are its own."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0 : side * 3 // 4, 0:side] / side
    waves = sum(np.sin(2 * np.pi * (rng.random() + x * rng.normal(0, 4) + y * rng.normal(0, 4))) for _ in range(4))
    pixels = (128 + 30 * np.asarray(waves)).clip(0, 255).astype(np.uint8)
    return pyvips.Image.new_from_array(pixels).jpegsave_buffer(Q=90)


def lightness(photo: bytes) -> np.ndarray:
    """L* of a small version."""
    small = pyvips.Image.new_from_buffer(photo, "").thumbnail_image(64).colourspace("srgb").numpy()
    return rgb_to_lab(np.moveaxis(small[..., :3], -1, 0).astype(np.float32) / 255)[0]


def resident(process: int) -> int:
    """Bytes that a process and those it began have in memory now."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    own = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096
    return own + sum(resident(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--model", default="default")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    photos = [photograph(number, asked.side) for number in range(asked.photos)]
    shown = [lightness(photo) for photo in photos]
    command = [sys.executable, "-m", "photochrom", "web", "--port", "0", "--jobs", str(asked.jobs)]
    server = subprocess.Popen([*command, "--model", asked.model], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    address = server.stdout.readline().split()[0]
    memory, over = [], threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            memory.append(resident(server.pid))

    def send(number: int) -> tuple[float, int]:
        begun = time.perf_counter()
        answer = httpx.post(f"{address}/colorize", content=photos[number], timeout=600)
        taken = time.perf_counter() - begun
        assert answer.status_code == 200, answer.text
        found = lightness(answer.content)
        return taken, int(np.argmin([np.abs(found - own).mean() for own in shown]))

    httpx.post(f"{address}/colorize", content=photos[0], timeout=600)  # the worker is there, the model loaded
    watching = threading.Thread(target=look)
    watching.start()
    try:
        begun = time.perf_counter()
        with ThreadPoolExecutor(asked.clients) as clients:
            found = list(clients.map(send, range(asked.photos)))
        whole = time.perf_counter() - begun
    finally:
        over.set()
        watching.join()
        server.terminate()
        server.wait()
    colorizer = Colorizer(asked.model)
    begun = time.perf_counter()
    for photo in photos:
        colorizer(photo)
    alone = time.perf_counter() - begun
    latencies = np.array([taken for taken, _ in found])
    report = {
        "photographs": asked.photos,
        "clients": asked.clients,
        "lost": asked.photos - len(found),
        "mixed up": sum(number != match for number, (_, match) in enumerate(found)),
        "photographs a second": asked.photos / whole,
        "times one process": alone / whole,
        **{f"latency p{p}, s": float(np.percentile(latencies, p)) for p in (50, 90, 99, 100)},
        "memory at the start, MB": memory[0] / 1e6,
        "memory at most, MB": max(memory) / 1e6,
    }
    for name, value in report.items():
        print(f"| {name} | {value:.4g} |")
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
