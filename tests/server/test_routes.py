"""The HTTP interface: results, error messages, limits, security, and the deletion of photos."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

import anyio
import httpx
import numpy as np
import pytest
import pyvips
import uvicorn
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from photochrom import Colorizer
from photochrom.imaging.formats import WRITABLE
from photochrom.imaging.notes import NO_ATTACHMENTS
from photochrom.inference.options import LIMITS, MAX_HINTS, Hint
from photochrom.inference.settings import read_settings
from photochrom.server import app, middleware, routes, run, uploads
from photochrom.server.app import create_app, load_models
from photochrom.server.jobs import URGENT_LEAD
from photochrom.server.limits import Limits
from photochrom.server.middleware import BURST_SECONDS, HEADERS, RateLimit
from photochrom.server.run import MAX_CONNECTIONS
from servers import TIMEOUT, client_of, get, post, serve_in_thread, wait_until

CLASSIFY = Path(__file__).parents[2] / "photochrom-models/src/photochrom_models/classify.zip"
RAMP = np.linspace(20, 235, 48 * 64).reshape(48, 64)


def encode(suffix=".png", deep=False):
    pixels = (RAMP * 257).astype(np.uint16) if deep else RAMP.astype(np.uint8)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="grey16" if deep else "b-w")
    return image.write_to_buffer(suffix)


PHOTO = encode()


def server_jobs(client):
    return client.app.state.jobs


def folder_of(client, job):
    return server_jobs(client).get(job["id"]).request.folder


def submit(client, content=PHOTO, **parameters):
    response = client.post("/jobs", content=content, params=parameters)
    assert response.status_code == 202, response.text
    return response.json()


def wait_for_job(client, job):
    def ended():
        job.update(client.get(f"/jobs/{job['id']}").json())
        return job["state"] in ("done", "failed")

    wait_until(ended)
    return job


def detail(response, status):
    assert response.status_code == status, response.text
    assert "Traceback" not in response.text
    return response.json()["detail"]


@pytest.mark.parametrize(("suffix", "deep"), [(".jpg", False), (".png", False), (".png", True), (".tif", True)])
def test_colorize_returns_the_bytes_of_the_python_api(client, bundle, suffix, deep):
    photo = encode(suffix, deep)
    parameters = {"saturation": 1.2, "hint": ["5,5,#c03020", "60,40,#2030c0"]}
    response = client.post("/colorize", content=photo, params=parameters)
    hints = [Hint(5, 5, (0xC0, 0x30, 0x20)), Hint(60, 40, (0x20, 0x30, 0xC0))]
    assert response.content == Colorizer(bundle)(photo, saturation=1.2, hints=hints)
    assert response.headers["content-type"] == {".jpg": "image/jpeg", ".png": "image/png", ".tif": "image/tiff"}[suffix]
    assert pyvips.Image.new_from_buffer(response.content, "").format == ("ushort" if deep else "uchar")


def test_every_format_that_is_written_has_a_media_type():
    assert set(routes.MEDIA_TYPES) == set(WRITABLE)
    assert set(routes.MEDIA_TYPES.values()) == {f"image/{kind}" for kind in ("jpeg", "png", "tiff", "webp", "avif")}


def test_seed_and_steps_decide_the_colors(client, stochastic_bundle):
    parameters = {"model": "stochastic", "seed": 5, "steps": 2}
    response = client.post("/colorize", content=PHOTO, params=parameters)
    assert response.content == Colorizer(stochastic_bundle, steps=2)(PHOTO, seed=5)


def test_strength_is_accepted_as_saturation(client, bundle):
    response = client.post("/colorize", content=PHOTO, params={"strength": 0.5})
    assert response.content == Colorizer(bundle)(PHOTO, saturation=0.5)
    assert "strength" not in client.get("/openapi.json").text


def test_colorize_keeps_no_files(client):
    client.post("/colorize", content=PHOTO)
    client.post("/colorize", content=PHOTO[:200])
    client.post("/colorize", content=b"no photo")
    wait_until(lambda: not list(server_jobs(client).folder.iterdir()))


def test_a_job_with_variants(client, stochastic_bundle):
    job = wait_for_job(client, submit(client, model="stochastic", variants=3, seed=7, name="grandmother.png"))
    assert (job["state"], job["width"], job["height"], job["seeds"]) == ("done", 64, 48, [7, 8, 9])
    assert [output["name"] for output in job["copies"]] == [f"grandmother-color-{seed}.png" for seed in (7, 8, 9)]
    photos = [client.get(output["photo"]).content for output in job["copies"]]
    assert photos == [Colorizer(stochastic_bundle)(PHOTO, seed=seed) for seed in (7, 8, 9)]
    preview = client.get(job["before"])
    assert preview.headers["content-type"] == "image/jpeg"
    assert pyvips.Image.new_from_buffer(preview.content, "").width == 64
    response = client.get("/archive", params={"job": [job["id"], job["id"]]})
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert len(set(archive.namelist())) == 6
        assert archive.read("grandmother-color-8.png") == photos[1]
    folder = folder_of(client, job)
    assert folder.exists()
    assert client.delete(f"/jobs/{job['id']}").status_code == 204
    assert not folder.exists()
    assert "removed" in detail(client.get(job["before"]), 404)


def test_a_job_says_what_was_left_out(client):
    pages = pyvips.Image.new_from_array(np.concatenate([RAMP, RAMP]).astype(np.uint8)).copy(interpretation="b-w")
    pages.set_type(pyvips.GValue.gint_type, "page-height", 48)
    job = wait_for_job(client, submit(client, pages.tiffsave_buffer()))
    assert job["notes"] == ["1 more page was left out"]  # there is no --page here
    job = wait_for_job(client, submit(client, encode(".jpg") + b"a video", model="stochastic", variants=2))
    assert job["notes"] == [NO_ATTACHMENTS]
    assert wait_for_job(client, submit(client))["notes"] == []


def test_a_page_can_be_chosen(client, bundle):
    pages = pyvips.Image.new_from_array(np.concatenate([RAMP, 255 - RAMP]).astype(np.uint8))
    content = pages.tiffsave_buffer(page_height=48)
    response = client.post("/colorize", content=content, params={"page": 2})
    assert response.content == Colorizer(bundle)(content, page=2)
    job = wait_for_job(client, submit(client, content))
    again = wait_for_job(client, client.post(f"/jobs/{job['id']}/again", params={"page": 2}).json())
    assert client.get(again["copies"][0]["photo"]).content == response.content
    assert "page 3" in detail(client.post("/colorize", content=content, params={"page": 3}), 422)


def test_a_response_says_what_was_left_out(client):
    for content, notes in ((PHOTO, []), (encode(".jpg") + b"a video", [NO_ATTACHMENTS])):
        response = client.post("/colorize", content=content)
        assert json.loads(response.headers["photochrom-notes"]) == notes


@pytest.mark.parametrize("route", ["/colorize", "/jobs"])
def test_a_seed_needs_a_stochastic_model(client, route):
    parameters = {"model": "two-colors", "seed": 7}
    reason = detail(client.post(route, content=PHOTO, params=parameters), 422)
    assert reason == "two-colors is deterministic; seed needs a stochastic model, for example classify"


def test_a_photo_on_the_server_is_colorized_again(client, bundle):
    job = wait_for_job(client, submit(client, name="one.png"))
    response = client.post(f"/jobs/{job['id']}/again", params={"saturation": 0.4})
    other = wait_for_job(client, response.json())
    assert other["id"] != job["id"]
    assert other["name"] == "one.png"
    assert client.get(other["copies"][0]["photo"]).content == Colorizer(bundle)(PHOTO, saturation=0.4)
    client.delete(f"/jobs/{job['id']}")
    assert client.get(other["copies"][0]["photo"]).status_code == 200
    client.delete(f"/jobs/{other['id']}")


def test_a_draft_has_color_maps_and_no_outputs(client, bundle):
    job = wait_for_job(client, submit(client, draft=True, preview=64, saturation=1.5))
    (answer,) = job["copies"]
    assert answer["photo"] is None
    assert "is a draft, without outputs" in detail(client.get(f"/jobs/{job['id']}/photo/0"), 409)
    assert detail(client.get("/archive", params={"job": job["id"]}), 409) == "no photo is colorized yet"
    colors = answer["colors"]
    stored = np.frombuffer(client.get(colors["address"]).content, "<i2").reshape(2, colors["height"], colors["width"])
    (result,) = Colorizer(bundle).variants(PHOTO, saturation=1.5)
    np.testing.assert_allclose(stored / 64, result.ab * 110, atol=0.01)
    again = wait_for_job(client, client.post(f"/jobs/{job['id']}/again", params={"saturation": 1.5}).json())
    assert client.get(again["copies"][0]["photo"]).content == Colorizer(bundle)(PHOTO, saturation=1.5)


def test_a_draft_of_black_and_white_alone_says_so(client):
    scan = (pyvips.Image.new_from_array(RAMP).cast("uchar") > 128).copy(interpretation="b-w").pngsave_buffer(bitdepth=1)
    for draft in (True, False):
        job = wait_for_job(client, submit(client, scan, draft=draft))
        assert any("black and white alone" in note for note in job["notes"])


def test_previews_have_the_size_that_is_asked_for(client):
    large = pyvips.Image.new_from_array(np.tile(RAMP, (40, 40)).astype(np.uint8)).jpegsave_buffer()
    job = wait_for_job(client, submit(client, large, draft=True))
    for size, params in ((1600, {}), (300, {"preview": 300}), (2560, {"preview": 8192})):
        other = wait_for_job(client, client.post(f"/jobs/{job['id']}/again", params={"draft": True, **params}).json())
        assert pyvips.Image.new_from_buffer(client.get(other["before"]).content, "").width == size


def test_the_format_of_outputs(client, bundle):
    job = wait_for_job(client, submit(client, name="one.png", format="jpg"))
    assert job["copies"][0]["name"] == "one-color.jpg"
    response = client.get(job["copies"][0]["photo"])
    assert response.headers["content-type"] == "image/jpeg"
    (result,) = Colorizer(bundle).variants(PHOTO)
    assert response.content == result.to_bytes(".jpg")
    assert "format bmp: choose one of avif, jpg" in detail(client.post("/jobs?format=bmp", content=PHOTO), 422)


def test_a_client_waits_for_news_of_a_job(client):
    job = submit(client, model="stochastic", variants=3, steps=30)
    seen = set()
    while job["state"] in ("queued", "working"):
        seen.add((job["state"], len(job["copies"])))
        job = client.get(f"/jobs/{job['id']}", params={"wait": 30}).json()
    assert job["state"] == "done"
    assert client.get(f"/jobs/{job['id']}", params={"wait": 30}).json() == job
    assert "less than or equal to 30" in detail(client.get(f"/jobs/{job['id']}", params={"wait": 31}), 422)


def test_likely_colors(bundle):
    with client_of([bundle, CLASSIFY]) as client:
        job = wait_for_job(client, submit(client))
        likely = client.post(f"/jobs/{job['id']}/likely", params={"x": 40, "y": 20}).json()
        shares = [color["probability"] for color in likely]
        assert shares == sorted(shares, reverse=True)
        assert 0.3 < sum(shares) <= 1 + 1e-6
        gray = Colorizer(bundle)(RAMP.astype(np.uint8), saturation=0)[20, 40]
        for color in likely:
            rgb = np.array([[list(bytes.fromhex(color["color"][1:]))]], np.uint8)
            assert rgb2lab(rgb)[0, 0, 0] == pytest.approx(rgb2lab(gray[None, None])[0, 0, 0], abs=3)
        assert len(server_jobs(client).jobs) == 1
        for place in ({"x": 64, "y": 0}, {"x": 0, "y": 48}):
            assert "is outside the photo" in detail(client.post(f"/jobs/{job['id']}/likely", params=place), 422)
        other = {"x": 0, "y": 0, "model": "two-colors"}
        assert "no model 'two-colors' that knows" in detail(client.post(f"/jobs/{job['id']}/likely", params=other), 404)


def test_without_a_distribution_no_color_is_likely(client):
    job = wait_for_job(client, submit(client))
    assert "no model '' that knows" in detail(client.post(f"/jobs/{job['id']}/likely", params={"x": 0, "y": 0}), 404)


def test_a_form_gets_the_photo_or_a_page_that_says_why_not(client, bundle):
    before = set(server_jobs(client).jobs)
    response = client.post("/form", files={"photo": ("grand<b>.png", PHOTO)})
    assert response.content == Colorizer(bundle)(PHOTO)
    assert 'filename="grandb-color.png"' in response.headers["content-disposition"]
    for files, status, reason in (
        ({"photo": ("a.png", b"hello")}, 415, "is not a supported image"),
        ({"other": ("a.png", PHOTO)}, 422, "choose a file"),
        ({"photo": ("a.jpg", encode(".jpg")[:300])}, 422, "the JPEG is cut short"),
    ):
        response = client.post("/form", files=files)
        assert response.status_code == status
        assert response.headers["content-type"].startswith("text/html")
        assert reason in response.text
    assert client.post("/form", content=PHOTO).status_code == 415
    wait_until(lambda: set(server_jobs(client).jobs) == before)


def test_a_form_is_limited_whatever_its_length_says(bundle):
    boundary = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'

    def parts():
        yield boundary
        for _ in range(100):
            yield bytes(1000)

    headers = {"Content-Type": "multipart/form-data; boundary=x", "Transfer-Encoding": "chunked"}
    with client_of([bundle], Limits(upload_bytes=20_000)) as client:
        response = client.post("/form", content=parts(), headers=headers)
        assert response.status_code == 413
        assert "larger than the limit" in response.text


def test_head_has_the_headers_of_get(address):
    for path in ("/health", "/", "/page.js"):
        whole, head = (httpx.request(method, f"{address}{path}", timeout=TIMEOUT) for method in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"]


def test_a_token_is_asked_for(bundle):
    app = create_app(load_models([bundle]), Limits(), token="secret")
    with TestClient(app, base_url="http://192.0.2.7:8000") as client:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic secret"},
            {"Cookie": "photochrom-8000=x"},
        ):
            response = client.get("/health", headers=headers)
            assert "asks for a token" in detail(response, 401)
            assert "set-cookie" not in response.headers
        assert detail(client.get("/health?token=wrong"), 401)
        assert client.get("/health", headers={"Authorization": "bearer secret"}).status_code == 200
        response = client.get("/?token=secret")
        assert response.headers["set-cookie"] == "photochrom-8000=secret; Path=/; HttpOnly; SameSite=Strict"
        assert client.get("/health").status_code == 200  # the client keeps the cookie
        response = client.get("/", headers={"Accept": "text/html", "Cookie": ""})
        assert (response.status_code, "<form" in response.text) == (401, True)
        elsewhere = {"Origin": "http://example.org"}
        assert client.post("/jobs", content=PHOTO, headers=elsewhere).status_code == 403


def test_what_a_model_can_do_depends_on_its_sampler():
    cold = CLASSIFY.parent / "cold.zip"
    with client_of([CLASSIFY, cold]) as client:
        classify, other = client.get("/models").json()[:2]
        assert {name: solver["stochastic"] for name, solver in classify["solvers"].items()} == {
            "mean": False,
            "sample": True,
        }
        assert other["options"] == other["solvers"]["one-shot"]["options"] == ["solver"]
        assert other["solvers"]["improved"]["options"] == ["steps", "solver"]
        again = {"model": "classify", "solver": "mean", "seed": 3}
        assert "classify is deterministic" in detail(client.post("/jobs", content=PHOTO, params=again), 422)
        steps = {"model": other["name"], "solver": "improved", "steps": 3}
        assert wait_for_job(client, submit(client, **steps))["state"] == "done"
        steps["solver"] = "one-shot"
        reason = detail(client.post("/jobs", content=PHOTO, params=steps), 422)
        assert reason == f"steps: not supported by {other['name']}; choose another sampler than one-shot"
        unknown = wait_for_job(client, submit(client, model="classify", solver="none"))
        assert "choose one of mean, sample" in unknown["problem"]


@pytest.mark.parametrize(("client_address", "is_limited"), [("192.0.2.1", True), ("127.0.0.1", False)])
def test_requests_of_one_client_are_limited(bundle, client_address, is_limited):
    app = create_app(load_models([bundle]), Limits(requests=0.1), token="secret")
    with TestClient(app, base_url="http://192.0.2.7:8000", client=(client_address, 5)) as client:
        statuses = [client.get("/health?token=wrong").status_code for _ in range(5)]
        assert statuses == ([401, 401, 429, 429, 429] if is_limited else [401] * 5)
        response = client.get("/health?token=secret")
        assert response.status_code == (429 if is_limited else 200)
        assert not is_limited or response.headers["retry-after"] == "1"


@given(st.lists(st.floats(0, 30), max_size=200), st.floats(0.1, 10))
def test_a_rate_limit_over_time(pauses, rate):
    """In any time, a client sends no more than its rate and a burst; one that keeps the rate is never refused."""
    now = 0.0
    limit = RateLimit(rate, lambda: now)
    allowed = []
    for pause in pauses:
        now += pause
        if limit.allows("client"):
            allowed.append(now)
    for index, start in enumerate(allowed):
        for count, end in enumerate(allowed[index:], 1):
            assert count <= rate * (end - start + BURST_SECONDS) + 1e-6
    for _ in range(100):
        now += 1 / rate
        assert limit.allows("steady")


@pytest.mark.parametrize(("client_address", "share"), [("192.0.2.1", 2), ("127.0.0.1", 8)])
def test_one_client_takes_a_part_of_the_queue(stochastic_bundle, client_address, share):
    app = create_app(load_models([stochastic_bundle]), Limits(queued=8))
    with TestClient(app, base_url="http://localhost", client=(client_address, 5)) as client:
        slow = submit(client, size=2048, steps=1000)
        wait_until(lambda: client.get(f"/jobs/{slow['id']}").json()["state"] == "working")
        for _ in range(share):
            submit(client)
        assert "waiting already" in detail(client.post("/jobs", content=PHOTO), 429)


def test_a_click_is_answered_before_photos_that_wait(stochastic_bundle):
    with client_of([stochastic_bundle]) as client:
        job = wait_for_job(client, submit(client))
        slow = submit(client, size=2048, steps=1000)
        wait_until(lambda: client.get(f"/jobs/{slow['id']}").json()["state"] == "working")
        waiting = [submit(client) for _ in range(3)]
        click = client.post(f"/jobs/{job['id']}/again", params={"draft": True}).json()
        assert click["ahead"] == 0
        assert client.get(f"/jobs/{waiting[0]['id']}").json()["ahead"] == 1
        client.delete(f"/jobs/{slow['id']}")
        wait_for_job(client, click)


def test_many_clicks_do_not_hold_up_photos_that_wait(stochastic_bundle):
    with client_of([stochastic_bundle]) as client:
        job = wait_for_job(client, submit(client))
        slow = submit(client, size=2048, steps=1000)
        wait_until(lambda: client.get(f"/jobs/{slow['id']}").json()["state"] == "working")
        photo = submit(client)
        for _ in range(3 * URGENT_LEAD):
            assert client.post(f"/jobs/{job['id']}/again", params={"draft": True}).status_code == 202
        assert client.get(f"/jobs/{photo['id']}").json()["ahead"] < URGENT_LEAD
        client.delete(f"/jobs/{slow['id']}")
        wait_for_job(client, photo)


def test_a_slow_upload_is_ended(bundle, monkeypatch):
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(uploads, "MIN_BYTES", 1 << 20)
    monkeypatch.setattr(middleware, "DRAIN_SECONDS", 0.2)
    with serve_in_thread([bundle]) as url, socket.create_connection(socket_address(url)) as connection:
        connection.sendall(b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        connection.settimeout(0.1)
        answer = b""
        while not answer:
            with suppress(TimeoutError):
                connection.sendall(b"\xff")
                answer = connection.recv(4096)
        assert b" 408 " in answer


def test_a_connection_without_a_request_is_closed(bundle, monkeypatch):
    monkeypatch.setattr(run, "REQUEST_SECONDS", 0.2)
    app = create_app(load_models([bundle]), Limits())
    listener = run.listen(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=run._Protocol, timeout_keep_alive=1000))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    whole, part = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /hea"
    try:
        for sent in (b"", part, whole + part):
            with socket.create_connection(listener.getsockname(), timeout=TIMEOUT) as connection:
                connection.sendall(sent)
                while connection.recv(1 << 16):
                    pass
    finally:
        server.should_exit = True
        thread.join()


def test_models_health_and_limits(client):
    first, second = client.get("/models").json()
    assert (first["name"], first["stochastic"], first["options"]) == ("two-colors", False, [])
    assert (second["name"], second["stochastic"], second["options"]) == ("stochastic", True, ["steps", "solver", "eta"])
    assert client.get("/health").json()["status"] == "ok"
    limits = client.get("/limits").json()
    for name in ("saturation", "size", "seed", "variants", "steps", "temperature"):
        assert tuple(limits[name]) == LIMITS[name]
    assert limits["hint"] == [0, MAX_HINTS]


def test_other_files_are_refused(client):
    assert "this is a form" in detail(client.post("/jobs", files={"photo": PHOTO}), 415)
    assert "photo: is not a supported image; supported: JPEG" in detail(client.post("/jobs", content=b"hello"), 415)
    assert "is empty" in detail(client.post("/colorize"), 415)
    damaged = encode(".jpg")[:300]
    job = wait_for_job(client, submit(client, damaged))
    assert job["state"] == "failed"
    assert job["problem"] == "photo: cannot be read (the JPEG is cut short)"
    assert "no photo is colorized" in detail(client.get("/archive", params={"job": job["id"]}), 409)
    assert "not available" in detail(client.get(f"/jobs/{job['id']}/photo/0"), 409)
    assert "this job has the seeds 0" in detail(client.get(f"/jobs/{job['id']}/photo/1"), 404)
    assert "cut short" in detail(client.post("/colorize", content=damaged), 422)


@pytest.mark.parametrize(
    ("parameters", "status", "reason"),
    [
        ({"model": "palette"}, 404, "no model 'palette': choose one of two-colors, stochastic"),
        ({"steps": 5}, 422, "steps: not supported by two-colors"),
        ({"variants": 2}, 422, "two-colors is deterministic; variants needs"),
        ({"variants": LIMITS["variants"][1] + 1, "model": "stochastic"}, 422, "variants '101': "),
        (
            {"variants": 2, "seed": LIMITS["seed"][1], "model": "stochastic"},
            422,
            "seed 9007199254740991: with 2 variants",
        ),
        ({"saturation": "nan"}, 422, "saturation 'nan': "),
        ({"saturation": "inf"}, 422, "saturation 'inf': "),
        ({"saturation": -1}, 422, "saturation '-1': "),
        ({"seed": -1}, 422, "seed '-1': "),
        ({"hint": "5,5,red"}, 422, "hint '5,5,red': write it as x,y,#rrggbb"),
        (
            {"url": "http://example.org/old.jpg"},
            422,
            "url 'http://example.org/old.jpg': Extra inputs are not permitted",
        ),
    ],
)
def test_invalid_parameters_are_refused(client, parameters, status, reason):
    assert reason in detail(client.post("/jobs", content=PHOTO, params=parameters), status)


def test_a_hint_outside_the_photo_is_refused(client):
    response = client.post("/colorize", content=PHOTO, params={"hint": "64,5,#c03020"})
    reason = detail(response, 422)
    assert "hint at 64,5 is outside the photo" in reason
    assert "64 x 48 pixels" in reason
    response = client.post("/colorize", content=PHOTO, params={"model": "stochastic", "steps": 1000, "seed": 1})
    assert response.status_code == 200


def test_large_photos_are_refused(bundle):
    with client_of([bundle], Limits(upload_bytes=2000, pixels=1000)) as client:
        assert "larger than the limit of 0 MB" in detail(client.post("/jobs", content=b"\xff" * 3000), 413)
        parts = iter([b"\xff" * 1500] * 2)  # sent without a length
        assert "larger than the limit of 0 MB" in detail(client.post("/jobs", content=parts), 413)
        assert "64 x 48 pixels" in detail(client.post("/colorize", content=PHOTO), 413)
        assert list(server_jobs(client).folder.iterdir()) == []


def test_waiting_photos_are_limited(bundle):
    with client_of([bundle], Limits(queued=0)) as client:
        response = client.post("/jobs", content=PHOTO)
        assert "0 photos are waiting already" in detail(response, 429)
        assert int(response.headers["retry-after"]) > 0


def test_stored_bytes_are_limited(bundle):
    with client_of([bundle], Limits(stored_bytes=60_000)) as client:
        job = submit(client)
        wait_for_job(client, job)
        assert job["state"] == "done"
        for _ in range(100):
            response = client.post("/jobs", content=PHOTO)
            if response.status_code == 507:
                break
            wait_for_job(client, response.json())
        assert "are stored already" in detail(response, 507)
        assert "are stored already" in detail(client.post("/jobs", content=iter([PHOTO])), 507)


def test_jobs_of_one_photo_share_its_bytes(client):
    photo = PHOTO + bytes(100_000)
    job = wait_for_job(client, submit(client, photo, draft=True, preview=64))
    before = server_jobs(client).occupied()
    for _ in range(3):
        again = client.post(f"/jobs/{job['id']}/again", params={"draft": True, "preview": 64})
        wait_for_job(client, again.json())
    assert server_jobs(client).occupied() < before + 100_000


def test_a_client_stores_a_part_of_what_all_do(bundle):
    app = create_app(load_models([bundle]), Limits(stored_bytes=4_000_000))
    with TestClient(app, base_url="http://localhost", client=("192.0.2.1", 5)) as client:
        wait_for_job(client, submit(client, PHOTO + bytes(900_000), draft=True, preview=64))
        assert "0 MB of photos are stored already" in detail(client.post("/jobs", content=PHOTO + bytes(100_000)), 507)


def test_a_view_has_a_preview_and_no_colors(client):
    job = wait_for_job(client, submit(client, draft=True))
    view = client.post(f"/jobs/{job['id']}/again", params={"preview": 64, "colors": False})
    view = wait_for_job(client, view.json())
    assert (view["state"], view["copies"], view["width"]) == ("done", [], 64)
    assert client.get(view["before"]).headers["content-type"] == "image/jpeg"


def test_an_output_that_exceeds_the_space_is_not_started(stochastic_bundle):
    with client_of([stochastic_bundle], Limits(stored_bytes=60_000)) as client:
        job = wait_for_job(client, submit(client, variants=100))
        assert job["state"] == "failed"
        assert 0 < len(job["copies"]) < 100
        assert "no space for its outputs" in job["problem"]
        folder = folder_of(client, job)
        assert sum(file.stat().st_size for file in folder.rglob("*")) <= 60_000


def test_sampler_and_eta_are_options_over_http_too(stochastic_bundle):
    with client_of([stochastic_bundle]) as client:
        response = client.post("/colorize", content=PHOTO, params={"solver": "ancestral", "steps": 2, "seed": 3})
        assert response.content == Colorizer(stochastic_bundle)(PHOTO, solver="ancestral", steps=2, seed=3)
        assert "solver" in detail(client.post("/colorize", content=PHOTO, params={"solver": "none"}), 422)


def test_photos_without_requests_are_deleted(bundle, monkeypatch):
    monkeypatch.setattr(app, "EXPIRY_POLL_SECONDS", 0.1)
    with client_of([bundle]) as client:
        job = submit(client)
        folder = folder_of(client, job)
        server_jobs(client).limits = Limits(retention=0.2)
        wait_until(lambda: not folder.exists())
        assert "deleted" in detail(client.get(f"/jobs/{job['id']}"), 404)
        assert "deleted" in detail(client.post(f"/jobs/{job['id']}/again"), 404)


def test_a_missing_upload_is_reported(client):
    job = wait_for_job(client, submit(client))
    (folder_of(client, job) / "photo").unlink()
    assert "no such photo" in detail(client.post(f"/jobs/{job['id']}/again"), 404)


@pytest.mark.parametrize("when", ["before", "while it is opened"])
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}, {"Range": "bytes=0-9,20-29"}])
def test_a_deleted_file_is_reported(client, monkeypatch, when, headers):
    job = wait_for_job(client, submit(client))
    open_file = anyio.open_file

    async def open_late(path, *arguments, **options):
        Path(path).unlink(missing_ok=True)
        return await open_file(path, *arguments, **options)

    if when == "before":
        for path in folder_of(client, job).iterdir():
            path.unlink()
    else:
        monkeypatch.setattr(anyio, "open_file", open_late)
    for url in (job["before"], job["copies"][0]["photo"]):
        assert "no such photo" in detail(client.get(url, headers=headers), 404)
    client.delete(f"/jobs/{job['id']}")


def test_a_file_deleted_while_it_is_opened_leaves_no_job(client, monkeypatch):
    async def open_none(path, *arguments, **options):
        raise FileNotFoundError(path)

    folders = set(server_jobs(client).folder.iterdir())
    monkeypatch.setattr(anyio, "open_file", open_none)
    assert "no such photo" in detail(client.post("/colorize", content=PHOTO), 404)
    wait_until(lambda: set(server_jobs(client).folder.iterdir()) <= folders)


def test_an_archive_has_the_settings_that_make_its_photos(client, stochastic_bundle, tmp_path):
    chosen = {"seed": 7, "variants": 2, "saturation": 1.5, "hint": "5,5,#2030c0", "eta": 0.5, "solver": "ddim"}
    jobs = [
        wait_for_job(client, submit(client, model="stochastic", name="grandmother.png", **chosen)),
        wait_for_job(client, submit(client, model="stochastic", name="grandmother.png")),
    ]
    response = client.get("/archive", params={"job": [job["id"] for job in jobs], "settings": True})
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        for name in ("grandmother-color-7.png", "grandmother-color-8.png", "grandmother-color.png"):
            file = "grandmother.png.json" if name == "grandmother-color.png" else f"{name}.json"
            settings = read_settings(Path(archive.extract(file, tmp_path)))
            assert settings.model == "stochastic"
            assert archive.read(name) == Colorizer(stochastic_bundle)(PHOTO, **settings.options)
        assert len(archive.namelist()) == 6
        assert settings.options == {"hints": []}


def test_an_archive_is_whole_though_its_jobs_are_removed(client, monkeypatch):
    folders = set(server_jobs(client).folder.iterdir())
    jobs = [wait_for_job(client, submit(client, name=name)) for name in ("one.png", "two.png")]
    photo = client.get(jobs[1]["copies"][0]["photo"]).content
    zip_files = routes.zip_pieces

    def zip_late(*arguments):
        for job in jobs:
            server_jobs(client).remove(server_jobs(client).get(job["id"]))
        return zip_files(*arguments)

    monkeypatch.setattr(routes, "zip_pieces", zip_late)
    response = client.get("/archive", params={"job": [job["id"] for job in jobs]})
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["one-color.png", "two-color.png"]
        assert archive.read("two-color.png") == photo
    wait_until(lambda: set(server_jobs(client).folder.iterdir()) <= folders)


@pytest.mark.filterwarnings("ignore:Exception ignored in", "ignore:Implicitly cleaning up")
def test_an_archive_counts_as_stored_until_it_is_sent(client):
    jobs = server_jobs(client)
    job = wait_for_job(client, submit(client, name="one.png"))
    source, before = jobs.get(job["id"]), jobs.occupied()
    folders = [routes.link_outputs(jobs, [source])[0] for _ in range(2)]
    assert jobs.occupied() == before  # links take no space
    jobs.remove(source)
    assert jobs.occupied() == before  # but keep it
    archive = routes.zip_pieces(folders.pop(), [])
    assert list(archive)
    del archive
    assert jobs.occupied() == before
    del folders  # as when the client leaves before the first byte
    assert jobs.occupied() == before - source.stored - source.upload[1]


@pytest.mark.parametrize(("error", "status", "reason"), [
    (FileNotFoundError(2, "No such file or directory"), 404, "no such photo"),
    (OSError(31, "Too many links"), 507, "cannot be stored (Too many links)"),
    (PermissionError(1, "Operation not permitted"), 507, "cannot be stored (Operation not permitted)"),
])  # fmt: skip
def test_a_photo_that_cannot_be_linked_is_not_one_that_is_missing(client, monkeypatch, error, status, reason):
    def link(*_):
        raise error

    folders = set(server_jobs(client).folder.iterdir())
    job = wait_for_job(client, submit(client))
    monkeypatch.setattr(os, "link", link)
    assert reason in detail(client.get("/archive", params={"job": job["id"]}), status)
    assert reason in detail(client.post(f"/jobs/{job['id']}/again"), status)
    client.delete(f"/jobs/{job['id']}")
    wait_until(lambda: set(server_jobs(client).folder.iterdir()) <= folders)


def test_an_archive_of_deleted_files_is_refused(client):
    folders = set(server_jobs(client).folder.iterdir())
    job = wait_for_job(client, submit(client))
    (folder_of(client, job) / "0.png").unlink()
    assert "no such photo" in detail(client.get("/archive", params={"job": job["id"]}), 404)
    client.delete(f"/jobs/{job['id']}")
    wait_until(lambda: set(server_jobs(client).folder.iterdir()) <= folders)


def test_internal_errors_are_reported_as_such(client, monkeypatch):
    monkeypatch.setattr(server_jobs(client), "get", lambda identity: 1 / 0)
    assert "please report this" in detail(client.get("/jobs/x"), 500)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("../../etc/passwd", "passwd-color.png"),
        ("C:\\photos\\old.png", "old-color.png"),
        ('a"b\r\nSet-Cookie: x.png', "abSet-Cookie x-color.png"),
        ("<script>.png", "script-color.png"),
        ("..", "photo-color.png"),
        ("Großmutter 1931.tif", "Großmutter 1931-color.png"),
        ("ü" * 240 + ".png", "ü" * 100 + "-color.png"),
    ],
)
def test_names_change_no_path_and_no_header(client, name, output):
    response = client.post("/colorize", content=PHOTO, params={"name": name})
    assert response.status_code == 200
    header = unquote(response.headers["content-disposition"])
    assert header in (f'attachment; filename="{output}"', f"attachment; filename*=utf-8''{output}")
    assert "set-cookie" not in response.headers


def test_pages_of_other_sites_are_refused(client):
    foreign = {"origin": "https://example.org"}
    assert "another site" in detail(client.post("/jobs", content=PHOTO, headers=foreign), 403)
    assert "another site" in detail(client.get("/models", headers=foreign), 403)
    assert "another site" in detail(client.get("/models", headers={"origin": "null"}), 403)
    assert "another site" in detail(client.get("/models", headers={"origin": "http://["}), 403)
    assert "--allow" in detail(client.get("/models", headers={"host": "rebound.example.org"}), 400)
    assert client.get("/models", headers={"origin": "http://localhost"}).status_code == 200
    same_port = {"host": "localhost:1234", "origin": "http://localhost:1234"}
    assert client.get("/models", headers=same_port).status_code == 200


def test_every_response_has_security_headers(client):
    for response in (client.get("/"), client.get("/models"), client.get("/nothing"), client.get("/jobs/x")):
        assert {name: response.headers[name] for name in HEADERS} == HEADERS
    page = client.get("/").text
    assert not re.search(r"https?://|<script>|<style|\son\w+=|style=", page)


def copy_bundle(bundle, target):
    target.mkdir()
    for file in bundle.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_models_that_cannot_be_served_are_refused(bundle, tmp_path):
    duplicate = copy_bundle(bundle, tmp_path / "copy")
    with pytest.raises(ValueError, match=r"has the same name as .*: leave one out"):
        load_models([bundle, duplicate])
    assert {name: model.path for name, model in load_models([duplicate], [bundle]).items()} == {
        "two-colors": str(duplicate)
    }
    command = [sys.executable, "-m", "photochrom", "web", "--port", "0", "--model", str(tmp_path / "none")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (2, "")
    assert "none: there is no such file or folder" in process.stderr
    assert "Traceback" not in process.stderr


@contextmanager
def web_command(*options, env=None):
    """The process of `photochrom web`, and the URL that it prints."""
    command = [sys.executable, "-m", "photochrom", "web", "--port", "0", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield process, process.stdout.readline().split()[0]
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("options", "environment", "token"),
    [
        ((), {}, None),
        (("--host", "0.0.0.0"), {}, ".{22}"),
        (("--host", "0.0.0.0", "--no-token"), {}, None),
        (("--host", "0.0.0.0", "--token", "chosen"), {}, "chosen"),
        ((), {"PHOTOCHROM_TOKEN": "from-outside"}, "from-outside"),
    ],
)
def test_the_address_that_is_printed_has_the_token(bundle, options, environment, token):
    with web_command("--model", bundle, *options, env={**os.environ, **environment}) as (_, url):
        address, _, query = url.partition("/?token=")
        assert re.fullmatch(token or "", query)
        health = f"http://localhost:{address.rpartition(':')[2]}/health"
        assert get(health).status_code == (401 if token else 200)
        assert get(f"{health}?token={query}").status_code == 200


def test_ctrl_c_stops_the_server_and_deletes_all_files(bundle, tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with web_command("--model", bundle, env=env) as (process, url):
        wait_until(lambda: list(tmp_path.glob("photochrom-web-*")))
        assert url.startswith("http://localhost:")
        port = url.rpartition(":")[2]
        command = [sys.executable, "-m", "photochrom", "web", "--port", port]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert f"127.0.0.1:{port}: not available (Address already in use): choose another --port" in second.stderr
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, errors) == (0, "")
        assert list(tmp_path.iterdir()) == []


def test_connections_are_limited(bundle):
    with web_command("--model", bundle) as (_, url), ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            stack.enter_context(socket.create_connection(socket_address(url)))
        wait_until(lambda: get(f"{url}/health").status_code == 503)
        stack.close()
        wait_until(lambda: get(f"{url}/health").status_code == 200)


def test_a_disconnect_cancels_the_job(stochastic_bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with serve_in_thread([stochastic_bundle]) as url, socket.create_connection(socket_address(url)) as connection:
        connection.sendall(
            b"POST /colorize?size=2048&steps=1000 HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(PHOTO), PHOTO)
        )
        wait_until(lambda: list(tmp_path.glob("photochrom-web-*/jobs/*/photo")))
        connection.close()
        wait_until(lambda: not list(tmp_path.glob("photochrom-web-*/jobs/*")))
        assert get(f"{url}/health").json()["waiting"] == 0


def test_ctrl_c_is_reported_to_waiting_clients(stochastic_bundle, tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with web_command("--model", stochastic_bundle, env=env) as (process, url), ThreadPoolExecutor() as pool:
        slow = f"{url}/colorize?size=2048&steps=1000"
        response = pool.submit(post, slow, content=PHOTO)
        # The server answers no request between the last byte of an upload and its place in the queue.
        wait_until(lambda: [len(PHOTO)] == [f.stat().st_size for f in tmp_path.glob("photochrom-web-*/jobs/*/photo")])
        wait_until(lambda: get(f"{url}/health").json()["waiting"] == 0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, errors) == (0, "")
        assert "photo: canceled" in detail(response.result(), 404)


@pytest.mark.parametrize("busy", [False, True])
def test_a_killed_server_leaves_no_files(stochastic_bundle, tmp_path, busy):
    with web_command("--model", stochastic_bundle, env={**os.environ, "TMPDIR": str(tmp_path)}) as (process, url):
        assert get(f"{url}/health").status_code == 200
        assert list(tmp_path.glob("photochrom-web-*"))
        if busy:
            post(f"{url}/jobs?size=2048&steps=1000", content=PHOTO)
            wait_until(lambda: list(tmp_path.glob("photochrom-web-*/jobs/*/original.jpg")))
        process.kill()
        process.wait()
        wait_until(lambda: not list(tmp_path.glob("photochrom-web-*")))


@pytest.mark.parametrize("length", [True, False])
def test_a_client_that_reads_late_gets_the_error(bundle, monkeypatch, length):
    monkeypatch.setattr(middleware, "DRAIN_SECONDS", TIMEOUT)
    photo = b"\xff" * 30_000_000
    with serve_in_thread([bundle], Limits(upload_bytes=1_000_000)) as url:
        request = urllib.request.Request(f"{url}/colorize", photo if length else iter([photo]))
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request)
        assert error.value.status == 413
        error.value.close()


def test_an_upload_that_stalls_is_ended(bundle, monkeypatch):
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(middleware, "DRAIN_SECONDS", 0.2)
    with serve_in_thread([bundle]) as url, socket.create_connection(socket_address(url)) as connection:
        connection.sendall(b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n\xff\xd8")
        connection.settimeout(TIMEOUT)
        assert b" 408 " in connection.recv(4096)


def socket_address(url):
    return "localhost", int(url.rpartition(":")[2])


def test_the_client_in_the_docs_works(address, bundle, pytestconfig, tmp_path):
    docs = pytestconfig.rootpath / "docs"
    code, *_ = re.findall(r"^```python\n(.*?)^```$", (docs / "how-to" / "server.md").read_text(), flags=re.M | re.S)
    old = tmp_path / "docs" / "pictures" / "old.jpg"
    old.parent.mkdir(parents=True)
    old.write_bytes((docs / "pictures" / "old.jpg").read_bytes())
    code = code.replace("http://localhost:8000", address)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    expected = Colorizer(bundle)(old.read_bytes(), saturation=0.9, hints=["400,420,#5a8a3a"])
    assert (tmp_path / "old-color.jpg").read_bytes() == expected


def test_openapi_describes_all_routes_and_errors(client):
    description = client.get("/openapi.json").json()
    assert set(description["paths"]) == {
        *("/health", "/models", "/limits", "/colorize", "/jobs", "/films", "/archive"),
        *(f"/jobs/{{identity}}{end}" for end in ("", "/again", "/likely", "/before")),
        *(f"/jobs/{{identity}}/{kind}/{{seed}}" for kind in ("photo", "colors")),
        *(f"/films/{{identity}}{end}" for end in ("", "/again", "/film")),
    }
    for path in description["paths"].values():
        for operation in path.values():
            assert operation["description"].endswith(".")
            assert {"400", "401", "403", "500", "503"} <= set(operation["responses"])
    parameters = description["paths"]["/jobs"]["post"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in parameters}
    assert (schemas["saturation"]["minimum"], schemas["saturation"]["maximum"]) == LIMITS["saturation"]
