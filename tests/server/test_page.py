"""The web page in a browser, at the width of a phone and of a desktop screen."""

import io
import re
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
import pyvips

from browsing import launch_browser, needs_chromium, open_address
from photochrom import Colorizer
from servers import delete, get, wait_until

WIDTHS = {"phone": (390, 844), "desktop": (1200, 900)}
pytestmark = needs_chromium


def photo(offset=0, side=120):
    ramp = np.linspace(30, 220, side * (side + 40)).reshape(side, side + 40) + offset
    return pyvips.Image.new_from_array(ramp.clip(0, 255).astype(np.uint8)).write_to_buffer(".png")


@pytest.fixture(scope="module")
def browser():
    with launch_browser() as browser:
        yield browser


@contextmanager
def open_page(browser, address, width="desktop", console=()):
    """The page; at the end, the messages in its console must be the expected ones."""
    viewport = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    with open_address(browser, address, console, viewport=viewport, accept_downloads=True) as page:
        page.get_by_role("radio").first.wait_for()
        yield page


def add(page, *files):
    page.set_input_files(
        "#files", [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files]
    )


def article(page, name):
    return page.locator("article", has=page.get_by_role("heading", name=name))


def colorized(page, name):
    locator = article(page, name)
    locator.get_by_text("Colorized: ").wait_for()
    loaded = "article => [...article.querySelectorAll('img[src]')].every(image => image.complete)"
    wait_until(lambda: locator.evaluate(loaded))  # a photo may be deleted next, and loading it then fails
    return locator


def download(page, link):
    with page.expect_download() as event:
        link.click()
    return event.value.suggested_filename, event.value.path().read_bytes()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_photo_is_compared_and_downloaded(browser, address, bundle, width):
    with open_page(browser, address, width) as page:
        add(page, (f"{'long' * 50}.png", photo()))
        long_name = colorized(page, "longlong")
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
        long_name.get_by_role("button", name="Remove").click()
        add(page, ("one.png", photo()))
        one = colorized(page, "one.png")
        one.get_by_text("160 × 120 pixels").wait_for()
        divider = one.get_by_label("Share shown colorized")
        divider.focus()
        assert one.locator(".after").bounding_box()["width"] > 100
        for _ in range(5):
            page.keyboard.press("ArrowLeft")
        assert divider.input_value() == "45"
        assert "45%" in one.locator(".compare").get_attribute("style")
        name, content = download(page, one.get_by_role("link", name="Download one-color.png"))
        assert name == "one-color.png"
        assert content == Colorizer(bundle)(photo())
        for part in ("img.before", "img.after"):
            assert one.locator(part).bounding_box()["width"] <= WIDTHS[width][0]


def test_what_was_left_out_is_shown_beside_the_photo(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo() + b"a video"), ("two.png", photo()))
        notes = colorized(page, "one.png").get_by_role("list", name="Notes")
        assert notes.get_by_role("listitem").all_inner_texts() == [
            "What is attached to the photo (video, further pictures, gain or depth map) was left out."
        ]
        assert colorized(page, "two.png").get_by_role("list", name="Notes").count() == 0


@pytest.mark.parametrize(
    ("event", "property_name"), [("drop", "dataTransfer"), ("paste", "clipboardData")], ids=["drop", "paste"]
)
def test_a_photo_is_dropped_or_pasted(browser, address, event, property_name):
    with open_page(browser, address) as page:
        page.evaluate(
            """([event, property, bytes]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], "one.png", { type: "image/png" }));
                const Kind = event === "drop" ? DragEvent : ClipboardEvent;
                document.body.dispatchEvent(new Kind(event, { [property]: data, bubbles: true }));
            }""",
            [event, property_name, list(photo())],
        )
        colorized(page, "one.png")


@pytest.mark.parametrize(("button", "name"), [("Try a man with a camera", "camera.jpg"), ("or a rocket", "rocket.jpg")])
def test_an_example_is_colorized(browser, address, button, name):
    with open_page(browser, address) as page:
        page.get_by_role("button", name=button).click()
        colorized(page, name)


def test_dark_mode(browser, address):
    script = "(({ backgroundColor, color }) => [backgroundColor, color])(getComputedStyle(document.documentElement))"
    with open_page(browser, address) as page:
        brightness = []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            brightness.append([sum(map(int, re.findall(r"\d+", color)[:3])) for color in page.evaluate(script)])
        (light, dark_text), (dark, light_text) = brightness
        assert light - dark_text > 400
        assert light_text - dark > 400


def test_a_page_of_a_file_is_selected(browser, address, bundle):
    scan = pyvips.Image.arrayjoin([pyvips.Image.black(64, 48) + shade for shade in (60, 160)], across=1).cast("uchar")
    content = scan.tiffsave_buffer(page_height=48)
    with open_page(browser, address) as page:
        page.get_by_label("Page of files").fill("2")
        add(page, ("scan.tif", content))
        _, output = download(page, colorized(page, "scan.tif").get_by_role("link", name="Download"))
        assert output == Colorizer(bundle)(content, page=2)


def test_variants_are_selected_and_downloaded_as_a_zip(browser, address, stochastic_bundle):
    with open_page(browser, address) as page:
        assert page.get_by_label("Variants").is_hidden()
        page.get_by_label("stochastic").check()
        page.get_by_label("Variants").fill("3")
        page.get_by_label("Seed").fill("5")
        page.get_by_label("steps").fill("2")
        add(page, ("one.png", photo()), ("two.png", photo(20)))
        colorized(page, "one.png")
        two = colorized(page, "two.png")
        two.get_by_role("button", name="Seed 6").click()
        name, content = download(page, two.get_by_role("link", name="Download"))
        assert name == "two-color-6.png"
        assert content == Colorizer(stochastic_bundle, steps=2)(photo(20), seed=6)
        _, content_of_zip = download(page, page.get_by_role("link", name="Download all as a zip"))
        with zipfile.ZipFile(io.BytesIO(content_of_zip)) as archive:
            assert sorted(archive.namelist()) == [f"{n}-color-{s}.png" for n in ("one", "two") for s in (5, 6, 7)]
            assert archive.read("two-color-6.png") == content
        two.get_by_role("button", name="Remove").click()
        page.get_by_text("1 of 1 photo colorized").wait_for()


def test_invalid_options_are_shown_before_an_upload(browser, address):
    with open_page(browser, address) as page:
        page.get_by_label("stochastic").check()
        limit = int(page.get_by_label("Variants").get_attribute("max"))
        assert limit == get(f"{address}/limits").json()["variants"][1]
        page.get_by_label("Variants").fill(str(limit + 1))
        add(page, ("one.png", photo()))
        assert page.locator("#variants:invalid").count() == 1
        assert page.locator("article").count() == 0
        page.get_by_label("two-colors").check()
        add(page, ("one.png", photo()))
        colorized(page, "one.png")


def test_a_hint_keeps_the_selected_variant(browser, address):
    with open_page(browser, address) as page:
        page.get_by_label("stochastic").check()
        page.get_by_label("Variants").fill("3")
        add(page, ("one.png", photo()))
        one = colorized(page, "one.png")
        one.get_by_role("button", name="Seed 1").click()
        place_hint(one, 20, 20)
        one.get_by_text("Waiting").wait_for(state="detached")
        one.get_by_text("Colorized: ").wait_for()
        assert one.get_by_role("button", name="Seed 1").get_attribute("aria-pressed") == "true"


def place_hint(locator, x, y):
    locator.get_by_role("button", name="Add a color hint").click()
    locator.get_by_role("button", name="Place the color hint").click(position={"x": x, "y": y})


@pytest.mark.parametrize("device", ["mouse", "keyboard"])
def test_a_color_hint(browser, address, bundle, device):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        one = colorized(page, "one.png")
        one.get_by_label("Hint color").fill("#2030c0")
        one.get_by_role("button", name="Add a color hint").click()
        place = one.get_by_role("button", name="Place the color hint")
        if device == "mouse":
            box = place.bounding_box()
            place.click(position={"x": box["width"] / 4, "y": box["height"] / 2})
        else:
            for key in ["Shift+ArrowLeft"] * 2 + ["ArrowLeft"] * 5:
                page.keyboard.press(key)
            page.keyboard.press("Enter")
        remove = one.get_by_role("button", name="Remove hint #2030c0 at")
        remove.wait_for()
        x, y = (int(part) for part in remove.inner_text().rpartition("at ")[2].split(", "))
        assert abs(x - 40) <= 1
        assert abs(y - 60) <= 1
        one.get_by_text("Colorized: ").wait_for()
        _, content = download(page, one.get_by_role("link", name="Download one-color.png"))
        assert content == Colorizer(bundle)(photo(), hints=[f"{x},{y},#2030c0"])
        remove.click()
        one.get_by_text("Colorized: ").wait_for()
        _, content = download(page, one.get_by_role("link", name="Download one-color.png"))
        assert content == Colorizer(bundle)(photo())


def test_a_photo_that_the_server_has_deleted_is_uploaded_again(browser, address, bundle):
    with open_page(browser, address, console=["404", "404"]) as page:
        add(page, ("one.png", photo()))
        one = colorized(page, "one.png")
        link = one.get_by_role("link", name="Download one-color.png")
        delete(f"{address}{link.get_attribute('href').rpartition('/photo/')[0]}").raise_for_status()
        page.get_by_label("Saturation").fill("0.5")
        one.get_by_role("button", name="Colorize again").click()
        one.get_by_text("Colorized: ").wait_for()
        assert download(page, link) == ("one-color.png", Colorizer(bundle)(photo(), saturation=0.5))


def test_changes_while_a_photo_is_colorized_are_applied_afterwards(browser, address, bundle):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        one = colorized(page, "one.png")
        for x, y in ((20, 20), (60, 60)):
            place_hint(one, x, y)
        labels = one.locator(".hints button").all_inner_texts()
        hints = [f"{label.rpartition('at ')[2].replace(' ', '')},#b03a2e" for label in labels]
        assert len(hints) == 2
        expected = Colorizer(bundle)(photo(), hints=hints)
        link = one.get_by_role("link", name="Download one-color.png")

        def downloads_the_last_result():
            one.get_by_text("Colorized: ").wait_for()
            url = f"{address}{link.get_attribute('href')}"
            return get(url).content == expected

        wait_until(downloads_the_last_result)
        page.get_by_text("1 of 1 photo colorized").wait_for()
        assert download(page, link) == ("one-color.png", expected)


def test_errors_are_shown_and_other_photos_are_colorized(browser, address):
    with open_page(browser, address, console=["415"]) as page:
        add(page, ("<b>$'notes.png", b"no photo"), ("cut.png", photo()[:400]), ("good.png", photo()))
        colorized(page, "good.png")
        alert = article(page, "<b>$'notes.png").get_by_role("alert")
        assert alert.inner_text().startswith("<b>$'notes.png: is not a supported image; supported: JPEG")
        article(page, "cut.png").get_by_text("cut.png: cannot be read").wait_for()
        page.get_by_text("1 of 3 photos colorized").wait_for()


def test_a_canceled_photo_does_not_block_others(browser, address):
    with open_page(browser, address) as page:
        page.get_by_label("stochastic").check()
        page.get_by_label("steps").fill("1000")
        page.get_by_label("Variants").fill("12")
        add(page, ("slow.png", photo(side=900)))
        slow = article(page, "slow.png")
        slow.get_by_text("Colorizing").wait_for()
        page.get_by_label("two-colors").check()
        add(page, ("good.png", photo()))
        slow.get_by_role("button", name="Cancel").click()
        colorized(page, "good.png")
        assert slow.count() == 0


def test_photos_of_a_closed_page_are_deleted(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        link = colorized(page, "one.png").get_by_role("link", name="Download").get_attribute("href")
        job = f"{address}/{link.partition('/photo')[0].strip('/')}"
        assert get(job).status_code == 200
        page.goto("about:blank")
        wait_until(lambda: get(job).status_code == 404)


def test_a_server_that_does_not_respond_is_reported(browser, address):
    with open_page(browser, address, console=["ERR_CONNECTION_REFUSED"]) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        page.route("**/jobs**", lambda route: route.abort("connectionrefused"))
        add(page, ("two.png", photo()))
        article(page, "two.png").get_by_text("is `photochrom web` still running?").wait_for()


def test_roles_and_names_for_screen_readers(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        page.get_by_text("1 of 1 photo colorized").wait_for()
        snapshot = page.locator("body").aria_snapshot()
        for part in (
            'heading "Photochrom" [level=1]',
            'group "Model"',
            'radio "two-colors',
            'slider "Saturation"',
            'heading "one.png" [level=3]',
            'slider "Share shown colorized"',
            'img "Original"',
            'link "Download one-color.png"',
            'button "Add a color hint"',
            "status: 1 of 1 photo colorized",
        ):
            assert part in snapshot, snapshot


def test_every_control_is_reached_by_keyboard(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        reached = set()
        for _ in range(30):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count():
                reached.add(focused.get_attribute("id") or focused.get_attribute("class") or focused.inner_text())
        assert {"files", "saturation", "divide", "button save", "again", "color", "add-hint", "remove"} <= reached
