"""Pictures, participants and the file of answers."""

import io
import json
import threading

import numpy as np
import pytest
import pyvips
from images import NAMES, SHAPE, write_image
from starlette.testclient import TestClient

from photochrom.core.color import rgb_to_lab
from photochrom.survey.answers import read_answers
from photochrom.survey.app import create_app, network_names
from photochrom.survey.pictures import load_pictures, tint
from photochrom.survey.plan import TINTED, TRUTH
from photochrom.survey.session import Reply, Settings, Survey


def reply(trial, choice="left", shown=2.0, marks=()):
    return Reply(trial, choice, shown, 1.5, 300, list(marks))


def answer_all(survey, participant, wrong_checks=False):
    for number, trial in enumerate(participant.trials):
        right = "right" if trial.left == TINTED else "left"
        wrong = "left" if trial.left == TINTED else "right"
        survey.answer(participant, reply(number, wrong if wrong_checks and trial.kind == "check" else right))


def load(truth, *folders):
    return load_pictures(truth, folders, lambda done, total: None)


def test_nothing_in_a_picture_tells_its_source(pictures):
    for name in (NAMES[0], NAMES[1]):
        heads = set()
        for source in (TRUTH, "warm", "cold", TINTED):
            jpeg = pictures.jpegs[name, source]
            assert b"Exif" not in jpeg
            assert b"photochrom" not in jpeg.lower()
            assert b"ICC_PROFILE" not in jpeg
            image = pyvips.Image.new_from_buffer(jpeg, "")
            assert (image.height, image.width) == SHAPE
            heads.add(jpeg[: jpeg.index(b"\xff\xc0") + 19])  # markers, quantization tables, size, subsampling
        assert len(heads) == 1


def test_tinted_pictures_are_violet_with_the_same_lightness():
    rng = np.random.default_rng(0)
    rgb = rng.uniform(0.1, 0.9, (3, 20, 30)).astype(np.float32)
    before, after = rgb_to_lab(rgb), rgb_to_lab(tint(rgb))
    assert np.abs(after[0] - before[0]).max() < 0.5
    assert after[1].mean() > 20
    assert after[2].mean() < -20


def test_pictures_are_shown_in_the_size_of_the_smallest(tmp_path):
    for index in range(3):
        write_image(tmp_path / f"truth/{index}.png", (90, 100, 120), (120, 160))
        write_image(tmp_path / f"model/{index}.png", (90, 100, 120), (30, 40))
    for jpeg in load(tmp_path / "truth", tmp_path / "model").jpegs.values():
        image = pyvips.Image.new_from_buffer(jpeg, "")
        assert (image.height, image.width) == (30, 40)


def test_images_that_do_not_match_are_refused(tmp_path, folders):
    write_image(tmp_path / "a/1.png", (9, 9, 9), (30, 40))
    write_image(tmp_path / "b/1.png", (9, 9, 9), (30, 30))
    with pytest.raises(
        ValueError, match=r"b/1.png: has 30 x 30 pixels, .*a/1.png 40 x 30: give images of the same photo"
    ):
        load(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ValueError, match="no image for"):
        load(folders / "truth", tmp_path / "b")
    with pytest.raises(ValueError, match="each folder needs a name of its own"):
        load(folders / "truth", folders / "warm", folders / "warm")


def test_answers_are_lines_that_are_complete_at_once(open_survey, tmp_path):
    survey = open_survey()
    participant = survey.join()
    for number in range(3):
        assert survey.answer(participant, reply(number, "left" if participant.trials[0].right == TINTED else "right"))
        lines = (tmp_path / "answers.jsonl").read_text().splitlines()
        assert len(lines) == number
    values = json.loads(lines[0])
    trial = participant.trials[1]
    assert (values["photo"], values["left"], values["right"]) == (trial.photo, trial.left, trial.right)
    assert (values["question"], values["seconds"], values["marks"]) == ("real", 2.0, [])
    assert not {"time", "date", "address", "name"} & values.keys()


def test_a_reply_that_is_sent_again_changes_nothing(open_survey):
    survey = open_survey()
    participant = survey.join()
    answer_all(survey, participant)
    answer_all(survey, participant)
    assert len(survey.file.answers) == 5
    with pytest.raises(ValueError, match="trial 6: the next one is 6"):
        survey.answer(participant, reply(6))


def test_a_wrong_practice_is_repeated(open_survey):
    survey = open_survey()
    participant = survey.join()
    wrong = "left" if participant.trials[0].left == TINTED else "right"
    assert not survey.answer(participant, reply(0, wrong))
    assert participant.next == 0
    assert survey.file.answers == []


@pytest.mark.parametrize(("shown", "late"), [(2.0, False), (2.2, False), (2.3, True), (0.4, False)])
def test_pictures_shown_too_long_are_marked(open_survey, shown, late):
    survey = open_survey()
    participant = survey.join()
    participant.done = 0
    survey.answer(participant, reply(1, shown=shown, marks=["paused"]))
    assert survey.file.answers[0].marks == (["paused", "late"] if late else ["paused"])


def test_a_survey_continues_after_it_was_stopped(open_survey, tmp_path):
    survey = open_survey()
    first, second = survey.join(), survey.join()
    answer_all(survey, first)
    survey.answer(second, reply(0, "left" if second.trials[0].right == TINTED else "right"))
    survey.answer(second, reply(1))
    survey.file.close()
    path = tmp_path / "answers.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])  # as an interrupted write leaves it
    again = open_survey()
    assert path.read_bytes() == whole
    assert again.participants[first.id].next == 6
    resumed = again.participants[second.id]
    assert (resumed.next, resumed.trials) == (2, second.trials)
    assert again.join().number == 2


def test_a_file_of_something_else_is_left_alone(open_survey, tmp_path):
    path = tmp_path / "answers.jsonl"
    for content in (b"notes", b"notes\n", b'{"survey": 1}\n', b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"answers.jsonl:1: not an answer of a survey"):
            open_survey()
        assert path.read_bytes() == content


def test_a_file_of_another_survey_or_in_use_is_refused(open_survey):
    survey = open_survey()
    answer_all(survey, survey.join())
    with pytest.raises(ValueError, match="another survey writes to it"):
        open_survey()
    survey.file.close()
    with pytest.raises(ValueError, match="other pictures or options"):
        open_survey(seed=1)


def test_a_full_disk_leaves_whole_lines(open_survey, tmp_path, monkeypatch):
    survey = open_survey()
    participant = survey.join()
    participant.done = 0
    survey.answer(participant, reply(1))
    before = (tmp_path / "answers.jsonl").read_bytes()

    class Full(io.RawIOBase):
        def __getattr__(self, name):
            return getattr(file, name)

        def fileno(self):
            return file.fileno()

        def write(self, line):
            return file.write(line[:10])

        def truncate(self, size):
            return file.truncate(size)

    file = survey.file.file
    monkeypatch.setattr(survey.file, "file", Full())
    with pytest.raises(OSError, match="no space left"):
        survey.answer(participant, reply(2))
    assert (tmp_path / "answers.jsonl").read_bytes() == before
    assert participant.next == 2
    monkeypatch.setattr(survey.file, "file", file)


def test_several_participants_answer_at_once(open_survey, tmp_path):
    survey = open_survey()
    people = [survey.join() for _ in range(8)]
    threads = [threading.Thread(target=answer_all, args=(survey, person)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = read_answers(tmp_path / "answers.jsonl")
    assert len({(answer.participant, answer.trial) for answer in answers}) == len(answers) == 40
    assert sorted(person.number for person in people) == list(range(8))


@pytest.fixture
def client(open_survey):
    with TestClient(create_app(open_survey(), "Please."), base_url="http://localhost") as client:
        yield client


def test_requests_of_the_page(client):
    assert client.get("/survey").json() == {"question": "real", "seconds": 2.0, "trials": 5, "consent": "Please."}
    state = client.post("/participants").json()
    assert (state["trial"], state["practice"], state["finished"]) == (0, True, False)
    base = f"/participants/{state['participant']}"
    picture = client.get(f"{base}/0/left")
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.headers["cache-control"] == "no-store"
    assert client.get(f"{base}/1/left").status_code == 404  # not yet
    body = {"trial": 0, "choice": "left", "shown": 1, "response": 1, "width": 9}
    first = client.post(f"{base}/replies", json=body).json()
    second = client.post(f"{base}/replies", json={**body, "choice": "right"}).json()
    assert [first["correct"], second["correct"]].count(True) >= 1
    assert client.get(base).json()["trial"] == 1
    assert client.get(f"{base}/0/left").status_code == 404  # no more
    assert client.post(f"{base}/replies", json={**body, "trial": 4}).status_code == 409
    assert client.get("/participants/nobody").status_code == 404
    for wrong in ({"choice": "both"}, {"shown": -1}, {"shown": float("1e9")}, {"marks": ["x"]}, {"width": 1e9}):
        assert client.post(f"{base}/replies", json={**body, **wrong}).status_code == 422


def test_responses_name_no_source_and_no_file(client):
    state = client.post("/participants")
    texts = [client.get(path).text for path in ("/survey", f"/participants/{state.json()['participant']}")]
    for text in [state.text, *texts]:
        for word in ("warm", "cold", "photo0", "tinted", "ground"):
            assert word not in text


def test_in_the_network_the_address_has_a_secret_and_hosts_are_checked(open_survey):
    app = create_app(open_survey(), "Please.", "secret", ["localhost", "box.local"])
    with TestClient(app, base_url="http://box.local") as client:
        assert client.get("/survey").status_code == 404
        assert client.get("/").status_code == 404
        assert client.get("/secret/survey").status_code == 200
        assert "Picture survey" in client.get("/secret/").text
        refusal = client.get("/secret/survey", headers={"host": "evil.example"})
        assert refusal.status_code == 400
        assert "--allow evil.example" in refusal.json()["detail"]


def test_names_of_addresses():
    assert network_names("127.0.0.1") == network_names("localhost") == []
    assert network_names("192.168.1.5") == ["192.168.1.5"]
    assert any(name.endswith(".local") for name in network_names("0.0.0.0"))


def test_too_few_photos_or_models_are_refused(folders, tmp_path):
    for index in range(2):
        write_image(tmp_path / f"few/{index}.png", (90, 100, 120))
        write_image(tmp_path / f"model/{index}.png", (90, 100, 120))
    with pytest.raises(ValueError, match="2 photos: a survey needs at least 3"):
        Survey(load(tmp_path / "few", tmp_path / "model"), Settings(truth=True, rank=False), tmp_path / "few.jsonl")
    with pytest.raises(ValueError, match="a ranking compares two or more models"):
        Survey(load(None, folders / "warm"), Settings(truth=False, rank=True), tmp_path / "few.jsonl")
    assert not (tmp_path / "few.jsonl").exists()
