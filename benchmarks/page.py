"""Time from a click to new colors on the page of `photochrom web`, in Chromium.

    python benchmarks/page.py PHOTO [--scales 1 4 8] [--hints 7] [--suggest BUNDLE]

For each scale of the photo: seconds from the choice of the file to its colors; medians and the longest time from a hint
to its colors; and, with a bundle that knows likely colors (classify), the median from a click to their list.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pyvips
from playwright.sync_api import Page, sync_playwright

# The canvas has the color map that it shows.
REMEMBER = "canvas => { canvas.before = canvas.map; }"
CHANGED = """canvas => new Promise((done) => {
    const look = () => (canvas.map === canvas.before ? requestAnimationFrame(look) : done());
    look();
})"""


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def wait_for_colors(page: Page) -> None:
    page.locator("#state").get_by_text(re.compile("^Colorized")).wait_for()
    page.locator("#single .after").wait_for()


def measure(page: Page, photo: bytes, hints: int, suggests: bool) -> tuple[float, list[float], list[float]]:
    """Return the seconds until the first colors, of each hint, and of each list of likely colors."""

    def choose() -> None:
        page.set_input_files("#files", {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo})
        wait_for_colors(page)

    def click(number: int) -> None:
        box = page.locator("#single .after").bounding_box()
        assert box
        share = (number + 0.5) / hints
        page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] * share)
        page.locator("#likely button" if suggests else "#picker").first.wait_for()

    def use() -> None:
        page.locator("#single .after").evaluate(REMEMBER)
        page.locator("#use").click()
        page.locator("#single .after").evaluate(CHANGED)

    first, likely, used = seconds(choose), [], []
    page.locator("summary", has_text="Color hints").click()
    page.locator("#place").click()
    for number in range(hints):
        likely.append(seconds(lambda number=number: click(number)))
        page.locator("#color").fill(f"#{255 * (number + 1) // hints:02x}50a0")
        used.append(seconds(use))
    return first, used, likely


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--scales", type=float, nargs="+", default=[1, 4, 8])
    parser.add_argument("--hints", type=int, default=7)
    parser.add_argument("--suggest", type=Path)
    options = parser.parse_args()
    command = [sys.executable, "-m", "photochrom", "web", "--port", "0", "--model", "default"]
    command += ["--model", str(options.suggest)] if options.suggest else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    address = server.stdout.readline().split()[0]
    original = pyvips.Image.new_from_file(str(options.photo))
    print("| pixels | first colors, s | hint to colors, s (longest) | click to likely colors, s |\n|---|---|---|---|")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for scale in options.scales:
                page = browser.new_page(viewport={"width": 1366, "height": 768})
                page.goto(address)
                page.locator("input[name=model]").first.wait_for(state="attached")
                scaled = original.resize(scale)
                first, used, likely = measure(page, scaled.jpegsave_buffer(), options.hints, bool(options.suggest))
                cells = [f"{scaled.width} x {scaled.height}", f"{first:.2f}", f"{median(used):.2f} ({max(used):.2f})"]
                print("|", " | ".join([*cells, f"{median(likely):.2f}" if options.suggest else ""]), "|")
                page.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
