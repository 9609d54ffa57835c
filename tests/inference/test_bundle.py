"""Bundles: valid, or refused with a reason."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from photochrom.inference import bundle as bundles
from photochrom.inference.bundle import BundleError
from photochrom.training.bundle_writer import save_bundle


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy")


def rewrite(path, **changes):
    card = json.loads((path / bundles.CARD).read_text())
    (path / bundles.CARD).write_text(json.dumps({**card, **changes}))


def test_a_bundle_opens_as_folder_and_as_zip(bundle, tmp_path):
    zipped = shutil.make_archive(str(tmp_path / "two-colors"), "zip", bundle.parent, bundle.name)
    assert bundles.load(bundle) == bundles.load(zipped)
    assert bundles.load(bundle).card.name == "two-colors"


@pytest.mark.parametrize("name", ["default", Path("default"), bundles.DEFAULT, bundles.INSTALLED / bundles.DEFAULT])
def test_the_default_is_found_by_name_and_by_path(name):
    assert bundles.find(name) == bundles.INSTALLED / bundles.DEFAULT


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(BundleError, match=r"no model 'rembrandt'.*" + ".*".join(bundles.installed())):
        bundles.load("rembrandt")


def test_a_file_that_is_not_a_bundle_is_distinguished_from_a_missing_one(tmp_path):
    (tmp_path / "old.jpg").write_bytes(b"a photo")
    for path in (tmp_path, tmp_path / "old.jpg"):
        with pytest.raises(BundleError, match=r"contains no model\.json; a bundle is a folder or a zip that does"):
            bundles.load(path)


def test_a_training_run_is_not_a_bundle(tmp_path):
    run = tmp_path / "my run"
    run.mkdir()
    (run / "recipe.json").write_text("{}")
    with pytest.raises(BundleError, match=r"is a training run; export it first: photochrom export '.*my run'"):
        bundles.load(run)
    (run / "bundle" / "unet").mkdir(parents=True)
    (run / "bundle" / "unet" / bundles.CARD).write_text("{}")
    with pytest.raises(BundleError, match=r"is a training run; give its bundle, .*my run/bundle/unet"):
        bundles.load(run)


def test_a_name_that_no_file_can_have_is_refused():
    with pytest.raises(BundleError, match="no model 'xxx"):
        bundles.load("x" * 300)


def test_a_network_that_does_not_match_its_digest_is_refused(copy):
    network = copy / "colors.onnx"
    network.write_bytes(network.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=r"colors\.onnx does not match its digest"):
        bundles.load(copy)


def test_a_missing_network_is_refused(copy):
    (copy / "colors.onnx").unlink()
    with pytest.raises(BundleError, match=r"colors\.onnx cannot be read"):
        bundles.load(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": bundles.FORMAT + 1}, "format 2 is newer than 1; upgrade"),
        ({"format": None}, "has no format"),
        ({"gray": "ntsc"}, "gray = 'ntsc'"),
        ({"procedure": {"kind": "seance"}}, "procedure 'seance'"),
        ({"procedure": ["direct"]}, "invalid procedure = "),
        ({"procedure": {"kind": "annealed-mean"}}, "annealed-mean needs the network logits"),
        ({"networks": ["colors"]}, "invalid networks = "),
        *[({"networks": {name: "0"}}, "invalid networks = ") for name in ("../colors", "/colors", "a\\b", "a\n", "")],
        ({"networks": {"colors": 1}}, "invalid networks = "),
        ({"name": "\x1b[31mred"}, "invalid name = "),
        ({"summary": "two\nlines"}, "invalid summary = "),
        ({"limitations": "\u202eright to left"}, "invalid limitations = "),
        ({"use": "everything"}, "use = 'everything'"),
        ({"scores": {"native": 5}}, "invalid scores = "),
        ({"training": "long"}, "invalid training = "),
        ({"size": "big"}, "size = 'big'"),
        ({"size": 0}, "size = 0"),
        ({"size": 4097}, "size = 4097"),
        ({"multiple": 0}, "multiple = 0"),
        ({"parameters": {"colors": ["net.weight"]}}, "invalid parameters = "),
    ],
)
def test_invalid_cards_are_refused(copy, changes, message):
    rewrite(copy, **changes)
    with pytest.raises(BundleError, match=message):
        bundles.load(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}', b"[" * 200_000])
def test_damaged_cards_are_refused(copy, content):
    (copy / bundles.CARD).write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.json"):
        bundles.load(copy)


def test_a_card_that_is_too_large_is_not_read(copy, monkeypatch):
    monkeypatch.setattr(bundles, "MAX_CARD_BYTES", 100)
    with pytest.raises(BundleError, match=r"model\.json is missing or too large"):
        bundles.load(copy)


def test_a_card_may_have_unknown_entries(copy):
    rewrite(copy, mood="hopeful")
    assert bundles.load(copy).card.name == "two-colors"


def test_a_card_may_have_a_larger_size_than_options(copy):
    rewrite(copy, size=4096)
    assert bundles.load(copy).card.inference_size() == 4096


def test_a_card_names_the_parameters_of_its_graphs_if_it_knows_them(copy):
    assert bundles.load(copy).card.parameters == {}
    names = {"colors": {"onnx::Conv_7": "net.stem.weight"}}
    rewrite(copy, parameters=names)
    assert bundles.load(copy).card.parameters == names


def test_a_card_without_parameters_loads(copy):
    card = json.loads((copy / bundles.CARD).read_text())
    del card["parameters"]
    (copy / bundles.CARD).write_text(json.dumps(card))
    assert bundles.load(copy).card.parameters == {}


def test_a_card_replaces_the_one_before(copy):
    card = replace(bundles.read_card(copy), scores={"native": {"psnr": 21.0}})
    bundles.write_card(copy, card)
    assert bundles.load(copy).card == card
    assert sorted(path.name for path in copy.iterdir()) == ["colors.onnx", "model.json"]


def test_a_bundle_is_never_overwritten(bundle):
    with pytest.raises(FileExistsError, match="name another folder"):
        save_bundle(bundle, bundles.read_card(bundle), {})


@pytest.mark.parametrize("name", bundles.installed())
def test_installed_bundles_open_and_are_small(name):
    opened = bundles.load(name)
    assert opened.card.name == name
    assert sum(len(content) for content in opened.networks.values()) <= 17e6
    assert opened.card.data["digest"]


def test_an_invalid_network_is_refused(bundle, tmp_path):
    from photochrom.inference.colorizer import Colorizer

    path = tmp_path / "nonsense"
    save_bundle(path, bundles.read_card(bundle), {"colors": b"no network"})
    with pytest.raises(BundleError, match="a network cannot be run"):
        Colorizer(path)


def test_weights_are_identified_by_their_digest(bundle, tmp_path):
    card = bundles.read_card(bundle)
    other = save_bundle(tmp_path / "other", card, {"colors": b"other"})
    assert len(card.weights) == 8
    assert card.weights != other.weights
    assert save_bundle(tmp_path / "again", card, {"colors": b"other"}).weights == other.weights


@pytest.fixture
def package(bundle, tmp_path, monkeypatch):
    """An installed package with the bundle ``mine``, one named as the default model, and a file that is no bundle."""
    site, folder = tmp_path / "site", tmp_path / "site" / "my_models"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('code of the package was run')")
    shutil.copytree(bundle, folder / "mine")
    shutil.copytree(bundle, folder / bundles.DEFAULT)
    metadata = site / "my_models-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-models\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[photochrom.bundles]\nmy-models = my_models\n")
    monkeypatch.syspath_prepend(site)
    return folder


def test_bundles_of_other_packages_are_found_without_running_their_code(package):
    assert bundles.installed()["mine"] == package / "mine"
    assert bundles.find("mine") == package / "mine"
    assert bundles.find(bundles.DEFAULT) == bundles.INSTALLED / bundles.DEFAULT
    assert "__init__" not in bundles.installed()


def test_models_for_study_and_damaged_ones_are_not_offered_for_photos(package):
    study, damaged, autoencoder = (package / name for name in ("study", "damaged", "autoencoder"))
    for path, changes in ((study, {"use": "study"}), (autoencoder, {"procedure": {"kind": "reconstruction"}})):
        shutil.copytree(package / "mine", path)
        rewrite(path, **changes)
    damaged.mkdir()
    (damaged / bundles.CARD).write_text("{")
    offered = bundles.installed_for_photos()
    assert {"mine", bundles.DEFAULT} <= set(offered)
    assert not {"study", "damaged", "autoencoder", "ddpm"} & set(offered)
    assert {"study", "damaged", "autoencoder"} <= set(bundles.installed())


@pytest.mark.parametrize("value", ["nothing", "nothing.inside", ".relative", "my_models.inside", "zipfile", "json"])
def test_a_wrong_entry_point_hides_no_other_model(package, value):
    entries = package.parent / "my_models-1.0.dist-info" / "entry_points.txt"
    entries.write_text(f"{entries.read_text()}other = {value}\n")
    assert bundles.find("mine") == package / "mine"


def test_packages_whose_entry_points_have_one_name_are_both_found(package, bundle):
    other = package.parent / "other_models"
    shutil.copytree(bundle, other / "others")
    (other / "__init__.py").touch()
    shutil.copytree(package.parent / "my_models-1.0.dist-info", package.parent / "other_models-1.0.dist-info")
    metadata = package.parent / "other_models-1.0.dist-info"
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other-models\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[photochrom.bundles]\nmy-models = other_models\n")
    assert {"mine", "others"} <= set(bundles.installed())


def test_a_zip_without_a_card_is_no_bundle(package):
    with zipfile.ZipFile(package / "data.zip", "w") as archive:
        archive.writestr("numbers.txt", "1")
    assert "data" not in bundles.installed()


def test_a_package_that_lost_its_files_does_not_hide_the_others(package):
    shutil.rmtree(package)
    assert "mine" not in bundles.installed()
    assert bundles.DEFAULT in bundles.installed()


def test_the_package_of_models_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    with pytest.raises(
        BundleError, match=r"no model 'ddpm': .*photochrom-models has more \(pip install .*photochrom-models\)"
    ):
        bundles.find("ddpm")
