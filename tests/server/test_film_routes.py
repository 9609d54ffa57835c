"""Films over the HTTP interface: results, progress, limits, and what is no film."""

import av
import numpy as np
import pytest
import pyvips

from films import RATE, luma, read, scene, write
from photochrom import Colorizer
from photochrom.imaging.films import has_film_header
from photochrom.inference.options import ColorOptions
from photochrom.server import routes, worker
from photochrom.server.limits import Limits
from photochrom.video.film import FilmOptions, colorize_film
from servers import client_of, wait_until

LUMAS = [*scene(1), *scene(2)]
SLOW = {"model": "stochastic", "size": 512, "steps": 1000}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    sound = (8000 * np.sin(np.arange(48000) / 10)).astype(np.int16)
    return write(tmp_path_factory.mktemp("film") / "old.mp4", LUMAS, sound=sound)


def submit(client, content, **parameters):
    response = client.post("/films", content=content, params=parameters)
    assert response.status_code == 202, response.text
    return response.json()


def finish(client, job):
    while job["state"] in ("queued", "working"):
        job = client.get(f"/films/{job['id']}", params={"wait": 20}).json()
    return job


def detail(response, status):
    assert response.status_code == status, response.text
    assert "Traceback" not in response.text
    return response.json()["detail"]


def folder_of(client, job):
    return client.app.state.jobs.get(job["id"]).request.folder


def test_a_film_has_the_pictures_of_the_python_api(client, bundle, path, tmp_path):
    job = finish(client, submit(client, path.read_bytes(), name="1936/old.avi", saturation=1.2))
    assert (job["state"], job["width"], job["height"], job["output"]) == ("done", 96, 64, "old-color.mp4")
    response = client.get(job["film"])
    assert response.headers["content-type"] == "video/mp4"
    assert 'filename="old-color.mp4"' in response.headers["content-disposition"]
    (tmp_path / "web.mp4").write_bytes(response.content)
    options = FilmOptions(ColorOptions(saturation=1.2))
    colorize_film(Colorizer(bundle), path, tmp_path / "api.mp4", options)
    ours, theirs = read(tmp_path / "web.mp4"), read(tmp_path / "api.mp4")
    assert len(ours) == len(theirs) == len(LUMAS)
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one.to_ndarray(), other.to_ndarray())
    assert abs(luma(ours[5]) - LUMAS[5]).mean() < 3
    with av.open(str(tmp_path / "web.mp4")) as film:
        assert film.streams.video[0].codec_context.name == "h264"
        assert len(film.streams.audio) == 1
    part = client.get(job["film"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, response.content[10:20])


def test_a_film_can_be_colorized_again_and_removed(client, path):
    job = finish(client, submit(client, path.read_bytes(), name="old.mp4"))
    again = finish(client, client.post(f"/films/{job['id']}/again", params={"saturation": 0}).json())
    assert (again["state"], again["name"]) == ("done", "old.mp4")
    assert client.get(again["film"]).content != client.get(job["film"]).content
    folders = [folder_of(client, each) for each in (job, again)]
    for each in (job, again):
        assert client.delete(f"/films/{each['id']}").status_code == 204
        assert "no such photo" in detail(client.get(f"/films/{each['id']}"), 404)
    assert not any(folder.exists() for folder in folders)


def test_the_progress_of_a_film(client, path):
    job = submit(client, path.read_bytes(), model="stochastic", size=512, steps=30)
    behind = submit(client, path.read_bytes())
    assert behind["ahead"] in (0, 1)
    seen = []
    while job["state"] in ("queued", "working"):
        seen.append((job["done"], job["whole"]))
        job = client.get(f"/films/{job['id']}", params={"wait": 20}).json()
    assert job["state"] == "done"
    assert seen == sorted(seen, key=lambda pair: pair[0])
    assert any(0 <= done < 1 and whole == pytest.approx(len(LUMAS) / RATE, abs=0.1) for done, whole in seen)
    assert finish(client, behind)["state"] == "done"


def test_a_film_that_is_canceled_leaves_nothing(client, path):
    job = submit(client, path.read_bytes(), **SLOW)
    wait_until(lambda: client.get(f"/films/{job['id']}").json()["state"] == "working")
    assert "not colorized yet" in detail(client.get(f"/films/{job['id']}/film"), 409)
    folder = folder_of(client, job)
    client.delete(f"/films/{job['id']}")
    wait_until(lambda: not folder.exists())


def test_photos_and_films_have_their_own_routes(client, path):
    film = finish(client, submit(client, path.read_bytes()))
    assert "this is a film" in detail(client.get(f"/jobs/{film['id']}"), 404)
    pixels = np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)
    photo = client.post("/jobs", content=pyvips.Image.new_from_array(pixels).write_to_buffer(".png")).json()
    assert "this is a photo" in detail(client.get(f"/films/{photo['id']}"), 404)
    assert "hint" in detail(client.post("/films?hint=1,1,%23ff0000", content=path.read_bytes()), 422)
    assert "variants" in detail(client.post("/films?variants=2", content=path.read_bytes()), 422)


def test_a_film_is_in_an_archive(client, path):
    film = finish(client, submit(client, path.read_bytes(), name="old.mp4"))
    response = client.get("/archive", params={"job": film["id"], "settings": True})
    assert b"old-color.mp4" in response.content
    assert b"old.mp4.json" in response.content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"\0\0\0\x1cftypavif" + bytes(40),
        b"\x89PNG\r\n\x1a\n" + bytes(40),
    ],
    ids=["empty", "text", "playlist", "list", "avif", "png"],
)
def test_other_files_are_refused(client, content):
    assert "film: is not a supported film; supported: .avi" in detail(client.post("/films", content=content), 415)
    assert "this is a form" in detail(client.post("/films", files={"film": content or b"x"}), 415)


@pytest.mark.parametrize("suffix", [".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm"])
def test_the_headers_of_films(tmp_path, suffix):
    codec = {".avi": "mpeg4", ".mpg": "mpeg2video", ".webm": "libvpx-vp9"}.get(suffix, "libx264")
    film = write(tmp_path / f"old{suffix}", LUMAS, codec=codec)
    assert has_film_header(film.read_bytes()[:64])


def test_a_damaged_film_fails_without_paths_of_the_server(client, path):
    job = finish(client, submit(client, path.read_bytes()[:64]))
    assert job["state"] == "failed"
    assert job["problem"].startswith("film: ")
    assert "/" not in job["problem"]
    assert detail(client.get(f"/films/{job['id']}/film"), 422) == job["problem"]


def test_limits_of_films(bundle, path):
    limits = Limits(film_seconds=0.5, upload_bytes=path.stat().st_size)
    with client_of([bundle], limits) as client:
        job = finish(client, submit(client, path.read_bytes()))
        assert "film: is longer than the limit of 0.5 seconds: colorize it with the command" in job["problem"]
        assert "the limit of 0.5" in detail(client.get(f"/films/{job['id']}/film"), 413)
        assert "film: is larger than the limit" in detail(client.post("/films", content=path.read_bytes() + b"0"), 413)


def test_a_film_over_the_time_limit_is_ended(stochastic_bundle, path):
    with client_of([stochastic_bundle], Limits(film_seconds=1)) as client:
        job = finish(client, submit(client, path.read_bytes(), **SLOW))
        assert "film: took longer than 10 seconds" in job["problem"]
        assert [file.name for file in folder_of(client, job).iterdir()] == [worker.UPLOAD]


def test_a_film_needs_space(bundle, path):
    with client_of([bundle], Limits(stored_bytes=worker.FILM_BYTES)) as client:
        job = finish(client, submit(client, path.read_bytes()))
        assert "film: no space for its outputs" in job["problem"]


def test_a_film_that_is_longer_or_larger_than_expected_ends(bundle, path, tmp_path, monkeypatch):
    (tmp_path / worker.UPLOAD).write_bytes(path.read_bytes())
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 0)
    request = worker.ColorizeRequest(tmp_path, str(bundle), ColorOptions(), suffix=".mp4", film_seconds=120)
    with monkeypatch.context() as patched:
        patched.setattr(worker, "FILM_BYTES", -worker.FILM_GROWTH * path.stat().st_size)
        *_, event = worker._colorize({}, request, 1, 10**8)
    assert event.status == 507
    assert "too large to be stored" in event.reason
    monkeypatch.setattr("photochrom.video.reading.Film.duration", None)
    short = worker.ColorizeRequest(tmp_path, str(bundle), ColorOptions(), suffix=".mp4", film_seconds=0.5)
    *_, event = worker._colorize({}, short, 1, 10**8)
    assert (event.status, "longer than the limit" in event.reason) == (413, True)


def test_without_the_extra_the_response_says_how_to_install_it(client, path, monkeypatch):
    monkeypatch.setattr(routes, "find_spec", lambda name: None)
    message = detail(client.post("/films", content=path.read_bytes()), 415)
    assert "this server is not installed for films: pip install" in message
    assert "[video]" in message
