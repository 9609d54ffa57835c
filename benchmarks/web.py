"""Load test of `photochrom web`: many clients send photos at once, and each response is checked.

    python benchmarks/web.py [--photos 200] [--clients 16] [--side 1000] [--jobs 1] [--model default] [--json FILE]

Each client sends its photos one after the other, all different, and waits for the output (`POST /colorize`). An output
must have the lightness of its own photo and of no other. For comparison, one process colorizes the same photos with
`Colorizer`. Memory is the maximum resident size of the server and its workers together.
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

SAMPLING_SECONDS = 0.2  # between two samples of memory


def synthetic_photo(number: int, side: int) -> bytes:
    """Return a JPEG of waves whose lengths and phases depend on the number."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0 : side * 3 // 4, 0:side] / side
    waves = np.zeros_like(x)
    for _ in range(4):
        waves += np.sin(2 * np.pi * (rng.random() + x * rng.normal(0, 4) + y * rng.normal(0, 4)))
    pixels = (128 + 30 * waves).clip(0, 255).astype(np.uint8)
    return pyvips.Image.new_from_array(pixels).jpegsave_buffer(Q=90)


def lightness(photo: bytes) -> np.ndarray:
    """Return L of a small version."""
    small = pyvips.Image.new_from_buffer(photo, "").thumbnail_image(64).colourspace("srgb").numpy()
    return rgb_to_lab(np.moveaxis(small[..., :3], -1, 0).astype(np.float32) / 255)[0]


def resident_bytes(process: int) -> int:
    """Return the resident memory of a process and its children."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    own = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096
    return own + sum(resident_bytes(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--model", default="default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    photos = [synthetic_photo(number, options.side) for number in range(options.photos)]
    references = [lightness(photo) for photo in photos]
    command = [sys.executable, "-m", "photochrom", "web", "--port", "0", "--jobs", str(options.jobs)]
    server = subprocess.Popen([*command, "--model", options.model], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    address = server.stdout.readline().split()[0]
    memory: list[int] = []
    finished = threading.Event()

    def sample_memory() -> None:
        while not finished.wait(SAMPLING_SECONDS):
            memory.append(resident_bytes(server.pid))

    def send(number: int) -> tuple[float, int]:
        """Return the latency, and the number of the photo whose lightness the output has."""
        start = time.perf_counter()
        response = httpx.post(f"{address}/colorize", content=photos[number], timeout=600)
        latency = time.perf_counter() - start
        assert response.status_code == 200, response.text
        output = lightness(response.content)
        distances = [np.abs(output - reference).mean() for reference in references]
        return latency, int(np.argmin(distances))

    httpx.post(f"{address}/colorize", content=photos[0], timeout=600)  # starts the worker and loads the model
    sampler = threading.Thread(target=sample_memory)
    sampler.start()
    try:
        start = time.perf_counter()
        with ThreadPoolExecutor(options.clients) as clients:
            responses = list(clients.map(send, range(options.photos)))
        served_seconds = time.perf_counter() - start
    finally:
        finished.set()
        sampler.join()
        server.terminate()
        server.wait()
    colorizer = Colorizer(options.model)
    start = time.perf_counter()
    for photo in photos:
        colorizer(photo)
    direct_seconds = time.perf_counter() - start
    latencies = np.array([latency for latency, _ in responses])
    matches = [match for _, match in responses]
    report = {
        "photos": options.photos,
        "clients": options.clients,
        "lost": options.photos - len(responses),
        "mixed up": sum(number != match for number, match in enumerate(matches)),
        "photos per second": options.photos / served_seconds,
        "relative to one process": direct_seconds / served_seconds,
        **{f"latency p{p}, s": float(np.percentile(latencies, p)) for p in (50, 90, 99, 100)},
        "memory at the start, MB": memory[0] / 1e6,
        "memory at most, MB": max(memory) / 1e6,
    }
    for name, value in report.items():
        print(f"| {name} | {value:.4g} |")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
