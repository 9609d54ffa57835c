"""Color hints follow their place through the shot of their frame."""

import numpy as np
import pytest

from films import read, scene, write
from photochrom import PhotoError, colorize_video
from photochrom.core import color
from photochrom.inference.options import Hint
from photochrom.video.film import shots
from photochrom.video.hints import FilmHint, follow_hints
from photochrom.video.motion import MotionEstimator
from photochrom.video.reading import Film
from photochrom.video.shots import mark_cuts

SPEED = 3


@pytest.fixture
def film(tmp_path):
    lumas = [*scene(1, 16, 160, 96, SPEED), *scene(2, 16, 160, 96, SPEED)]
    with Film(write(tmp_path / "one.mkv", lumas, "ffv1")) as film:
        yield film


def marked(film):
    grays = ((frame.number, frame.luma.astype(np.float32) / 255) for frame in film.frames())
    return mark_cuts(grays, MotionEstimator())


def test_a_hint_moves_with_the_picture_to_the_ends_of_its_shot(film):
    places = follow_hints(film, [FilmHint(20, Hint(70, 50, (200, 30, 40)))], marked(film))
    assert sorted(places) == list(range(16, 32))
    for number, (hint,) in places.items():
        assert abs(hint.x - (70 - SPEED * (number - 20))) <= 3
        assert abs(hint.y - 50) <= 2
        assert hint.rgb == (200, 30, 40)
    assert not film.notes


def test_a_hint_ends_where_its_place_leaves_the_picture(film):
    places = follow_hints(film, [FilmHint(0, Hint(20, 50, (200, 30, 40)))], marked(film))
    assert 4 <= max(places) <= 9
    assert min(places) == 0
    assert film.notes == [f"hint 0,20,50,#c81e28: its place was followed from frame 0 to {max(places)} of its shot"]


@pytest.mark.parametrize(
    ("hint", "reason"),
    [("40,1,1,#ff0000", "after the last frame, 31"), ("1,160,1,#ff0000", "outside the frames, of 160 x 96 pixels")],
)
def test_hints_outside_the_film_are_refused(film, hint, reason):
    with pytest.raises(PhotoError, match=reason):
        follow_hints(film, [FilmHint.parse(hint)], marked(film))


@pytest.mark.parametrize("text", ["1,2,#ff0000", "a,1,2,#ff0000", "1,1,2,red", "-1,1,2,#ff0000"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="write it as"):
        FilmHint.parse(text)
    assert str(FilmHint.parse("7,1,2,#FF0000")) == "7,1,2,#ff0000"


def test_a_hint_holds_for_its_shot_alone(colorizer, film):
    plain = colorize_video(film.path, colorizer, output=film.path.with_name("plain.mkv"))
    made = colorize_video(film.path, colorizer, frame_hints=["24,80,48,#c01818"])

    def changes(number):
        colors = [read(path)[number].to_ndarray(format="rgb24").astype(float) for path in (plain.path, made.path)]
        lab = [color.rgb_to_lab(rgb.transpose(2, 0, 1) / 255) for rgb in colors]
        return np.hypot(*(lab[1] - lab[0])[1:])

    for number in (16, 24, 31):
        x = 80 - SPEED * (number - 24)
        assert changes(number)[44:53, x - 4 : x + 5].mean() > 20
    assert changes(10).mean() < 1
    assert "24,80,48,#c01818" in made.mark


def test_grading_keeps_the_color_of_a_hint(colorizer, film):
    from photochrom import ColorOptions

    hints = follow_hints(film, [FilmHint(4, Hint(80, 48, (180, 40, 40)))], marked(film))
    options = ColorOptions(saturation=0)
    first = next(shots(colorizer, film, film.frames(), options, MotionEstimator(), hints))
    for frame, ab in first:
        if frame.number == 4:
            height, width = ab.shape[1:]
            assert np.hypot(*ab[:, int(48.5 * height / 96), int(80.5 * width / 160)]) > 0.1
            assert np.hypot(*ab[:, 1, 1]) < 0.1
