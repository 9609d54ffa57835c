"""Releases: one place for the version and for addresses, the changelog, and what is in the packages."""

import datetime
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DATE = datetime.date(2030, 1, 2)


@pytest.fixture
def release(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "packaging")
    import release

    return release


@pytest.fixture
def copy(release, tmp_path):
    """The files that a release changes, in another folder."""
    names = {file for file, *_ in release.COPIES} | {release.VERSION_FILE, release.CHANGELOG, "pyproject.toml"}
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_all_files_repeat_the_version_and_the_addresses(release):
    for file, _, value, expected in release.find_copies():
        assert value == expected, f"{file}: run `python packaging/release.py --copy`"


def test_a_release_sets_the_version_and_the_addresses_everywhere(release, copy):
    project = copy / "pyproject.toml"
    project.write_text(project.read_text().replace("https://example.org/photochrom", "https://photo.test/p"))
    release.set_version("3.2.1", copy)
    changed = release.copy_values(copy)
    assert changed == sorted({file for file, *_ in release.COPIES})
    assert release.copy_values(copy) == []
    models = tomllib.loads((copy / "photochrom-models" / "pyproject.toml").read_text())["project"]
    assert models["version"] == release.read_version(copy) == "3.2.1"
    assert models["urls"] == release.read_addresses(copy)
    assert yaml.safe_load((copy / "CITATION.cff").read_text())["version"] == "3.2.1"
    for file in changed:
        assert "example.org" not in (copy / file).read_text()


def test_no_other_file_has_a_placeholder(release):
    """Files with an address of the project are those that a release fills in."""
    names = subprocess.run(["git", "grep", "-l", release.PLACEHOLDER + "/photochrom"], cwd=ROOT, capture_output=True)
    if names.returncode == 128:
        pytest.skip("not a clone of the repository")
    known = {file for file, *_ in release.COPIES} | {"pyproject.toml"}
    files = {name for name in names.stdout.decode().split() if not name.startswith("tests/")}
    assert files
    assert files <= known


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "1.0.0-rc1", "0.0.1"])
def test_a_malformed_or_lower_version_is_refused(release, copy, version):
    with pytest.raises(SystemExit, match=re.escape(version)):
        release.set_version(version, copy)


def test_versions_are_ordered(release):
    versions = ["0.2.0a1", "0.2.0b1", "0.2.0rc1", "0.2.0rc2", "0.2.0", "0.2.1", "0.10.0", "1.0.0"]
    assert sorted(versions, key=release.version_key) == versions


def test_a_release_closes_the_section_of_the_changelog(release, tmp_path):
    changelog = tmp_path / release.CHANGELOG
    changelog.write_text("# Changelog\n\n## Unreleased\n\n- New.\n\n## 0.1.0 - 2020-01-01\n\n- Old.\n")
    release.close_section("0.2.0", DATE, tmp_path)
    assert "## Unreleased\n\n## 0.2.0 - 2030-01-02\n\n- New.\n" in changelog.read_text()
    assert release.read_notes("0.2.0", tmp_path) == "- New."
    assert release.read_notes("0.1.0", tmp_path) == "- Old."
    assert release.read_notes("0.3.0", tmp_path) == ""
    release.close_section("0.2.0", DATE, tmp_path)  # again: it is there
    with pytest.raises(SystemExit, match='"Unreleased" is empty'):
        release.close_section("0.3.0", DATE, tmp_path)


def test_placeholders_are_not_published(release, copy):
    if not any(release.PLACEHOLDER in address for address in release.read_addresses(copy).values()):
        pytest.skip("the addresses are filled in")
    with pytest.raises(SystemExit, match="Repository"):
        release.check_addresses(copy)
    project = copy / "pyproject.toml"
    project.write_text(project.read_text().replace(release.PLACEHOLDER, "photo.test"))
    release.check_addresses(copy)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source archive of the package, built by its backend."""
    folder = tmp_path_factory.mktemp("dist")
    code = "import hatchling.build as b, sys; print(b.build_wheel(sys.argv[1])); print(b.build_sdist(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [folder / name for name in done.stdout.split()[-2:]]


def test_the_wheel_is_described_completely(built):
    with zipfile.ZipFile(built[0]) as wheel:
        names = wheel.namelist()
        (metadata,) = [wheel.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
        (scripts,) = [wheel.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    fields = message_from_string(metadata)
    assert fields["Author"] == "Photochrom contributors"
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Requires-Python"].replace(" ", "") in (">=3.11,<3.14", "<3.14,>=3.11")
    labels = {address.split(", ")[0] for address in fields.get_all("Project-URL")}
    assert labels == {"Documentation", "Repository", "Issues", "Changelog"}
    assert "Typing :: Typed" in fields.get_all("Classifier")
    assert fields["Keywords"]
    assert fields["Description-Content-Type"] == "text/markdown"
    assert "photochrom = photochrom.__main__:main" in scripts
    assert "photochrom/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"photochrom", names[-1].split("/")[0]}  # and its dist-info
    assert [name for name in names if name.endswith(".onnx")] == ["photochrom/inference/bundles/unet/colors.onnx"]


def test_the_source_archive_has_no_further_models(built):
    assert built[1].stat().st_size < 25 << 20
    with tarfile.open(built[1]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "src/photochrom/__init__.py"} <= set(names)
    assert not [name for name in names if name.startswith("photochrom-models/")]


def requirements_of(texts):
    """Return requirements as pairs of a name and its limits, without extras and spaces."""
    pairs = {}
    for text in texts:
        name, limits = re.fullmatch(r"([\w-]+)(?:\[[\w,]*\])?\s*(.*)", text).groups()
        pairs[name] = limits.replace(" ", "")
    return pairs


def test_the_conda_recipe_has_the_requirements_of_the_package():
    recipe = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    run = requirements_of(recipe["requirements"]["run"])
    assert run.pop("python") == PROJECT["requires-python"]
    assert run == requirements_of(PROJECT["dependencies"])
    assert recipe["build"]["python"]["entry_points"] == [f"photochrom = {PROJECT['scripts']['photochrom']}"]


def test_both_packages_have_the_license():
    assert (ROOT / "photochrom-models" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_issue_forms_name_every_model(release):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "color.yml").read_text(encoding="utf-8"))
    (models,) = [field["attributes"]["options"] for field in form["body"] if field.get("id") == "model"]
    bundles = {path.stem for path in (ROOT / "photochrom-models" / "src" / "photochrom_models").glob("*.zip")}
    assert set(models) == bundles | {"the default", "a model of my own"}


def test_forms_and_workflows_are_yaml_that_names_files_and_commands_of_the_repository():
    for path in [*ROOT.glob(".github/**/*.yml"), *ROOT.glob("packaging/**/*.yaml")]:
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    for file in re.findall(r"python (\S+\.py)", release):
        assert (ROOT / file).exists()


def test_the_citation_is_complete():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["authors"] == [{"name": PROJECT["authors"][0]["name"]}]
    assert citation["license"] == PROJECT["license"]
    assert json.dumps(citation)  # no dates or other values that need quotes
