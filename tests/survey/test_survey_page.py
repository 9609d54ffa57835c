"""The page of a survey in a browser: by keyboard, mouse and touch, on phones and large screens."""

from contextlib import contextmanager

import pytest

from browsing import launch_browser, needs_chromium, open_address
from photochrom.survey.answers import read_answers
from photochrom.survey.app import CONSENT, create_app
from photochrom.survey.plan import TINTED
from servers import serve_app_in_thread

pytestmark = needs_chromium
DESKTOP, PHONE, SMALLEST = (
    {"viewport": {"width": 1200, "height": 800}},
    {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
    {"viewport": {"width": 320, "height": 568}, "has_touch": True, "is_mobile": True},
)
KEYS = {"left": "ArrowLeft", "right": "ArrowRight"}
# The lowest contrast (WCAG 2.2) of the visible texts of the page with their background.
CONTRAST = """() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b]
    .map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(e).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const ratios = [...document.querySelectorAll("h1, p, button, b")]
    .filter((e) => e.checkVisibility() && e.innerText.trim())
    .map((e) => [luminance(parse(getComputedStyle(e).color)), luminance(background(e))])
    .map(([x, y]) => (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05));
  return Math.min(...ratios);
}"""


@pytest.fixture(scope="module")
def browser():
    with launch_browser() as browser:
        yield browser


@contextmanager
def open_page(browser, survey, device=DESKTOP, console=()):
    """The page of a survey, at the consent; nothing may be loaded from elsewhere."""
    addresses = []
    with (
        serve_app_in_thread(create_app(survey, CONSENT.read_text())) as address,
        open_address(browser, address, console, **device) as page,
    ):
        page.on("request", lambda request: addresses.append(request.url))
        page.get_by_role("button", name="I agree and take part").wait_for()
        yield page
    assert all(url.startswith(address) for url in addresses)


def press(page, name):
    page.get_by_role("button", name=name).click()


def phase(page, name):
    page.locator(f"#pair[data-phase={name}]").wait_for()


def number(page, text):
    page.locator("#number", has_text=text).wait_for()


def practice(page, survey):
    """Agree and pass the practice; returns the participant."""
    press(page, "I agree and take part")
    press(page, "Start the practice")
    phase(page, "shown")
    participant = list(survey.participants.values())[-1]
    page.keyboard.press(KEYS["left" if participant.trials[0].right == TINTED else "right"])
    page.get_by_role("heading", name="Well done").wait_for()
    press(page, "Start")
    return participant


def answers_of(survey):
    return read_answers(survey.path)


def test_a_participant_answers_by_keyboard(browser, open_survey):
    survey = open_survey(seconds=60)
    choices = ["left", "right", "right", "left", "right"]
    with open_page(browser, survey) as page:
        participant = practice(page, survey)
        for index, choice in enumerate(choices, 1):
            number(page, f"Trial {index} of 5")
            phase(page, "shown")
            page.keyboard.press(KEYS[choice])
        page.get_by_role("heading", name="Thank you").wait_for()
        page.get_by_text(participant.id).wait_for()
    answers = answers_of(survey)
    assert [answer.choice for answer in answers] == choices
    assert [(answer.photo, answer.left) for answer in answers] == [
        (trial.photo, trial.left) for trial in participant.trials[1:]
    ]
    for answer in answers:
        assert answer.marks == []
        assert 0 < answer.shown == answer.response < 60
        assert answer.width > 50


def test_pictures_are_masked_when_the_time_is_up(browser, open_survey):
    survey = open_survey(seconds=0.5)
    with open_page(browser, survey) as page:
        practice(page, survey)
        number(page, "Trial 1")
        phase(page, "masked")
        page.get_by_role("status").get_by_text("Time is up").wait_for()
        assert page.locator("#countdown").evaluate("bar => bar.value") == 0
        for cover in page.locator(".cover").all():
            assert cover.is_visible()
            frame, mask = cover.locator("xpath=..").bounding_box(), cover.bounding_box()
            assert mask == pytest.approx(frame)
            assert cover.evaluate("e => getComputedStyle(e).backgroundImage") != "none"
        press(page, "Right")
        number(page, "Trial 2")
    (answer,) = answers_of(survey)
    assert answer.choice == "right"
    assert 0.5 <= answer.shown <= answer.response
    assert ("late" in answer.marks) == (answer.shown > 0.75)


def test_the_countdown_runs_while_pictures_are_shown(browser, open_survey):
    survey = open_survey(seconds=60)
    with open_page(browser, survey) as page:
        practice(page, survey)
        phase(page, "shown")
        assert not any(cover.is_visible() for cover in page.locator(".cover").all())
        page.wait_for_function("document.querySelector('#countdown').value < 1")


def test_without_a_time_pictures_stay(browser, open_survey):
    survey = open_survey(seconds=0)
    with open_page(browser, survey) as page:
        practice(page, survey)
        phase(page, "shown")
        assert page.locator("#countdown").is_hidden()
        page.keyboard.press("ArrowUp")
        number(page, "Trial 2")
    assert answers_of(survey)[0].choice == "left"


@pytest.mark.parametrize("device", [PHONE, SMALLEST], ids=["phone", "smallest"])
def test_pictures_are_tapped_on_a_phone(browser, open_survey, device):
    survey = open_survey(seconds=60)
    with open_page(browser, survey, device) as page:
        width, height = device["viewport"].values()
        practice(page, survey)
        phase(page, "shown")
        upper, lower = [picture.bounding_box() for picture in page.locator(".frame img").all()]
        assert upper["y"] + upper["height"] < lower["y"]
        assert (upper["width"], upper["height"]) == (lower["width"], lower["height"])
        assert lower["y"] + lower["height"] < height
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_role("button", name="Lower").tap()
        number(page, "Trial 2")
    assert answers_of(survey)[0].choice == "right"


def test_a_reload_resumes(browser, open_survey):
    survey = open_survey(seconds=60)
    with open_page(browser, survey) as page:
        participant = practice(page, survey)
        for index in (1, 2):
            number(page, f"Trial {index}")
            phase(page, "shown")
            page.keyboard.press("ArrowLeft")
        number(page, "Trial 3")
        phase(page, "shown")
        page.reload()
        page.get_by_text("You go on with trial 3 of 5").wait_for()
        press(page, "Continue")
        for index in (3, 4):
            number(page, f"Trial {index}")
            phase(page, "shown")
            page.keyboard.press("ArrowLeft")
        number(page, "Trial 5")
    answers = answers_of(survey)
    assert {answer.participant for answer in answers} == {participant.id}
    assert [answer.marks for answer in answers] == [[], [], ["repeated"], []]


def test_a_pause_masks_the_pictures_and_is_marked(browser, open_survey):
    survey = open_survey(seconds=60)
    with open_page(browser, survey) as page:
        practice(page, survey)
        phase(page, "shown")
        page.keyboard.press("Escape")
        page.get_by_role("heading", name="Pause").wait_for()
        assert page.locator("#trial").is_hidden()
        page.keyboard.press("ArrowLeft")  # does nothing
        press(page, "Continue")
        phase(page, "shown")
        press(page, "Pause")
        press(page, "Continue")
        phase(page, "shown")
        press(page, "Left")
        number(page, "Trial 2")
    assert [answer.marks for answer in answers_of(survey)] == [["paused"]]


def test_a_hidden_page_pauses(browser, open_survey):
    survey = open_survey(seconds=60)
    with open_page(browser, survey) as page:
        practice(page, survey)
        phase(page, "shown")
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.get_by_role("heading", name="Pause").wait_for()


def test_a_wrong_practice_is_explained_and_repeated(browser, open_survey):
    survey = open_survey(seconds=60)
    with open_page(browser, survey) as page:
        press(page, "I agree and take part")
        press(page, "Start the practice")
        phase(page, "shown")
        (participant,) = survey.participants.values()
        page.keyboard.press(KEYS["left" if participant.trials[0].left == TINTED else "right"])
        page.get_by_text("You chose the tinted picture").wait_for()
        press(page, "Try again")
        page.get_by_role("button", name="Start the practice").wait_for()


def test_several_participants_use_one_browser(browser, open_survey):
    survey = open_survey(seconds=60, trials=2)
    with open_page(browser, survey) as page:
        for _ in range(2):
            practice(page, survey)
            for index in (1, 2):
                number(page, f"Trial {index}")
                phase(page, "shown")
                page.keyboard.press("ArrowLeft")
            press(page, "Start for another participant")
            page.get_by_role("button", name="I agree and take part").wait_for()
    assert [answer.number for answer in answers_of(survey)] == [0, 0, 1, 1]


def test_an_answer_that_is_not_received_is_sent_again(browser, open_survey):
    survey = open_survey(seconds=60)
    with open_page(browser, survey, console=["ERR_CONNECTION_REFUSED"]) as page:
        practice(page, survey)
        phase(page, "shown")
        page.route("**/replies", lambda route: route.abort("connectionrefused"), times=1)
        page.keyboard.press("ArrowLeft")
        page.get_by_role("alert").get_by_text("The server does not respond").wait_for()
        press(page, "Try again")
        number(page, "Trial 2")
    assert len(answers_of(survey)) == 1


@pytest.mark.parametrize("answered", [True, False])
def test_an_open_page_goes_on_after_the_server_was_restarted(browser, open_survey, answered):
    survey = open_survey(seconds=60)
    with browser.new_context() as context:
        page = context.new_page()
        with serve_app_in_thread(create_app(survey, "Please.")) as address:
            page.goto(address)
            participant = practice(page, survey)
            if answered:
                phase(page, "shown")
                page.keyboard.press("ArrowLeft")
                number(page, "Trial 2")
            phase(page, "shown")
        survey.file.close()
        again = open_survey(seconds=60)
        with serve_app_in_thread(create_app(again, "Please."), int(address.rpartition(":")[2])):
            page.keyboard.press("ArrowRight")
            if answered:
                number(page, "Trial 3")
                assert [answer.participant for answer in answers_of(again)] == [participant.id] * 2
            else:  # the server knows only those who gave an answer
                page.get_by_role("button", name="I agree and take part").wait_for()


def test_a_trial_that_was_answered_in_another_tab_is_passed_over(browser, open_survey):
    survey = open_survey(seconds=60)

    def overtake(route):
        participant.done = 4
        route.continue_()

    with open_page(browser, survey, console=["404", "404"]) as page:
        participant = practice(page, survey)
        number(page, "Trial 1")
        phase(page, "shown")
        participant.done = 1  # as a duplicate of the tab does
        page.keyboard.press("ArrowLeft")
        number(page, "Trial 2")
        phase(page, "shown")
        page.route("**/3/*", overtake)
        page.keyboard.press("ArrowLeft")
        page.get_by_text("You go on with trial 5 of 5").wait_for()
    assert [answer.trial for answer in answers_of(survey)] == [2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast_and_names(browser, open_survey, scheme):
    survey = open_survey(seconds=60, trials=2)
    with open_page(browser, survey, {**SMALLEST, "color_scheme": scheme, "reduced_motion": "reduce"}) as page:

        def check():
            assert page.evaluate(CONTRAST) >= 4.5
            assert page.evaluate("document.documentElement.scrollWidth") <= 320
            assert page.evaluate("document.activeElement.tagName") == "H1"
            assert page.evaluate("document.getAnimations().length") == 0

        check()
        practice(page, survey)
        phase(page, "shown")
        check()
        snapshot = page.locator("body").aria_snapshot()
        for part in (
            'heading "Which picture has the colors of the camera?" [level=1]',
            'progressbar "Trial 1 of 2"',
            'button "Upper"',
            'button "Lower"',
            'button "Pause"',
            'progressbar "Time left"',
        ):
            assert part in snapshot, snapshot
        for index in (1, 2):
            number(page, f"Trial {index}")
            phase(page, "shown")
            page.keyboard.press("ArrowLeft")
        page.get_by_role("heading", name="Thank you").wait_for()
        check()


def test_every_control_is_reached_by_keyboard(browser, open_survey):
    with open_page(browser, open_survey(seconds=0)) as page:
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Start the practice").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        phase(page, "shown")
        names = []
        for _ in range(6):
            page.keyboard.press("Tab")
            names.append(page.locator(":focus").inner_text() if page.locator(":focus").count() else "")
        assert {"← Left", "Right →", "Pause"} <= set(names)
