"""The page in a real browser, at the width of a phone and of a desk."""

import io
import re
import shutil
import time
import zipfile
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import pyvips

from photochrom import Colorizer

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WIDTHS = {"phone": (390, 844), "desk": (1200, 900)}
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: apt-get install chromium")


def photo(shade=0, side=120):
    ramp = np.linspace(30, 220, side * (side + 40)).reshape(side, side + 40) + shade
    return pyvips.Image.new_from_array(ramp.clip(0, 255).astype(np.uint8)).write_to_buffer(".png")


def upload(name, content):
    return {"name": name, "mimeType": "image/png", "buffer": content}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, "--disable-component-update"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, address, width="desk", complains=()):
    """The page; at the end, what the console said must be what is expected."""
    width, height = WIDTHS[width]
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    page.get_by_role("radio").first.wait_for()
    yield page
    context.close()
    assert len(said) == len(complains), said
    assert all(part in text for part, text in zip(complains, said, strict=True))


def send(page, *files):
    page.set_input_files("#files", [upload(*file) for file in files])


def article(page, name):
    return page.locator("article", has=page.get_by_role("heading", name=name))


def colored(page, name):
    found = article(page, name)
    found.get_by_text("In colour: ").wait_for()
    return found


def saved(page, link):
    with page.expect_download() as download:
        link.click()
    return download.value.suggested_filename, download.value.path().read_bytes()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_photograph_is_compared_and_kept(browser, address, bundle, width):
    with opened(browser, address, width) as page:
        send(page, (f"{'long' * 50}.png", photo()))
        long = colored(page, "longlong")
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
        long.get_by_role("button", name="Remove").click()
        send(page, ("one.png", photo()))
        found = colored(page, "one.png")
        found.get_by_text("160 × 120 pixels").wait_for()
        divide = found.get_by_label("How much is shown in colour")
        divide.focus()
        before = found.locator(".after").bounding_box()["width"], divide.input_value()
        for _ in range(5):
            page.keyboard.press("ArrowLeft")
        assert before[0] > 100
        assert divide.input_value() == "45"
        assert "45%" in found.locator(".compare").get_attribute("style")
        name, content = saved(page, found.get_by_role("link", name="Download one-color.png"))
        assert name == "one-color.png"
        assert content == Colorizer(bundle)(photo())
        for part in ("img.before", "img.after"):
            assert found.locator(part).bounding_box()["width"] <= WIDTHS[width][0]


@pytest.mark.parametrize(("kind", "holder"), [("drop", "dataTransfer"), ("paste", "clipboardData")])
def test_a_photograph_is_dropped_or_pasted(browser, address, kind, holder):
    with opened(browser, address) as page:
        page.evaluate(
            """([kind, holder, bytes]) => {
                const held = new DataTransfer();
                held.items.add(new File([new Uint8Array(bytes)], "one.png", { type: "image/png" }));
                const Kind = kind === "drop" ? DragEvent : ClipboardEvent;
                document.body.dispatchEvent(new Kind(kind, { [holder]: held, bubbles: true }));
            }""",
            [kind, holder, list(photo())],
        )
        colored(page, "one.png")


@pytest.mark.parametrize(("button", "name"), [("Try a man with a camera", "camera.jpg"), ("or a rocket", "rocket.jpg")])
def test_an_example_is_coloured(browser, address, button, name):
    with opened(browser, address) as page:
        page.get_by_role("button", name=button).click()
        colored(page, name)


def test_in_the_dark_it_is_dark(browser, address):
    with opened(browser, address) as page:
        shades = []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            shown = (
                "(({ backgroundColor, color }) => [backgroundColor, color])(getComputedStyle(document.documentElement))"
            )
            shades.append([sum(map(int, re.findall(r"\d+", color)[:3])) for color in page.evaluate(shown)])
        (light, dark_ink), (dark, light_ink) = shades
        assert light - dark_ink > 400
        assert light_ink - dark > 400


def test_variants_are_chosen_and_all_come_as_a_zip(browser, address, drawing):
    with opened(browser, address) as page:
        assert page.get_by_label("Variants").is_hidden()
        page.get_by_label("drawing").check()
        page.get_by_label("Variants").fill("3")
        page.get_by_label("Seed").fill("5")
        page.get_by_label("Steps").fill("2")
        send(page, ("one.png", photo()), ("two.png", photo(20)))
        colored(page, "one.png")
        found = colored(page, "two.png")
        found.get_by_role("button", name="Seed 6").click()
        name, content = saved(page, found.get_by_role("link", name="Download"))
        assert name == "two-color-6.png"
        assert content == Colorizer(drawing, steps=2)(photo(20), seed=6)
        _, zipped = saved(page, page.get_by_role("link", name="Download all as a zip"))
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
            assert sorted(archive.namelist()) == [f"{n}-color-{s}.png" for n in ("one", "two") for s in (5, 6, 7)]
            assert archive.read("two-color-6.png") == content
        found.get_by_role("button", name="Remove").click()
        page.get_by_text("1 of 1 photographs in colour").wait_for()


def test_wishes_that_cannot_be_are_said_before_anything_is_sent(browser, address):
    with opened(browser, address) as page:
        page.get_by_label("drawing").check()
        page.get_by_label("Variants").fill("99")
        send(page, ("one.png", photo()))
        assert page.locator("#variants:invalid").count() == 1
        assert page.locator("article").count() == 0
        page.get_by_label("two-colors").check()
        send(page, ("one.png", photo()))
        colored(page, "one.png")


def test_a_pin_keeps_the_variant_that_was_chosen(browser, address):
    with opened(browser, address) as page:
        page.get_by_label("drawing").check()
        page.get_by_label("Variants").fill("3")
        send(page, ("one.png", photo()))
        found = colored(page, "one.png")
        found.get_by_role("button", name="Seed 1").click()
        found.get_by_role("button", name="Pin it to a place").click()
        found.get_by_role("button", name="Place the colour").click(position={"x": 20, "y": 20})
        found.get_by_text("Waiting").wait_for(state="detached")
        found.get_by_text("In colour: ").wait_for()
        assert found.get_by_role("button", name="Seed 1").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_colour_is_pinned(browser, address, bundle, by):
    with opened(browser, address) as page:
        send(page, ("one.png", photo()))
        found = colored(page, "one.png")
        found.get_by_label("Colour to pin").fill("#2030c0")
        found.get_by_role("button", name="Pin it to a place").click()
        place = found.get_by_role("button", name="Place the colour")
        if by == "mouse":
            box = place.bounding_box()
            place.click(position={"x": box["width"] / 4, "y": box["height"] / 2})
        else:
            for key in ["Shift+ArrowLeft"] * 2 + ["ArrowLeft"] * 5:
                page.keyboard.press(key)
            page.keyboard.press("Enter")
        unpin = found.get_by_role("button", name="Unpin #2030c0 at")
        unpin.wait_for()
        x, y = (int(part) for part in unpin.inner_text().rpartition("at ")[2].split(", "))
        assert abs(x - 40) <= 1
        assert abs(y - 60) <= 1
        found.get_by_text("In colour: ").wait_for()
        _, content = saved(page, found.get_by_role("link", name="Download one-color.png"))
        assert content == Colorizer(bundle)(photo(), hints=[f"{x},{y},#2030c0"])
        unpin.click()
        found.get_by_text("In colour: ").wait_for()
        _, content = saved(page, found.get_by_role("link", name="Download one-color.png"))
        assert content == Colorizer(bundle)(photo())


def test_one_that_the_server_has_forgotten_is_sent_again(browser, address, bundle):
    with opened(browser, address, complains=["404", "404"]) as page:
        send(page, ("one.png", photo()))
        found = colored(page, "one.png")
        link = found.get_by_role("link", name="Download one-color.png")
        httpx.delete(f"{address}{link.get_attribute('href').rpartition('/photo/')[0]}").raise_for_status()
        page.get_by_label("Strength").fill("0.5")
        found.get_by_role("button", name="Colour again").click()
        found.get_by_text("In colour: ").wait_for()
        assert saved(page, link) == ("one-color.png", Colorizer(bundle)(photo(), saturation=0.5))


def test_what_is_asked_meanwhile_is_done_after(browser, address, bundle):
    with opened(browser, address) as page:
        send(page, ("one.png", photo()))
        found = colored(page, "one.png")
        for place in ((20, 20), (60, 60)):
            found.get_by_role("button", name="Pin it to a place").click()
            x, y = place
            found.get_by_role("button", name="Place the colour").click(position={"x": x, "y": y})
        texts = [text.rpartition("at ")[2].replace(" ", "") for text in found.locator(".pins button").all_inner_texts()]
        found.get_by_text("In colour: ").wait_for()
        page.get_by_text("1 of 1 photographs in colour").wait_for()
        page.wait_for_timeout(1500)  # both rounds are over
        found.get_by_text("In colour: ").wait_for()
        _, content = saved(page, found.get_by_role("link", name="Download one-color.png"))
        assert content == Colorizer(bundle)(photo(), hints=[f"{text},#b03a2e" for text in texts])


def test_what_cannot_be_coloured_is_said_and_the_rest_goes_on(browser, address):
    with opened(browser, address, complains=["415"]) as page:
        send(page, ("<b>$'notes.png", b"no photograph"), ("cut.png", photo()[:400]), ("good.png", photo()))
        colored(page, "good.png")
        bad = article(page, "<b>$'notes.png").get_by_role("alert")
        assert bad.inner_text().startswith("<b>$'notes.png: is not a supported image; supported: JPEG")
        article(page, "cut.png").get_by_text("cut.png: cannot be read").wait_for()
        page.get_by_text("1 of 3 photographs in colour").wait_for()


def test_one_that_is_cancelled_leaves_the_others(browser, address):
    with opened(browser, address) as page:
        page.get_by_label("drawing").check()
        page.get_by_label("Steps").fill("1000")
        page.get_by_label("Variants").fill("12")
        send(page, ("slow.png", photo(side=900)))
        slow = article(page, "slow.png")
        slow.get_by_text("Colouring").wait_for()
        page.get_by_label("two-colors").check()
        send(page, ("good.png", photo()))
        slow.get_by_role("button", name="Cancel").click()
        colored(page, "good.png")
        assert slow.count() == 0


def test_a_page_that_is_left_is_forgotten(browser, address):
    with opened(browser, address) as page:
        send(page, ("one.png", photo()))
        copy = colored(page, "one.png").get_by_role("link", name="Download").get_attribute("href")
        job = f"{address}/{copy.partition('/photo')[0].strip('/')}"
        assert httpx.get(job).status_code == 200
        page.goto("about:blank")
        until = time.monotonic() + 30
        while httpx.get(job).status_code != 404:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_server_that_is_gone_is_named(browser, address):
    with opened(browser, address, complains=["ERR_CONNECTION_REFUSED"]) as page:
        send(page, ("one.png", photo()))
        colored(page, "one.png")
        page.route("**/jobs**", lambda route: route.abort("connectionrefused"))
        send(page, ("two.png", photo()))
        article(page, "two.png").get_by_text("is `photochrom web` still running?").wait_for()


def test_what_a_screen_reader_hears(browser, address):
    with opened(browser, address) as page:
        send(page, ("one.png", photo()))
        colored(page, "one.png")
        heard = page.locator("body").aria_snapshot()
        for part in (
            'heading "Photochrom" [level=1]',
            'group "Model"',
            'radio "two-colors',
            'slider "Strength of the colours"',
            'heading "one.png" [level=3]',
            'slider "How much is shown in colour"',
            'img "As it was"',
            'link "Download one-color.png"',
            'button "Pin it to a place"',
            "status: 1 of 1 photographs in colour",
        ):
            assert part in heard, heard


def test_everything_is_reached_by_keyboard(browser, address):
    with opened(browser, address) as page:
        send(page, ("one.png", photo()))
        colored(page, "one.png")
        reached = set()
        for _ in range(30):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count():
                reached.add(focused.get_attribute("id") or focused.get_attribute("class") or focused.inner_text())
        wanted = {"files", "saturation", "divide", "button save", "again", "color", "pin", "remove"}
        assert wanted <= reached
