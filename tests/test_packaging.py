"""The image and the service: what they name exists, and the server in them has no rights that it does not need."""

import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "packaging" / "docker"
UNIT = ROOT / "packaging" / "systemd" / "photochrom.service"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def instructions(text):
    """Pairs of an instruction of a Dockerfile and its arguments."""
    lines = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", "").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line]


@pytest.fixture
def image():
    """The instructions of the last stage."""
    steps = instructions((DOCKER / "Dockerfile").read_text(encoding="utf-8"))
    last = max(number for number, (name, _) in enumerate(steps) if name == "FROM")
    return dict(steps[last:])


def test_the_image_runs_without_root(image):
    assert int(image["USER"]) >= 1000  # a number, which Kubernetes can check
    assert json.loads(image["ENTRYPOINT"]) == ["photochrom"]
    assert json.loads(image["CMD"])[0] == "web"


def test_extras_and_files_of_the_image_exist():
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]["web"]
    build = compose["build"]
    dockerfile = (DOCKER / build["context"] / build["dockerfile"]).resolve()
    assert dockerfile == DOCKER / "Dockerfile"
    extras = [*re.findall(r"EXTRAS=(\S+)", dockerfile.read_text(encoding="utf-8")), build["args"]["EXTRAS"]]
    assert {extra for value in extras for extra in value.split(",")} <= set(PROJECT["optional-dependencies"])
    sent = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in sent if line.startswith("!")}
    assert all((ROOT / name).exists() for name in kept)
    assert {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "src"} <= kept
    assert compose["read_only"]
    assert compose["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in compose["ports"])


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (401, True), (500, False)])
def test_the_health_check_passes_if_the_server_answers(image, status, healthy):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    command = json.loads(image["HEALTHCHECK"].partition("CMD ")[2])
    with http.server.HTTPServer(("localhost", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        code = command[-1].replace("8000", str(server.server_port))
        done = subprocess.run([sys.executable, *command[1:-1], code], capture_output=True, check=False)
        server.shutdown()
        thread.join()
    assert (done.returncode == 0) == healthy


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_unit_is_valid_and_exposes_little(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/photochrom/bin/photochrom", shutil.which("true")))
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit]  # 2.0 of 10
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
