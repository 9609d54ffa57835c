"""Take page-desk.jpg and page-phone.jpg: the page of `photochrom web` in Chromium, at two widths.

photochrom web --model default --model bundles/classify.zip
python docs/pictures/page.py http://localhost:8000
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

WIDTHS = {"desk": (1100, 900, "light"), "phone": (390, 844, "dark")}


def colorize_examples(page: Page) -> None:
    """Colorize both example photos, one in three variants."""
    page.get_by_role("button", name="Try a man with a camera").click()
    page.get_by_text("1 of 1 photo colorized").wait_for()
    page.get_by_label("classify").check()
    page.get_by_role("spinbutton", name="Variants").fill("3")
    page.get_by_role("button", name="or a rocket").click()
    page.get_by_text("2 of 2 photos colorized").wait_for()
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
            page.screenshot(path=path, full_page=True, type="jpeg", quality=85)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
