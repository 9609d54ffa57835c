"""Take survey.jpg: a trial of `photochrom survey` in Chromium.

With astronaut.png, chelsea.png, coffee.png and rocket.png of skimage.data in the folder photos:

photochrom colorize photos -o unet && photochrom colorize photos -o classify --model classify
photochrom survey --truth photos unet classify -o answers.jsonl --seconds 0 --seed 1
python docs/pictures/survey.py http://localhost:8000
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright


def answer_practice(page: Page) -> None:
    """Choose one side, and where that is the tinted picture, the other one at the second try."""
    for key in ("ArrowLeft", "ArrowRight", "ArrowLeft", "ArrowRight"):
        page.get_by_role("button", name="Start the practice").click()
        page.locator("#pair[data-phase=shown]").wait_for()
        page.keyboard.press(key)
        page.locator("#break").wait_for()
        correct = page.get_by_role("heading", name="Well done").count() == 1
        page.locator("#go").click()
        if correct:
            return


def main(address: str) -> None:
    """Write the screenshot."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 620})
        page.goto(address)
        page.get_by_role("button", name="I agree and take part").click()
        answer_practice(page)
        page.locator("#number", has_text="Trial 1").wait_for()
        page.locator("#pair[data-phase=shown]").wait_for()
        page.screenshot(path=Path(__file__).with_name("survey.jpg"), type="jpeg", quality=85)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
