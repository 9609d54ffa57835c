"""Models of the Hugging Face hub, against a stand-in for it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from huggingface_hub import constants, logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled

from hub_server import TOKEN, Hub, create_hub
from photochrom import BundleError, Colorizer, ColorOptions
from photochrom.cluster.run import create_work
from photochrom.inference import bundle as bundles
from photochrom.inference import hub
from photochrom.inference.processing import BatchOptions
from servers import serve_app_in_thread

ADDRESS = "hf://owner/colors"


@pytest.fixture(scope="module")
def server():
    store = Hub()
    with serve_app_in_thread(create_hub(store)) as url:
        yield store, url


def point_to(url, monkeypatch):
    """Make the library ask this server; it reads the environment only when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def store(server, tmp_path, monkeypatch):
    """The empty stand-in, and a cache of this test alone."""
    hub_of_test, url = server
    for collection in (hub_of_test.repositories, hub_of_test.private, hub_of_test.requests):
        collection.clear()
    point_to(url, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", "")
    return hub_of_test


def files_of(folder, **changes):
    """The files of a bundle by name, with other entries of its card."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files[bundles.CARD] = json.dumps(json.loads(files[bundles.CARD]) | changes).encode()
    return files


def photochrom(*arguments, **environment):
    command = [sys.executable, "-m", "photochrom", *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_a_model_of_the_hub_colorizes_like_the_bundle_it_was(store, bundle):
    store.commit("owner/colors", files_of(bundle))
    photo = np.linspace(0, 255, 48 * 64, dtype=np.uint8).reshape(48, 64)
    assert np.array_equal(Colorizer(ADDRESS)(photo), Colorizer(bundle)(photo))


def test_only_cards_and_networks_are_downloaded(store, bundle):
    store.commit(
        "owner/colors", {**files_of(bundle), "model.pkl": b"pickle", "model.py": b"code", "other.onnx": b"large"}
    )
    hub.fetch(ADDRESS)
    assert hub.fetch(ADDRESS).name == list(store.repositories["owner/colors"])[-1]
    downloads = {request.rpartition("/")[2] for request in store.requests if "/resolve/" in request}
    assert downloads == {"model.json", "colors.onnx"}


def test_without_a_revision_the_first_commit_stays_until_it_is_pulled(store, bundle):
    first = store.commit("owner/colors", files_of(bundle))
    assert bundles.read_card(bundles.find(ADDRESS)).summary == ""
    second = store.commit("owner/colors", files_of(bundle, summary="new"))
    store.requests.clear()
    assert bundles.read_card(bundles.find(ADDRESS)).summary == ""
    assert store.requests == []  # nothing is asked, so that a model works without a connection
    _, pulled = hub.pull(ADDRESS)
    assert str(pulled) == f"{ADDRESS}@{second}"
    assert bundles.read_card(bundles.find(ADDRESS)).summary == "new"
    assert bundles.read_card(bundles.find(f"{ADDRESS}@{first}")).summary == ""


def test_another_network_than_the_card_says_is_refused(store, bundle):
    store.commit("owner/colors", {**files_of(bundle), "colors.onnx": b"another"})
    with pytest.raises(BundleError) as refusal:
        Colorizer(ADDRESS)
    advice = "to download it again: photochrom models pull hf://owner/colors"
    assert str(refusal.value) == f"{ADDRESS}: colors.onnx does not match its digest; {advice}"
    done = photochrom("models", "pull", ADDRESS, HF_HUB_CACHE=constants.HF_HUB_CACHE)
    assert done.returncode == 1
    assert "colors.onnx does not match its digest" in done.stderr


@pytest.mark.parametrize("name", ["colors.onnx", "model.json"])
def test_an_incomplete_download_is_completed(store, bundle, name):
    store.commit("owner/colors", files_of(bundle))
    (hub.fetch(ADDRESS) / name).unlink()
    assert bundles.load(ADDRESS).networks == bundles.load(bundle).networks


def test_a_damaged_download_is_repaired_by_pull(store, bundle):
    store.commit("owner/colors", files_of(bundle))
    network = hub.fetch(ADDRESS) / "colors.onnx"
    network.resolve().write_bytes(b"damaged")
    assert photochrom("models", "pull", ADDRESS, HF_HUB_CACHE=constants.HF_HUB_CACHE).returncode == 0
    assert bundles.load(ADDRESS).networks == bundles.load(bundle).networks


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://owner", "write an address of the hub as hf://owner/name"),
        ("hf://owner/colors/sub", "write an address of the hub as hf://owner/name"),
        ("hf://owner/colors@", "write an address of the hub as hf://owner/name"),
        ("hf://owner/--", "hf://owner/--: "),
        ("hf://owner/nothing", "no such repository on the hub, or a private one: log in"),
        ("hf://owner/secret", "no such repository on the hub, or a private one: log in"),
        ("hf://owner/colors@0123", "the repository has no such revision"),
        ("hf://owner/other", "the repository has no model.json, so it is not a Photochrom bundle"),
    ],
)
def test_what_cannot_be_fetched_is_explained(store, bundle, address, message):
    store.commit("owner/colors", files_of(bundle))
    store.commit("owner/secret", files_of(bundle))
    store.commit("owner/other", {"model.safetensors": b"", "config.json": b"{}"})
    store.private.add("owner/secret")
    with pytest.raises(BundleError, match=message):
        bundles.load(address)


@pytest.mark.parametrize(
    "action", [bundles.load, hub.pull, lambda address: hub.push(bundles.load("default"), address, {})]
)
def test_without_a_connection_the_address_is_named(store, monkeypatch, action):
    point_to("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(BundleError, match=r"^hf://owner/colors: .*[Cc]onnect"):
        action(ADDRESS)


def test_settings_of_the_library_are_as_before(store, bundle):
    store.commit("owner/colors", files_of(bundle))
    before = logging.get_verbosity(), are_progress_bars_disabled()
    hub.fetch(ADDRESS)
    assert (logging.get_verbosity(), are_progress_bars_disabled()) == before


def test_without_the_extra_the_command_that_adds_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BundleError, match=r"need more packages: .*\[hub\]"):
        bundles.load(ADDRESS)


def test_a_model_is_pushed_with_its_card_and_pulled_again(store, bundle, photos, tmp_path):
    examples = tmp_path / "examples"
    examples.mkdir()
    (examples / "one.png").write_bytes((photos / "one.png").read_bytes())
    store.commit("owner/colors", {"old.onnx": b"", "notes.txt": b"stay"})
    done = photochrom("models", "push", bundle, ADDRESS, "--examples", examples, HF_TOKEN=TOKEN)
    assert (done.returncode, done.stderr) == (0, "")
    (commit, files) = list(store.repositories["owner/colors"].items())[-1]
    assert done.stdout == f"{ADDRESS}@{commit}\n"
    assert set(files) == {"README.md", "examples.jpg", "model.json", "colors.onnx", "notes.txt"}
    assert files["README.md"].startswith(b'---\nlicense: "apache-2.0"\n')
    assert b"(examples.jpg)" in files["README.md"]
    assert f"--model {ADDRESS}\n".encode() in files["README.md"]
    assert str(bundle).encode() not in files["README.md"]

    done = photochrom("models", "pull", ADDRESS, "-o", tmp_path / "mine")
    card = bundles.read_card(bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'mine'}\n{ADDRESS}@{commit}: 1 network verified, weights {card.weights}\n"
    assert bundles.load(tmp_path / "mine") == bundles.load(bundle)
    again = photochrom("models", "pull", ADDRESS, "-o", tmp_path / "mine")
    assert again.returncode == 1
    assert "exists: name another folder" in again.stderr


@pytest.mark.parametrize("private", [True, False])
def test_a_new_repository_is_created(store, bundle, private):
    done = photochrom("models", "push", bundle, ADDRESS, *(["--private"] if private else []), HF_TOKEN=TOKEN)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("owner/colors" in store.private) == private


def test_nothing_private_is_pushed_to_a_public_repository(store, bundle):
    store.commit("owner/colors", {})
    done = photochrom("models", "push", bundle, ADDRESS, "--private", HF_TOKEN=TOKEN)
    assert done.returncode == 1
    assert "this repository exists and is public" in done.stderr
    assert len(store.repositories["owner/colors"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((f"{ADDRESS}@main",), "leave out @main"),
        (("owner/colors",), "write an address of the hub as hf://owner/name"),
        ((ADDRESS,), "not allowed; log in"),
    ],
)
def test_what_cannot_be_pushed_is_explained(store, bundle, arguments, message):
    done = photochrom("models", "push", bundle, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_metrics_are_not_recorded_in_a_model_of_the_hub(store, bundle, photos):
    store.commit("owner/colors", files_of(bundle))
    done = photochrom("evaluate", "--data", photos, "--model", ADDRESS, "--record")
    assert done.returncode == 2
    assert f"photochrom models pull {ADDRESS} -o FOLDER" in done.stderr


def test_workers_of_a_cluster_get_the_commit(store, bundle):
    commit = store.commit("owner/colors", files_of(bundle))
    model = Colorizer.without_networks(ADDRESS)
    store.commit("owner/colors", files_of(bundle, summary="new"))
    work = create_work(model, BatchOptions(ColorOptions()), (), 1)
    assert work.model == f"{ADDRESS}@{commit}"
