"""Take page-desk.jpg and page-phone.jpg: the page of `photochrom web` in Chromium, at two widths.

photochrom web --model default --model classify
python docs/pictures/page.py http://localhost:8000
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ADD_ROCKET = """async () => {
    const data = new DataTransfer();
    data.items.add(new File([await (await fetch("rocket.jpg")).blob()], "rocket.jpg", { type: "image/jpeg" }));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
}"""
WIDTHS = {"desk": (1280, 800, "light"), "phone": (390, 844, "dark")}


def colorize_examples(page: Page) -> None:
    """Colorize both example photos; show one close up, half of it as the original, with a color hint."""
    page.get_by_role("button", name="Try a man with a camera").click()
    page.get_by_text("1 of 1 photo colorized").wait_for()
    page.evaluate(ADD_ROCKET)
    page.get_by_text("2 of 2 photos colorized").wait_for()
    page.locator("summary", has_text="Color hints").click()
    page.get_by_role("button", name="Place hints").click()
    box = page.locator("#single .after").bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.85 * box["width"], box["y"] + 0.85 * box["height"])
    page.locator("#likely button").first.wait_for()
    page.mouse.move(0, 0)
    page.wait_for_load_state("networkidle")


def main(address: str) -> None:
    """Write the screenshots."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (width, height, scheme) in WIDTHS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(address)
            colorize_examples(page)
            path = Path(__file__).with_name(f"page-{name}.jpg")
            page.screenshot(path=path, type="jpeg", quality=85)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
