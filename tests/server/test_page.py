"""The web page in a browser, at the width of a phone and of a desktop screen."""

import io
import json
import re
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import pyvips
from axe_playwright_python.sync_playwright import Axe

from browsing import launch_browser, needs_chromium, open_address
from films import RATE, scene, write
from photochrom import Colorizer
from photochrom.inference.settings import read_settings
from photochrom.server.app import create_app, load_models
from photochrom.server.limits import Limits
from servers import delete, get, serve_app_in_thread, serve_in_thread, wait_until

WIDTHS = {"phone": (390, 844), "small": (320, 600), "desktop": (1200, 900), "4k": (3840, 2160)}
CLASSIFY = Path(__file__).parents[2] / "photochrom-models/src/photochrom_models/classify.zip"
CANVAS = """canvas => {
    const { width, height } = canvas;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    return [width, height, Array.from(context.getImageData(0, 0, width, height).data)];
}"""
pytestmark = needs_chromium


def photo(offset=0, side=120):
    ramp = np.linspace(30, 220, side * (side + 40)).reshape(side, side + 40) + offset
    return pyvips.Image.new_from_array(ramp.clip(0, 255).astype(np.uint8)).write_to_buffer(".png")


@pytest.fixture(scope="module")
def browser():
    with launch_browser() as browser:
        yield browser


@contextmanager
def open_page(browser, address, width="desktop", console=(), **options):
    """The page; at the end, the messages in its console must be the expected ones."""
    viewport = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    options = {"viewport": viewport, "accept_downloads": True, **options}
    with open_address(browser, address, console, **options) as page:
        page.locator("input[name=model]").first.wait_for(state="attached")
        yield page


def add(page, *files):
    page.set_input_files(
        "#files", [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files]
    )


def entry(page, name):
    """The button of a photo in the film strip."""
    return page.get_by_role("navigation", name="Photos").get_by_role("button", name=name)


def colorized(page, name):
    """Wait until a photo is colorized and choose it."""
    entry(page, name).get_by_text(re.compile("^(Colorized|Downloaded)$")).wait_for()
    entry(page, name).click()
    page.get_by_role("heading", name=name).wait_for()
    settle(page)


def settle(page):
    """Wait until the photo that is chosen is shown in its present settings."""
    page.locator("#state").get_by_text(re.compile("^(Colorized|Downloaded)")).wait_for()
    page.locator("#single .after").wait_for()


def section(page, name):
    details = page.locator("details", has=page.locator("summary", has_text=name)).last
    if details.get_attribute("open") is None:
        details.locator("summary").first.click()


def open_options(page):
    section(page, "Model and variants")
    section(page, "More options")


def download(page, name="Download"):
    with page.expect_download() as event:
        page.get_by_role("button", name=name, exact=True).click()
    return event.value.suggested_filename, event.value.path().read_bytes()


def pixels(page):
    width, height, data = page.locator("#single .after").evaluate(CANVAS)
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def decode(content):
    return pyvips.Image.new_from_buffer(content, "").numpy()


def place_hint(page, color, x=0.25, y=0.5):
    section(page, "Color hints")
    if page.get_by_role("button", name="Place hints").get_attribute("aria-pressed") == "false":
        page.get_by_role("button", name="Place hints").click()
    box = page.locator("#single .after").bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    use_color(page, color)


def use_color(page, color):
    page.get_by_label("Color", exact=True).fill(color)
    page.get_by_role("button", name="Use this color").click()


def saved_settings(page):
    section(page, "Save and remove")
    return json.loads(download(page, "Save settings")[1])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_photo_is_compared_and_downloaded(browser, address, bundle, width):
    with open_page(browser, address, width) as page:
        add(page, (f"{'long' * 50}.png", photo()), ("one.png", photo(5)))
        colorized(page, "longlong")
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
        colorized(page, "one.png")
        page.get_by_text("160 × 120 pixels").wait_for()
        divider = page.get_by_label("Colorized", exact=True).and_(page.locator("input"))
        divider.fill("60")
        for _ in range(5):
            divider.press("ArrowLeft")
        assert "--at: 55" in page.locator("#stage").get_attribute("style")
        box = page.locator("#single .after").bounding_box()
        assert box["width"] / box["height"] == pytest.approx(160 / 120, rel=0.02)
        name, content = download(page)
        assert name == "one-color.png"
        assert content == Colorizer(bundle)(photo(5))


def test_what_is_shown_is_what_is_downloaded(browser, address, bundle):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        for sliders in ({}, {"saturation": 1.5, "warmth": -0.6}, {"local_saturation": 2.5, "warmth": 0.3}):
            for name, value in sliders.items():
                page.locator(f"input[name={name}]").fill(str(value))
            settle(page)
            shown, (_, content) = pixels(page), download(page)
            difference = np.abs(shown.astype(int) - decode(content))
            assert difference.mean() < 1
            assert np.quantile(difference, 0.99) <= 6
            place_hint(page, "#a03020", x=0.7)
            page.get_by_role("button", name="Remove hint 1").wait_for()
            settle(page)


def test_what_was_left_out_is_shown_beside_the_photo(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo() + b"a video"), ("two.png", photo(5)))
        colorized(page, "one.png")
        notes = page.get_by_role("list", name="Notes")
        assert notes.get_by_role("listitem").all_inner_texts() == [
            "What is attached to the photo (video, further pictures, gain or depth map) was left out."
        ]
        colorized(page, "two.png")
        assert notes.count() == 0


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


def test_a_page_of_a_file_is_selected(browser, address, bundle):
    scan = pyvips.Image.arrayjoin([pyvips.Image.black(64, 48) + shade for shade in (60, 160)], across=1).cast("uchar")
    content = scan.tiffsave_buffer(page_height=48)
    with open_page(browser, address) as page:
        add(page, ("scan.tif", content))
        colorized(page, "scan.tif")
        first = pixels(page).mean()
        open_options(page)
        page.get_by_label("Page of a file").fill("2")
        page.get_by_label("Page of a file").blur()
        wait_until(lambda: pixels(page).mean() > first + 50)
        settle(page)
        assert download(page)[1] == Colorizer(bundle)(content, page=2)


def test_a_page_that_is_given_up_is_not_shown(browser, address, bundle):
    scan = pyvips.Image.arrayjoin([pyvips.Image.black(64, 48) + shade for shade in (60, 160)], across=1).cast("uchar")
    content = scan.tiffsave_buffer(page_height=48)
    with open_page(browser, address) as page:
        add(page, ("scan.tif", content))
        colorized(page, "scan.tif")
        first = pixels(page)
        open_options(page)
        with page.expect_response("**/before"):
            page.get_by_label("Page of a file").fill("2")
            page.get_by_label("Page of a file").blur()
            page.get_by_role("button", name="Undo").click()
        page.wait_for_timeout(300)  # in which the other page was shown
        settle(page)
        assert np.array_equal(pixels(page), first)
        assert download(page)[1] == Colorizer(bundle)(content)


def test_nothing_of_a_photo_that_is_removed_stays_on_the_server(browser, bundle, stochastic_bundle):
    app = create_app(load_models([bundle, stochastic_bundle]), Limits())
    with serve_app_in_thread(app) as address, open_page(browser, address) as page:
        jobs = app.state.jobs.jobs
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        download(page)
        for _ in range(2):
            wait_until(lambda: stored(page)[0].get("output"))
            page.reload()
            colorized(page, "one.png")
        open_options(page)
        page.get_by_role("radio", name="stochastic").check()
        settle(page)
        page.get_by_label("Inference size").fill("1024")
        page.get_by_label("Inference size").blur()
        page.get_by_label("Sampling steps").fill("1000")
        page.get_by_label("Sampling steps").blur()
        wait_until(lambda: any(job.state == "working" for job in jobs.values()))
        section(page, "Save and remove")
        page.get_by_role("button", name="Remove", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        wait_until(lambda: not jobs)


def test_a_photo_that_failed_is_tried_again_and_canceled(browser, bundle):
    app = create_app(load_models([bundle]), Limits())
    with serve_app_in_thread(app) as address, open_page(browser, address, console=["507"]) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        limits = app.state.jobs.limits
        app.state.jobs.limits = Limits(stored_bytes=1)
        page.get_by_role("button", name="Download", exact=True).click()
        page.get_by_role("button", name="Try again").wait_for()
        app.state.jobs.limits = limits
        page.get_by_role("button", name="Try again").click()
        page.locator("#stop").evaluate("button => button.click()")  # the photo may be colorized before a real click
        settle(page)
        assert download(page)[1] == Colorizer(bundle)(photo())


def test_photos_stay_where_the_server_does_not_respond_once(browser, address):
    with open_page(browser, address, console=["ERR_FAILED"]) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        (kept,) = stored(page)
        page.route(f"**/jobs/{kept['job']}", lambda route: route.abort())
        page.reload()
        page.get_by_text("The server does not respond").wait_for()
        page.unroute(f"**/jobs/{kept['job']}")
        page.reload()
        colorized(page, "one.png")


def test_the_models_are_compared_where_they_differ(browser, bundle):
    """Models of different inference sizes have color maps of different sizes."""
    with serve_in_thread([bundle, CLASSIFY]) as address, open_page(browser, address) as page:
        page.get_by_role("button", name="Try a man with a camera").click()
        colorized(page, "camera.jpg")
        section(page, "Model and variants")
        page.get_by_role("button", name="Compare models and variants").click()
        page.get_by_text("5 predictions: choose one.").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Differences").click()
        wait_until(lambda: page.locator(".overlay").evaluate(CANVAS)[2][3::4] != [])
        assert np.array(page.locator(".overlay").evaluate(CANVAS)[2], np.uint8)[3::4].max() > 50


def test_a_comparison_ends_with_the_settings_that_it_was_made_with(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        place_hint(page, "#c02020")
        settle(page)
        section(page, "Model and variants")
        page.get_by_role("button", name="Compare models and variants").click()
        page.get_by_text("5 predictions: choose one.").wait_for()
        page.keyboard.press("Control+z")
        page.get_by_role("button", name="Choose two-colors").wait_for(state="detached")
        settle(page)


def test_a_comparison_is_canceled(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        open_options(page)
        page.get_by_role("radio", name="stochastic").check()
        settle(page)
        page.get_by_label("Inference size").fill("1024")
        page.get_by_label("Inference size").blur()
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.get_by_label("Sampling steps").fill("1000")
        page.get_by_label("Sampling steps").blur()
        page.get_by_role("button", name="Compare models and variants").click()
        page.get_by_role("button", name="Cancel comparison").click()
        page.get_by_role("button", name="Compare models and variants").wait_for()
        assert page.locator(".choose").count() == 0


def test_answers_are_compared_and_chosen(browser, address, stochastic_bundle, tmp_path):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        section(page, "Model and variants")
        page.get_by_role("button", name="Compare models and variants").click()
        page.get_by_role("button", name="Choose two-colors").wait_for()
        page.get_by_role("button", name="Choose stochastic, seed 2").click()
        settle(page)
        assert page.get_by_role("radio", name="stochastic").is_checked()
        name, content = download(page)
        assert name == "one-color.png"
        assert content == Colorizer(stochastic_bundle)(photo(), seed=2)
        page.get_by_role("button", name="Compare models and variants").click()
        page.get_by_role("button", name="More like this").nth(2).click()
        page.get_by_role("button", name="Choose stochastic, seed 2", exact=True).wait_for(state="detached")
        page.locator(".choose").first.click()
        settle(page)
        section(page, "More options")
        page.get_by_label("Distance").fill("0.6")
        page.get_by_label("Distance").press("Enter")
        page.get_by_label("Sampler").select_option("ancestral")
        page.get_by_label("Eta").fill("0.4")
        page.get_by_label("Eta").press("Enter")
        settle(page)
        name, content = download(page, "Save settings")
        (tmp_path / name).write_bytes(content)
        options = read_settings(tmp_path / name).options
        chosen = {"near": 4, "distance": 0.6, "solver": "ancestral", "eta": 0.4}
        assert {option: options[option] for option in chosen} == chosen
        output = Colorizer(stochastic_bundle)(photo(), **options)
        assert download(page)[1] == output
        page.get_by_role("radio", name="two-colors").check()
        settle(page)
        assert page.get_by_label("Sampler").is_hidden()
        assert saved_settings(page)["options"] == {"hints": []}
        add(page, (name, content))
        settle(page)
        assert download(page)[1] == output


@pytest.mark.parametrize("device", ["mouse", "keyboard"])
def test_a_color_hint(browser, address, bundle, device):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        if device == "mouse":
            place_hint(page, "#2030c0")
        else:
            section(page, "Color hints")
            page.get_by_role("button", name="Place hints").focus()
            page.keyboard.press("Enter")
            for key in ["Shift+ArrowLeft"] * 2 + ["ArrowLeft"] * 5:
                page.keyboard.press(key)
            page.keyboard.press("Enter")
            use_color(page, "#2030c0")
        page.get_by_role("button", name="Remove hint 1 (#2030c0)").wait_for()
        settle(page)
        (hint,) = saved_settings(page)["options"]["hints"]
        x, y, color = hint.split(",")
        assert abs(int(x) - 40) <= 1
        assert abs(int(y) - 60) <= 1
        assert color == "#2030c0"
        assert download(page)[1] == Colorizer(bundle)(photo(), hints=[hint])


@pytest.mark.parametrize("is_brush", [False, True])
def test_fingers_zoom_and_move_the_photo_while_hints_are_placed(browser, address, is_brush):
    with open_page(browser, address, "phone", has_touch=True) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        section(page, "Color hints")
        page.get_by_role("button", name="Place hints").tap()
        page.get_by_label("Brush").set_checked(is_brush)
        picture = page.locator("#single .after")
        picture.scroll_into_view_if_needed()
        before = picture.bounding_box()
        touch = page.context.new_cdp_session(page)

        def fingers(kind, *points):
            places = [{"x": before["x"] + x, "y": before["y"] + y, "id": number} for number, (x, y) in points]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        fingers("touchStart", (0, (100, 100)))
        fingers("touchStart", (0, (100, 100)), (1, (140, 100)))
        for step in range(1, 6):
            fingers("touchMove", (0, (100 - 10 * step, 100)), (1, (140 + 10 * step, 100)))
        fingers("touchEnd")
        zoomed = picture.bounding_box()
        assert zoomed["width"] > 2 * before["width"]
        assert page.get_by_role("button", name="Remove hint 1").count() == 0
        if not is_brush:
            fingers("touchStart", (0, (100, 100)))
            for step in range(1, 4):
                fingers("touchMove", (0, (100 - 20 * step, 100)))
            fingers("touchEnd")
            assert picture.bounding_box()["x"] == pytest.approx(zoomed["x"] - 60, abs=2)
            assert page.get_by_role("button", name="Use this color").is_hidden()
            page.touchscreen.tap(before["x"] + 100, before["y"] + 100)
            page.get_by_role("button", name="Use this color").tap()
        else:
            fingers("touchStart", (0, (100, 100)))
            fingers("touchMove", (0, (110, 100)))
            fingers("touchEnd")
        page.get_by_role("button", name="Remove hint 1").wait_for()


def test_hints_are_moved_changed_removed_and_all_is_undone(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")

        def hints():
            settle(page)
            return saved_settings(page)["options"]["hints"]

        place_hint(page, "#2030c0")
        first = hints()
        mark = page.get_by_role("button", name="Hint 1, #2030c0")
        mark.focus()
        mark.press("ArrowRight")
        moved = hints()
        assert moved != first
        box = mark.bounding_box()
        page.mouse.move(box["x"] + 10, box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] + 110, box["y"] + 60, steps=4)
        page.mouse.up()
        dragged = hints()
        assert int(dragged[0].split(",")[0]) > int(moved[0].split(",")[0]) + 5
        mark.focus()
        mark.press("Enter")
        use_color(page, "#a03020")
        assert hints() == [dragged[0].replace("#2030c0", "#a03020")]
        page.get_by_role("button", name="Remove hint 1").click()
        assert hints() == []
        for expected in ([dragged[0].replace("#2030c0", "#a03020")], dragged, moved, first, []):
            page.keyboard.press("Control+z")
            assert hints() == expected
        assert page.get_by_role("button", name="Undo").is_disabled()
        for expected in (first, moved):
            page.keyboard.press("Control+Shift+z")
            assert hints() == expected


def test_a_mark_that_is_clicked_does_not_follow_the_mouse(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        place_hint(page, "#2030c0")
        settle(page)
        mark = page.get_by_role("button", name="Hint 1, #2030c0")
        before = mark.bounding_box()
        mark.click()
        page.mouse.move(before["x"] + 200, before["y"] + 100, steps=100)
        assert mark.bounding_box() == before
        use_color(page, "#a03020")
        page.get_by_role("button", name="Remove hint 1 (#a03020)").wait_for()


def test_a_color_is_taken_from_another_photo(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()), ("two.png", photo(5)))
        colorized(page, "two.png")
        place_hint(page, "#c02020")
        settle(page)
        colorized(page, "one.png")
        section(page, "Color hints")
        box = page.locator("#single .after").bounding_box()
        page.mouse.click(box["x"] + 50, box["y"] + 50)
        page.get_by_role("button", name="From a photo").click()
        colorized(page, "two.png")
        taken = pixels(page)
        box = page.locator("#single .after").bounding_box()
        x, y = 0.3, 0.6
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.get_by_role("heading", name="one.png").wait_for()
        settle(page)
        (hint,) = saved_settings(page)["options"]["hints"]
        color = np.array([int(hint[-6:][at : at + 2], 16) for at in (0, 2, 4)])
        height, width, _ = taken.shape
        assert np.abs(color - taken[int(y * height), int(x * width)].astype(int)).max() <= 6


def test_the_likely_colors_of_a_place(browser, bundle):
    with serve_in_thread([bundle, CLASSIFY]) as address, open_page(browser, address) as page:
        page.get_by_role("button", name="Try a man with a camera").click()
        colorized(page, "camera.jpg")
        section(page, "Color hints")
        page.get_by_role("button", name="Place hints").click()
        box = page.locator("#single .after").bounding_box()
        page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"])
        likely = page.get_by_role("group", name="Likely colors here").get_by_role("button")
        likely.first.wait_for()
        names = [button.get_attribute("aria-label") for button in likely.all()]
        shares = [int(re.fullmatch(r"#[0-9a-f]{6}, (\d+)%", name)[1]) for name in names]
        assert shares == sorted(shares, reverse=True)
        assert 50 < sum(shares) <= 101
        likely.first.click()
        page.get_by_role("button", name=f"Remove hint 1 ({names[0][:7]})").wait_for()


def test_a_sampler_decides_which_options_there_are(browser):
    with serve_in_thread([CLASSIFY]) as address, open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        section(page, "Model and variants")
        page.get_by_role("radio", name="classify").check()
        section(page, "More options")
        page.get_by_role("spinbutton", name="Seed").fill("3")
        page.get_by_role("spinbutton", name="Seed").press("Enter")
        settle(page)
        page.get_by_label("Sampler").select_option("mean")
        settle(page)
        assert page.locator("input[name=seed]").is_hidden()
        assert download(page)[1] == Colorizer(CLASSIFY, solver="mean")(photo())
        page.get_by_role("button", name="Compare models and variants").click()
        page.get_by_role("button", name="Choose classify", exact=True).click()
        settle(page)
        page.keyboard.press("Control+z")
        page.get_by_label("Sampler").select_option("sample")
        settle(page)
        assert page.get_by_role("spinbutton", name="Seed").is_visible()


def test_a_photo_that_the_server_has_deleted_is_uploaded_again(browser, address, bundle):
    with open_page(browser, address, console=["404"]) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        (kept,) = stored(page)
        delete(f"{address}/jobs/{kept['job']}").raise_for_status()
        page.locator("input[name=saturation]").fill("0.5")
        settle(page)
        assert download(page) == ("one-color.png", Colorizer(bundle)(photo(), saturation=0.5))


def test_an_output_that_the_server_has_deleted_is_made_again(browser, address, bundle):
    with open_page(browser, address, console=["404"]) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        with page.expect_download() as event:
            page.get_by_role("button", name="Download", exact=True).click()
        delete(event.value.url.partition("/photo/")[0]).raise_for_status()
        assert download(page)[1] == Colorizer(bundle)(photo())


def test_a_photo_that_is_gone_is_reported_once(browser, address):
    with open_page(browser, address, console=["404"]) as page:
        add(page, ("one.png", photo()), ("two.png", photo(5)))
        colorized(page, "two.png")
        colorized(page, "one.png")
        wait_until(lambda: len(stored(page)) == 2)
        page.reload()
        colorized(page, "two.png")
        colorized(page, "one.png")
        for job in stored(page):
            delete(f"{address}/jobs/{job['job']}").raise_for_status()
        page.locator("input[name=saturation]").fill("0.5")
        page.get_by_role("button", name="Download", exact=True).click()
        page.get_by_role("alert").get_by_text("no such photo").wait_for()
        page.wait_for_timeout(500)  # in which nothing may be asked for again: the console counts


def test_two_pages_keep_the_photos_of_both(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        stored(page)
        other = page.context.new_page()
        other.goto(address)
        colorized(other, "one.png")
        add(other, ("two.png", photo(5)))
        colorized(other, "two.png")
        page.locator("input[name=saturation]").fill("0.5")
        settle(page)
        page.wait_for_timeout(500)
        assert {entry["name"] for entry in stored(page)} == {"one.png", "two.png"}
        other.reload()
        colorized(other, "one.png")
        colorized(other, "two.png")
        download(page)


def test_choosing_a_model_is_one_step(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        section(page, "Model and variants")
        page.get_by_role("radio", name="stochastic").check()
        settle(page)
        page.keyboard.press("Control+z")
        assert page.get_by_role("radio", name="two-colors").is_checked()
        assert page.get_by_role("button", name="Undo").is_disabled()


def stored(page):
    wait_until(lambda: page.evaluate("JSON.parse(localStorage.photochrom ?? '[]').length"))
    return page.evaluate("JSON.parse(localStorage.photochrom)")


def test_photos_and_settings_are_there_again_until_they_are_removed(browser, address, bundle):
    with open_page(browser, address, console=["404"]) as page:
        add(page, ("one.png", photo()), ("two.png", photo(5)))
        colorized(page, "two.png")
        colorized(page, "one.png")
        page.locator("input[name=saturation]").fill("0.5")
        settle(page)
        wait_until(lambda: stored(page)[0]["settings"]["saturation"] == 0.5)
        page.reload()
        colorized(page, "two.png")
        colorized(page, "one.png")
        assert download(page) == ("one-color.png", Colorizer(bundle)(photo(), saturation=0.5))
        jobs = [f"{address}/jobs/{kept['job']}" for kept in stored(page)]
        assert [get(job).status_code for job in jobs] == [200, 200]
        section(page, "Save and remove")
        page.get_by_role("button", name="Remove all").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("two.png is not downloaded in the present colors").wait_for()
        dialog.get_by_role("button", name="Keep").click()
        assert get(jobs[0]).status_code == 200
        page.get_by_role("button", name="Remove all").click()
        dialog.get_by_role("button", name="Remove").click()
        wait_until(lambda: [get(job).status_code for job in jobs] == [404, 404])
        page.get_by_text("or drop them here").wait_for()
        page.evaluate("kept => localStorage.setItem('photochrom', kept)", json.dumps([{"name": "a", "job": "gone"}]))
        page.reload()
        page.get_by_text("1 photo of the last visit is no longer on the server").wait_for()
        add(page, ("one.png", photo()))
        page.get_by_text("1 of 1 photo colorized.", exact=True).wait_for()


def test_photos_that_are_added_are_there_at_once(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        page.locator("input[name=saturation]").fill("2")
        add(page, ("two.png", photo(5)))
        page.get_by_role("button", name="Next photo").click()
        page.get_by_role("heading", name="two.png").wait_for()
        assert page.locator("input[name=saturation]").input_value() == "1"
        page.get_by_role("button", name="Download all").wait_for()


def test_the_photos_of_a_folder_are_dropped(browser, address, tmp_path):
    folder = tmp_path / "shoebox"
    (folder / "1931").mkdir(parents=True)
    for name in ("b.png", "1931/a.png", "1931/notes.txt", ".hidden.png"):
        (folder / name).write_bytes(photo())
    with open_page(browser, address) as page:
        data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
        drag = page.context.new_cdp_session(page)
        for kind in ("dragEnter", "dragOver", "drop"):
            drag.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
        colorized(page, "a.png")
        colorized(page, "b.png")
        page.get_by_text("2 of 2 photos colorized. 2 files in folders are no photos").wait_for()


def test_the_page_stays_where_it_is_when_a_photo_is_chosen(browser, address):
    with open_page(browser, address, "phone") as page:
        add(page, *((f"{number}.png", photo(number)) for number in range(8)))
        colorized(page, "7.png")
        page.evaluate("scrollTo(0, 0)")
        page.get_by_role("button", name="Previous photo").evaluate("button => button.click()")
        page.get_by_role("heading", name="6.png").wait_for()
        assert page.evaluate("scrollY") == 0


def test_escape_closes_the_picker(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        section(page, "Color hints")
        page.get_by_role("button", name="Place hints").focus()
        for key in ("Enter", "ArrowLeft", "Enter", "Escape"):
            page.keyboard.press(key)
        page.get_by_role("button", name="Use this color").wait_for(state="hidden")
        assert page.evaluate("document.activeElement.id") == "stage"


def test_settings_are_saved_and_opened(browser, address, bundle, tmp_path):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        page.locator("input[name=warmth]").fill("0.5")
        place_hint(page, "#2030c0")
        settle(page)
        section(page, "Save and remove")
        name, content = download(page, "Save settings")
        assert name == "one.png.json"
        (tmp_path / name).write_bytes(content)
        options = read_settings(tmp_path / name).options
        expected = Colorizer(bundle)(photo(), **options)
        assert download(page)[1] == expected
    with open_page(browser, address) as page:
        add(page, (name, content), ("one.png", photo()))
        colorized(page, "one.png")
        page.get_by_role("button", name="Hint 1, #2030c0").wait_for()
        assert download(page)[1] == expected
        add(page, ("other.json", b"[]"))
        page.get_by_text("other.json: This JSON file has no settings of Photochrom.").wait_for()
        wrong = json.loads(content) | {"options": {"variants": 3}}
        add(page, ("several.json", json.dumps(wrong).encode()))
        page.get_by_text("several.json: The page has no option variants").wait_for()


def test_settings_for_all_and_all_as_a_zip(browser, address, bundle):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()), ("two.png", photo(5)))
        colorized(page, "one.png")
        place_hint(page, "#2030c0")
        settle(page)
        (hint,) = saved_settings(page)["options"]["hints"]
        colorized(page, "two.png")
        page.locator("input[name=saturation]").fill("1.5")
        page.get_by_role("button", name="Apply these settings to all photos").click()
        name, content = download(page, "Download all")
        assert name == "colorized-photos.zip"
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            one = Colorizer(bundle)(photo(), saturation=1.5, hints=[hint])
            assert archive.read("one-color.png") == one
            assert archive.read("two-color.png") == Colorizer(bundle)(photo(5), saturation=1.5)
            assert json.loads(archive.read("one.png.json"))["options"] == {"saturation": 1.5, "hints": [hint]}
        page.get_by_text("2 photos in a zip.").wait_for()
        page.get_by_label("Format").select_option("JPEG")
        name, content = download(page)
        assert name == "two-color.jpg"
        assert content.startswith(b"\xff\xd8")


def test_zoom(browser, address):
    with open_page(browser, address) as page:
        add(page, ("large.png", photo(side=1800)))
        colorized(page, "large.png")
        assert page.locator("#single .after").get_attribute("width") == "1600"
        stage = page.locator("#stage")
        stage.focus()
        stage.press("1")
        assert page.get_by_label("Zoom", exact=True).inner_text() == "100%"
        wait_until(lambda: page.locator("#single .after").get_attribute("width") == "1840")
        before = page.locator("#single .after").bounding_box()
        stage.press("ArrowRight")
        assert page.locator("#single .after").bounding_box()["x"] == pytest.approx(before["x"] - 60, abs=1)
        page.mouse.move(300, 300)
        page.mouse.wheel(0, -400)
        wait_until(lambda: page.get_by_label("Zoom", exact=True).inner_text() != "100%")
        page.keyboard.down("h")
        assert "original" in stage.get_attribute("class")
        page.keyboard.up("h")
        assert "original" not in stage.get_attribute("class")
        stage.press("0")
        box, frame = page.locator("#single .after").bounding_box(), stage.bounding_box()
        assert box["height"] == pytest.approx(frame["height"], abs=2) or box["width"] == pytest.approx(frame["width"])


def test_errors_are_shown_and_other_photos_are_colorized(browser, address):
    with open_page(browser, address, console=["415"]) as page:
        add(page, ("<b>$'notes.png", b"no photo"), ("cut.png", photo()[:400]), ("good.png", photo()))
        colorized(page, "good.png")
        page.get_by_text("1 of 3 photos colorized").wait_for()
        entry(page, "notes.png").click()
        alert = page.get_by_role("alert")
        assert alert.inner_text().startswith("<b>$'notes.png: is not a supported image; supported: JPEG")
        entry(page, "cut.png").click()
        page.get_by_role("alert").get_by_text("cut.png: cannot be read").wait_for()
        assert page.get_by_role("button", name="Download", exact=True).is_disabled()


def test_a_photo_that_cannot_be_shown_says_why_in_its_place(browser, address):
    with open_page(browser, address, console=["415"]) as page:
        add(page, ("one.png", photo()), ("notes.txt", b"no photo"))
        colorized(page, "one.png")
        section(page, "Color hints")
        page.get_by_role("button", name="Place hints").click()
        entry(page, "notes.txt").get_by_text("Failed").wait_for()
        entry(page, "notes.txt").click()
        page.locator("#blank", has_text="notes.txt: ").wait_for()
        assert page.locator("#single .cross, #single .line, #single canvas").all()
        assert not any(
            part.is_visible() for part in page.locator("#single .cross, #single .line, #single canvas").all()
        )
        colorized(page, "one.png")
        assert not page.locator("#blank").inner_text()


def test_a_canceled_photo_does_not_block_others(browser, address):
    with open_page(browser, address) as page:
        add(page, ("good.png", photo(side=900)))
        colorized(page, "good.png")
        open_options(page)
        page.get_by_role("radio", name="stochastic").check()
        settle(page)
        page.get_by_label("steps").fill("1000")
        page.get_by_label("Inference size").fill("2048")
        page.get_by_label("Inference size").blur()
        page.locator("#state").get_by_text("Colorizing").wait_for()
        page.get_by_role("button", name="Cancel", exact=True).click()
        settle(page)
        add(page, ("other.png", photo()))
        colorized(page, "other.png")


def test_a_server_that_does_not_respond_is_reported(browser, address):
    with open_page(browser, address, console=["ERR_CONNECTION_REFUSED"]) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        page.route("**/jobs**", lambda route: route.abort("connectionrefused"))
        add(page, ("two.png", photo()))
        entry(page, "two.png").click()
        page.get_by_role("alert").get_by_text("is photochrom web still running?").wait_for()
        page.unroute("**/jobs**")
        page.get_by_role("button", name="Try again").click()
        colorized(page, "two.png")


def test_many_photos_are_a_list(browser, address):
    with open_page(browser, address) as page:
        add(page, *((f"{number:02}.png", photo(number, 40)) for number in range(50)))
        page.get_by_text("50 of 50 photos colorized").wait_for()
        assert page.locator("[role=status], [aria-live]").count() == 1
        assert page.locator("#strip [tabindex='0']").count() == 1
        height = page.evaluate("document.documentElement.scrollHeight")
        assert height < 1.3 * WIDTHS["desktop"][1]
        entry(page, "00.png").focus()
        page.keyboard.press("ArrowRight")
        page.get_by_role("heading", name="01.png").wait_for()
        page.keyboard.press("PageDown")
        page.get_by_role("heading", name="02.png").wait_for()


def check(page):
    """The rules of axe-core hold."""
    report = Axe().run(page)
    assert report.violations_count == 0, report.generate_report()


@pytest.mark.parametrize(
    ("scheme", "width", "options"),
    [
        ("light", "desktop", {}),
        ("dark", "phone", {"reduced_motion": "reduce"}),
        ("dark", "4k", {"forced_colors": "active"}),
    ],
)
def test_axe_finds_no_violations(browser, address, scheme, width, options):
    with open_page(browser, address, width, color_scheme=scheme, **options) as page:
        check(page)
        add(page, ("one.png", photo()), ("cut.png", photo()[:400]))
        colorized(page, "one.png")
        for name in ("Model and variants", "More options"):
            section(page, name)
        place_hint(page, "#2030c0")
        page.get_by_role("button", name="Hint 1, #2030c0").click()
        check(page)
        page.get_by_role("button", name="Compare models and variants").click()
        page.locator(".choose").first.wait_for()
        check(page)
        page.get_by_role("button", name="Keys").click()
        check(page)


def film(path, seconds=1, name="old.mp4"):
    """A file of a film, which moves to the left."""
    return write(path / name, scene(3, round(RATE * seconds), 160, 96))


def shown_colors(page):
    """The mean difference of the red and the blue of the left and right quarter of the film, as it is on the screen."""
    picture = page.locator("#single").screenshot()
    box, outer = page.locator("#stage video").bounding_box(), page.locator("#single").bounding_box()
    left, top = round(box["x"] - outer["x"]), round(box["y"] - outer["y"])
    pixels = decode(picture)[top:, left : left + round(box["width"]), :3].astype(float)
    pixels = pixels[: round(box["height"] * 0.6)]
    quarter = pixels.shape[1] // 4
    differences = abs(pixels[..., 0] - pixels[..., 2])
    return differences[:, 10:quarter].mean(), differences[:, -quarter : -quarter // 4].mean()


def test_a_film_is_colorized_compared_and_downloaded(browser, address, tmp_path):
    with open_page(browser, address) as page:
        page.set_input_files("#files", film(tmp_path))
        colorized_film(page, "old.mp4")
        page.get_by_text("1 of 1 file colorized.").wait_for()
        video = page.get_by_label("old.mp4, colorized")
        assert video.evaluate("video => [video.videoWidth, video.loop]") == [160, True]
        for name in ("Compare models and variants", "Save settings", "Zoom in", "Differences", "Place hints"):
            assert not page.get_by_role("button", name=name).is_visible()
        wait_until(lambda: 255 in entry(page, "old.mp4").locator("canvas").evaluate(CANVAS)[2][3::4])
        left, right = shown_colors(page)
        assert min(left, right) > 5
        page.locator("#divider").fill("50")
        left, right = shown_colors(page)
        assert left > 5
        assert right < 2
        check(page)
        page.get_by_role("button", name="Original").click()
        assert max(shown_colors(page)) < 2
        page.get_by_role("button", name="Original").click()
        name, content = download(page)
        assert name == "old-color.mp4"
        entry(page, "old.mp4").get_by_text("Downloaded").wait_for()
        again = page.get_by_role("button", name="Colorize again")
        assert again.is_disabled()
        page.locator("input[name=saturation]").fill("0")
        before = page.locator("#stage video").get_attribute("src")
        again.click()
        entry(page, "old.mp4").get_by_text("Colorized").wait_for()
        assert page.locator("#stage video").get_attribute("src") != before
        wait_until(lambda: get(f"{address}{before}").status_code == 404)
        assert download(page)[1] != content


def colorized_film(page, name):
    entry(page, name).get_by_text(re.compile("^(Colorized|Downloaded)$")).wait_for()
    entry(page, name).click()
    wait_until(lambda: page.locator("#stage video").evaluate("video => video.readyState") >= 2)


def test_the_line_of_a_film_is_dragged(browser, address, tmp_path):
    with open_page(browser, address) as page:
        page.set_input_files("#files", film(tmp_path))
        colorized_film(page, "old.mp4")
        page.locator("#divider").fill("50")
        line, video = (page.locator(name).bounding_box() for name in (".line", "#stage video"))
        page.mouse.move(line["x"] + line["width"] / 2, line["y"] + 20)
        page.mouse.down()
        page.mouse.move(video["x"] + video["width"] / 4, line["y"] + 20)
        page.mouse.up()
        assert float(page.locator("#divider").input_value()) == pytest.approx(25, abs=1)
        page.locator("#stage video").focus()
        page.keyboard.press("Space")
        wait_until(lambda: page.locator("#stage video").evaluate("video => video.currentTime") > 0)


def test_a_film_shows_its_progress_and_is_canceled(browser, address, tmp_path):
    with open_page(browser, address) as page:
        page.set_input_files("#files", film(tmp_path))
        colorized_film(page, "old.mp4")
        open_options(page)
        page.get_by_label("stochastic").check()
        page.get_by_label("Sampling steps").fill("1000")
        page.get_by_label("Inference size").fill("1024")
        page.get_by_label("Inference size").press("Tab")
        page.get_by_role("button", name="Colorize again").click()
        page.locator("#state").get_by_text(re.compile("0 of 1 s")).wait_for()
        page.get_by_role("progressbar", name="Progress").wait_for()
        check(page)
        page.get_by_role("button", name="Cancel").click()
        page.locator("#state").get_by_text("Colorized").wait_for()
        assert page.get_by_role("button", name="Colorize again").is_enabled()
        page.get_by_role("button", name="Colorize again").click()
        page.get_by_role("button", name="Remove", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        page.get_by_text("or drop them here").wait_for()


def test_films_and_photos_are_there_again_after_a_reload(browser, address, tmp_path):
    with open_page(browser, address, "phone") as page:
        add(page, ("one.png", photo()))
        page.set_input_files("#files", film(tmp_path))
        colorized(page, "one.png")
        colorized_film(page, "old.mp4")
        check(page)
        assert not page.locator("canvas.after").is_visible()
        wait_until(lambda: page.evaluate("localStorage.photochrom").count('"job"') == 2)
        page.reload()
        colorized_film(page, "old.mp4")
        colorized(page, "one.png")
        assert not page.locator("#stage video").is_visible()
        section(page, "Color hints")
        page.get_by_role("button", name="Place hints").wait_for()
        with page.expect_download() as event:
            page.get_by_role("button", name="Download all").click()
        names = zipfile.ZipFile(event.value.path()).namelist()
        assert {"old-color.mp4", "one-color.png"} <= set(names)


def test_a_film_that_the_browser_cannot_play_is_downloaded(browser, address, tmp_path):
    with open_page(browser, address) as page:
        page.route("**/film", lambda route: route.fulfill(body="no film", content_type="video/mp4"))
        page.set_input_files("#files", film(tmp_path))
        page.get_by_role("alert").get_by_text("This browser cannot play the film: download it.").wait_for()
        assert page.get_by_role("button", name="Download", exact=True).is_enabled()


def test_what_is_no_film_fails_with_a_reason(browser, address, tmp_path):
    console = ["415 (Unsupported Media Type)"]
    (tmp_path / "bad.mp4").write_bytes(b"hello")
    (tmp_path / "cut.mp4").write_bytes(film(tmp_path).read_bytes()[:64])
    with open_page(browser, address, console=console) as page:
        page.set_input_files("#files", [tmp_path / "bad.mp4", tmp_path / "cut.mp4"])
        page.get_by_role("alert").get_by_text("bad.mp4: is not a supported film; supported: .avi").wait_for()
        entry(page, "cut.mp4").get_by_text("Failed").wait_for()
        entry(page, "cut.mp4").click()
        page.get_by_role("alert").get_by_text("cut.mp4: cannot be read").wait_for()
        page.get_by_role("button", name="Remove all").click()
        page.get_by_text("or drop them here").wait_for()


def test_every_control_is_reached_by_keyboard(browser, address):
    with open_page(browser, address) as page:
        add(page, ("one.png", photo()))
        colorized(page, "one.png")
        reached = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count():
                reached.add(focused.get_attribute("id") or focused.get_attribute("name") or focused.inner_text())
        expected = {"files", "save", "keys", "stage", "divider", "original", "larger", "full", "saturation", "warmth"}
        assert expected | {"Model and variants", "Color hints", "format", "save-settings", "remove"} <= reached


def test_without_javascript_a_form_colorizes_a_photo(browser, address, bundle, tmp_path):
    (tmp_path / "one.png").write_bytes(photo())
    with open_address(browser, address, java_script_enabled=False, accept_downloads=True) as page:
        page.get_by_label("Photo", exact=True).set_input_files(tmp_path / "one.png")
        name, content = download(page, "Colorize")
        assert name == "one-color.png"
        assert content == Colorizer(bundle)(photo())


def test_the_description_of_the_interface(browser, address):
    with open_address(browser, address + "/docs") as page:
        page.get_by_text("POST /colorize").click()
        page.get_by_role("row", name="saturation 1 0 to 3 Color saturation").wait_for()
        check(page)
