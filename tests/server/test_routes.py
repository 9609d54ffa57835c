"""The HTTP interface: what it gives, what it refuses and in which words, and what is left of a photograph."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
import pyvips
from fastapi.testclient import TestClient

from photochrom import Colorizer
from photochrom.inference.options import Hint
from photochrom.server import app as site
from photochrom.server import middleware as guard
from photochrom.server import routes as web
from photochrom.server.jobs import Limits
from photochrom.server.middleware import HEADERS
from photochrom.server.routes import choices, create

RAMP = np.linspace(20, 235, 48 * 64).reshape(48, 64)


def encoded(suffix=".png", deep=False, shade=0.0):
    pixels = (RAMP + shade).clip(0, 255)
    pixels = (pixels * 257).astype(np.uint16) if deep else pixels.astype(np.uint8)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="grey16" if deep else "b-w")
    return image.write_to_buffer(suffix)


@contextmanager
def serving(bundles, limits=Limits(), count=1):  # noqa: B008 - frozen
    with TestClient(create(choices(bundles), limits, count), base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="module")
def client(bundle, drawing):
    with serving([bundle, drawing]) as client:
        yield client


def jobs(client):
    return client.app.state.jobs


def finished(client, job):
    until = time.monotonic() + 60
    while job["state"] in ("queued", "working") and time.monotonic() < until:
        time.sleep(0.02)
        job = client.get(f"/jobs/{job['id']}").json()
    return job


def begun(client, content=None, **wishes):
    answer = client.post("/jobs", content=content or encoded(), params=wishes)
    assert answer.status_code == 202, answer.text
    return answer.json()


def why(answer, status):
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text
    return answer.json()["detail"]


@pytest.mark.parametrize(("suffix", "deep"), [(".jpg", False), (".png", False), (".png", True), (".tif", True)])
def test_a_photograph_comes_back_as_the_one_colorizer_gives_it(client, bundle, suffix, deep):
    photo = encoded(suffix, deep)
    answer = client.post(
        "/colorize", content=photo, params={"saturation": 1.2, "hint": ["5,5,#c03020", "60,40,#2030c0"]}
    )
    hints = [Hint(5, 5, (0xC0, 0x30, 0x20)), Hint(60, 40, (0x20, 0x30, 0xC0))]
    assert answer.content == Colorizer(bundle)(photo, saturation=1.2, hints=hints)
    assert answer.headers["content-type"] == {".jpg": "image/jpeg", ".png": "image/png", ".tif": "image/tiff"}[suffix]
    assert pyvips.Image.new_from_buffer(answer.content, "").format == ("ushort" if deep else "uchar")


def test_a_seed_names_a_picture(client, drawing):
    asked = {"model": "drawing", "seed": 5, "steps": 2}
    answer = client.post("/colorize", content=encoded(), params=asked)
    assert answer.content == Colorizer(drawing, steps=2)(encoded(), seed=5)


def test_nothing_is_left_of_a_photograph_once_it_is_answered(client):
    client.post("/colorize", content=encoded())
    client.post("/colorize", content=encoded()[:200])
    client.post("/colorize", content=b"no photograph")
    until = time.monotonic() + 10
    while list(jobs(client).root.iterdir()) and time.monotonic() < until:
        time.sleep(0.02)
    assert list(jobs(client).root.iterdir()) == []


def test_a_job_with_variants(client, drawing):
    job = finished(client, begun(client, model="drawing", variants=3, seed=7, name="grandmother.png"))
    assert (job["state"], job["width"], job["height"], job["seeds"]) == ("done", 64, 48, [7, 8, 9])
    assert [copy["name"] for copy in job["copies"]] == [f"grandmother-color-{seed}.png" for seed in (7, 8, 9)]
    photos = [client.get(copy["photo"]).content for copy in job["copies"]]
    assert photos == [Colorizer(drawing)(encoded(), seed=seed) for seed in (7, 8, 9)]
    for address in (job["before"], job["copies"][1]["preview"]):
        shown = client.get(address)
        assert shown.headers["content-type"] == "image/jpeg"
        assert pyvips.Image.new_from_buffer(shown.content, "").width == 64
    zipped = client.get("/archive", params={"job": [job["id"], job["id"]]})
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        assert archive.testzip() is None
        assert len(set(archive.namelist())) == 6
        assert archive.read("grandmother-color-8.png") == photos[1]
    folder = jobs(client).get(job["id"]).order.folder
    assert folder.exists()
    assert client.delete(f"/jobs/{job['id']}").status_code == 204
    assert not folder.exists()
    assert "removed" in why(client.get(job["before"]), 404)


def test_a_photograph_that_is_here_is_coloured_again(client, bundle):
    job = finished(client, begun(client, name="one.png"))
    answer = client.post(f"/jobs/{job['id']}/again", params={"saturation": 0.4})
    other = finished(client, answer.json())
    assert other["id"] != job["id"]
    assert client.get(other["copies"][0]["photo"]).content == Colorizer(bundle)(encoded(), saturation=0.4)
    client.delete(f"/jobs/{job['id']}")
    assert client.get(other["copies"][0]["photo"]).status_code == 200
    client.delete(f"/jobs/{other['id']}")


def test_models_say_what_they_can_be_told(client):
    first, second = client.get("/models").json()
    assert (first["name"], first["stochastic"], first["told"]) == ("two-colors", False, [])
    assert (second["name"], second["stochastic"], second["told"]) == ("drawing", True, ["steps"])
    assert client.get("/health").json()["status"] == "ok"


def test_what_is_no_photograph_is_refused(client):
    assert "this is a form" in why(client.post("/jobs", files={"photo": encoded()}), 415)
    assert "is not a supported image; supported: JPEG" in why(client.post("/jobs", content=b"hello"), 415)
    assert "is empty" in why(client.post("/colorize"), 415)
    job = finished(client, begun(client, encoded(".jpg")[:300]))
    assert job["state"] == "failed"
    assert job["problem"] == "photograph: cannot be read (VipsJpeg: premature end of JPEG image)"
    assert "nothing" in why(client.get("/archive", params={"job": job["id"]}), 409)
    assert "not there" in why(client.get(f"/jobs/{job['id']}/photo/0"), 409)
    assert "premature end" in why(client.post("/colorize", content=encoded(".jpg")[:300]), 422)


@pytest.mark.parametrize(
    ("wishes", "status", "said"),
    [
        ({"model": "palette"}, 404, "no model 'palette': choose one of two-colors, drawing"),
        ({"steps": 5}, 422, "steps: two-colors has none"),
        ({"variants": 2}, 422, "2 variants: two-colors paints one picture of each"),
        ({"variants": 99, "model": "drawing"}, 422, "variants '99': "),
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
def test_wishes_that_cannot_be(client, wishes, status, said):
    assert said in why(client.post("/jobs", content=encoded(), params=wishes), status)


def test_wishes_that_only_the_photograph_shows_impossible(client):
    answer = client.post("/colorize", content=encoded(), params={"hint": "64,5,#c03020"})
    assert "hint at 64,5 is outside the photograph, which is 64 x 48 pixels" in why(answer, 422)
    answer = client.post("/colorize", content=encoded(), params={"model": "drawing", "steps": 1000, "seed": 1})
    assert answer.status_code == 200


def test_too_much_is_refused(bundle):
    with serving([bundle], Limits(upload=2000, pixels=1000)) as client:
        assert "larger than 0 MB" in why(client.post("/jobs", content=b"\xff" * 3000), 413)
        assert "larger than 0 MB" in why(client.post("/jobs", content=iter([b"\xff" * 1500] * 2)), 413)
        assert "64 x 48 pixels are more than the limit of 1000" in why(client.post("/colorize", content=encoded()), 413)
        assert list(jobs(client).root.iterdir()) == []


def test_only_so_many_wait_and_are_held(bundle):
    with serving([bundle], Limits(queue=0)) as client:
        answer = client.post("/jobs", content=encoded())
        assert "0 photographs are waiting already" in why(answer, 429)
        assert int(answer.headers["retry-after"]) > 0
    with serving([bundle], Limits(held=30_000)) as client:
        answers = [client.post("/jobs", content=encoded()) for _ in range(20) if time.sleep(0.1) is None]
        assert answers[0].status_code == 202
        assert "are held already" in why(answers[-1], 429)
        assert "are held already" in why(client.post("/jobs", content=iter([encoded()])), 429)


def test_copies_that_would_be_too_many_are_ended(drawing):
    with serving([drawing], Limits(held=30_000)) as client:
        job = finished(client, begun(client, model="drawing", variants=12, steps=300))
        assert "there is no room for more copies" in job["problem"]


def test_what_nobody_asks_for_is_forgotten(bundle):
    with serving([bundle], Limits(kept=0.2)) as client:
        job = finished(client, begun(client))
        folder = jobs(client).get(job["id"]).order.folder
        _until(lambda: not folder.exists())
        assert "forgotten" in why(client.get(f"/jobs/{job['id']}"), 404)
        assert "forgotten" in why(client.post(f"/jobs/{job['id']}/again"), 404)


def test_a_photograph_that_is_gone_meanwhile_is_named(client):
    job = finished(client, begun(client))
    (jobs(client).get(job["id"]).order.folder / "photograph").unlink()
    assert "no such photograph here" in why(client.post(f"/jobs/{job['id']}/again"), 404)


def test_what_nobody_foresaw_is_told_as_such(client, monkeypatch):
    monkeypatch.setattr(jobs(client), "get", lambda identity: 1 / 0)
    assert "please report this" in why(client.get("/jobs/x"), 500)


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("../../etc/passwd", "passwd-color.png"),
        ("C:\\photos\\old.png", "old-color.png"),
        ('a"b\r\nSet-Cookie: x.png', "abSet-Cookie x-color.png"),
        ("<script>.png", "script-color.png"),
        ("..", "photograph-color.png"),
        ("Großmutter 1931.tif", "Großmutter 1931-color.png"),
        ("ü" * 240 + ".png", "ü" * 100 + "-color.png"),
    ],
)
def test_names_touch_no_path_and_no_header(client, name, copy):
    answer = client.post("/colorize", content=encoded(), params={"name": name})
    assert answer.status_code == 200
    assert unquote(answer.headers["content-disposition"]) == f"attachment; filename*=utf-8''{copy}"
    assert "set-cookie" not in answer.headers


def test_no_other_site_can_ask(client):
    foreign = {"origin": "https://example.org"}
    assert "another site" in why(client.post("/jobs", content=encoded(), headers=foreign), 403)
    assert "another site" in why(client.get("/models", headers=foreign), 403)
    assert "another site" in why(client.get("/models", headers={"origin": "null"}), 403)
    assert "another site" in why(client.get("/models", headers={"origin": "http://["}), 403)
    assert "--allow" in why(client.get("/models", headers={"host": "rebound.example.org"}), 400)
    assert client.get("/models", headers={"origin": "http://localhost"}).status_code == 200
    assert (
        client.get("/models", headers={"host": "localhost:1234", "origin": "http://localhost:1234"}).status_code == 200
    )


def test_every_answer_tells_a_browser_what_it_may_do(client):
    for answer in (client.get("/"), client.get("/models"), client.get("/nothing"), client.get("/jobs/x")):
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    page = client.get("/").text
    assert not re.search(r"https?://|<script>|<style|\son\w+=|style=", page)


def test_a_model_that_will_not_do_is_refused_before_anything_listens(bundle, tmp_path):
    done = [sys.executable, "-m", "photochrom", "web", "--port", "0", "--model"]
    for models, said in (
        ([tmp_path / "none"], "no model"),
        ([bundle, _copied(bundle, tmp_path / "copy")], "leave one out"),
    ):
        command = [*done, models[0], *(part for model in models[1:] for part in ("--model", model))]
        ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr


def _copied(bundle, target):
    target.mkdir()
    for file in bundle.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


@contextmanager
def command(*options, env=None):
    """The command, and the address it tells."""
    asked = [sys.executable, "-m", "photochrom", "web", "--port", "0", *map(str, options)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield process, process.stdout.readline().split()[0]
        finally:
            process.kill()


def test_ctrl_c_ends_it_and_nothing_stays(bundle, tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with command("--model", bundle, env=env) as (process, address):
        _until(lambda: list(tmp_path.glob("photochrom-web-*")))
        assert address.startswith("http://localhost:")
        port = address.rpartition(":")[2]
        other = [sys.executable, "-m", "photochrom", "web", "--port", port]
        taken = subprocess.run(other, capture_output=True, text=True, check=False)
        assert taken.returncode == 2
        assert (
            f"127.0.0.1:{port}: cannot be listened at (Address already in use): choose another --port" in taken.stderr
        )
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert (process.returncode, said) == (0, "")
        assert list(tmp_path.iterdir()) == []


def test_more_connections_than_can_be_are_turned_away(bundle):
    with command("--model", bundle) as (_, address), ExitStack() as opened:
        for _ in range(site.CONNECTIONS):
            opened.enter_context(socket.create_connection(_place(address)))
        _until(lambda: httpx.get(f"{address}/health").status_code == 503)
        opened.close()
        _until(lambda: httpx.get(f"{address}/health").status_code == 200)


def test_one_that_leaves_while_it_waits_is_forgotten(listening, drawing, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with listening([drawing]) as address:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/colorize?size=2048&steps=1000", content=encoded(), timeout=3)
        _until(lambda: not list(tmp_path.glob("photochrom-web-*/*")))
        assert httpx.get(f"{address}/health").json()["waiting"] == 0


def test_ctrl_c_tells_who_waits(drawing):
    with command("--model", drawing) as (process, address), ThreadPoolExecutor() as pool:
        waits = pool.submit(httpx.post, f"{address}/colorize?size=2048&steps=1000", content=encoded(), timeout=60)
        _until(lambda: httpx.get(f"{address}/health").json()["waiting"] == 0)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert (process.returncode, said) == (0, "")
        assert "not wanted any more" in why(waits.result(), 404)


@pytest.mark.parametrize("busy", [False, True])
def test_a_killed_server_leaves_nothing_either(drawing, tmp_path, busy):
    with command("--model", drawing, env={**os.environ, "TMPDIR": str(tmp_path)}) as (process, address):
        _until(lambda: list(tmp_path.glob("photochrom-web-*")))
        if busy:
            httpx.post(f"{address}/jobs?size=2048&steps=1000", content=encoded())
            _until(lambda: list(tmp_path.glob("photochrom-web-*/*/before.jpg")))
        process.kill()
        process.wait()
        _until(lambda: not list(tmp_path.glob("photochrom-web-*")), 5)


@pytest.mark.parametrize("length", [True, False])
def test_a_client_that_only_listens_once_all_is_sent_hears_the_refusal(listening, bundle, length):
    photo = b"\xff" * 30_000_000
    with listening([bundle], Limits(upload=1_000_000)) as address:
        request = urllib.request.Request(f"{address}/colorize", photo if length else iter([photo]))
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request)
        assert error.value.status == 413
        error.value.close()


def test_a_photograph_that_stops_on_its_way_is_given_up(listening, bundle, monkeypatch):
    monkeypatch.setattr(web, "STALLED", 0.2)
    monkeypatch.setattr(guard, "PATIENCE", 0.2)
    with (
        listening([bundle]) as address,
        socket.create_connection(("localhost", int(address[-5:].strip(":")))) as client,
    ):
        client.sendall(b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n\xff\xd8")
        client.settimeout(30)
        assert b" 408 " in client.recv(4096)


def _place(address):
    return "localhost", int(address.rpartition(":")[2])


def _until(what, seconds=30):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_client_of_the_docs_works(listening, bundle, pytestconfig, tmp_path):
    docs = pytestconfig.rootpath / "docs"
    (code,) = re.findall(r"^```python\n(.*?)^```$", (docs / "web.md").read_text(), flags=re.M | re.S)
    old = tmp_path / "docs" / "pictures" / "old.jpg"
    old.parent.mkdir(parents=True)
    old.write_bytes((docs / "pictures" / "old.jpg").read_bytes())
    with listening([bundle]) as address:
        subprocess.run([sys.executable, "-c", code.replace("http://localhost:8000", address)], check=True, cwd=tmp_path)
    hints = [Hint(400, 420, (0x5A, 0x8A, 0x3A))]
    assert (tmp_path / "old-color.jpg").read_bytes() == Colorizer(bundle)(old.read_bytes(), 7, 0.9, hints=hints)


def test_the_description_names_every_way_and_its_answers(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        *("/health", "/models", "/colorize", "/jobs", "/archive"),
        *(f"/jobs/{{identity}}{end}" for end in ("", "/again", "/before", "/preview/{seed}", "/photo/{seed}")),
    }
    for path in described["paths"].values():
        for way in path.values():
            assert way["description"].endswith(".")
            assert {"400", "403", "500", "503"} <= set(way["responses"])
