"""Folders of photos and of two models, and a survey of them."""

import pytest
from images import NAMES, TINTS, write_image

from photochrom.survey.pictures import load_pictures
from photochrom.survey.session import Settings, Survey


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """The folders of the truth and of two models, in formats of their own."""
    root = tmp_path_factory.mktemp("survey")
    for (model, color), suffix in zip(TINTS.items(), (".jpg", ".png", ".webp"), strict=True):
        for name in NAMES:
            write_image(root / model / f"{name}{suffix}", color)
    return root


@pytest.fixture(scope="session")
def pictures(folders):
    return load_pictures(folders / "truth", [folders / "warm", folders / "cold"], lambda done, total: None)


@pytest.fixture
def open_survey(pictures, tmp_path):
    """A function that opens a survey of the pictures; its file is closed after the test."""
    surveys = []

    def open_one(path=tmp_path / "answers.jsonl", **settings):
        survey = Survey(pictures, Settings(**{"truth": True, "rank": False, "trials": 5, **settings}), path)
        surveys.append(survey)
        return survey

    yield open_one
    for survey in surveys:
        survey.file.close()
