"""The benchmarks run, and the networks for comparison have their published sizes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import pyvips

from browsing import needs_chromium
from films import scene, write

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent
TINY = ROOT / "recipes" / "tiny"
ONE_STEP = ("trainer.steps=1", "data.validation=0.5", "data.min_colorfulness=0")


def run_benchmark(name, *arguments):
    """Return the finished process of a benchmark."""
    command = [sys.executable, ROOT / "benchmarks" / name, *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT, check=False)


def output_of(name, *arguments):
    process = run_benchmark(name, *arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout


def table_rows(output):
    """Return the cells of the markdown tables in an output."""
    rows = []
    for line in output.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@pytest.fixture
def benchmarks(monkeypatch):
    """Make the modules in benchmarks/ importable."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    """The run of a tiny `vqvae`, after one step, beside the folder of its photos."""
    from fake_networks import sample_image
    from photochrom.training.loop import train
    from photochrom.training.recipe import read

    folder = tmp_path_factory.mktemp("autoencoder")
    (folder / "photos").mkdir()
    for seed in range(16):
        pyvips.Image.new_from_array(sample_image(seed, (32, 32))).write_to_file(f"{folder}/photos/{seed}.png")
    train(read(TINY / "vqvae.toml", ONE_STEP, [folder / "photos"]), folder / "run")
    return folder / "run"


def test_speed_prints_a_table(bundle):
    rows = table_rows(output_of("speed.py", "--quick", "--model", bundle, "--recipe", "recipes/tiny/classify.toml"))
    assert {len(cells) for cells in rows} == {5}
    names = [cells[0] for cells in rows]
    for start in ("start:", "0.5 MP JPEG: start to file", "0.5 MP JPEG: peak", "folder of", "latency", "training"):
        assert any(name.startswith(start) for name in names), start
    published = (ROOT / "docs" / "reference" / "benchmarks.md").read_text(encoding="utf-8")
    assert f"| {' | '.join(rows[0])} |" in published
    assert all(f"| {name} |" in published for name in names if name.startswith("start:"))


def test_no_ratio_is_lower_than_the_stored_one():
    rows = table_rows(output_of("ratios.py"))
    assert [cells[-1] for cells in rows[2:]] == ["ok"] * 5


def test_one_command_runs_several_benchmarks():
    output = output_of("run_all.py", "--quick", "--only", "photo", "ratios", "training")
    assert "| ssim |" in output
    assert "gray 0.1 MP: merge " in output
    assert "training: left out, it needs --photos" in output


def test_folder_compares_four_ways():
    rows = table_rows(output_of("folder.py", "--quick", "--only", 0.065, "--jobs", 2))
    assert [row[1] for row in rows[2:]] == ["one core", "one process", "2 workers", "loop as in rembg"]


def test_the_merge_is_compared_with_libvips():
    gray, color = output_of("photo.py", "--megapixels", 0.1, "--rounds", 1).splitlines()
    assert gray.startswith("gray 0.1 MP: merge ")
    assert color.startswith("color 0.1 MP: merge ")


def test_metrics_equal_those_of_other_libraries():
    rows = table_rows(output_of("metrics.py", "--photos", 2, "--repeats", 1))
    checks = [row for row in rows if len(row) == 7 and row[1][:1].isdigit()]
    assert len(checks) >= 12
    assert all(float(row[3]) <= 1e-3 * max(1.0, float(row[2])) for row in checks)
    assert rows[-1][0] == "all, on one thread"


def test_colorfulness_increases_with_saturation(bundle, tmp_path):
    from fake_networks import sample_image

    for seed in range(3):
        pyvips.Image.new_from_array(sample_image(seed, (48, 64))).write_to_file(str(tmp_path / f"{seed}.png"))
    output = output_of("curve.py", tmp_path, "--model", bundle, "--at", 0.01)
    assert output.startswith("3 photos")
    *points, interpolated = table_rows(output)[-1][1:]
    colors = [float(point.split(" at ")[1]) for point in points]
    assert colors == sorted(colors)
    assert colors[0] > 0
    assert interpolated == "nan"  # paler than at any saturation


def test_chroma_merge_prints_an_error_for_each_method(tmp_path):
    from fake_networks import sample_image

    pyvips.Image.new_from_array(sample_image(0, (48, 64))).write_to_file(str(tmp_path / "photo.png"))
    count, head, *lines = output_of("chroma_merge.py", tmp_path, "--limit", 1).splitlines()
    assert count.startswith("1 photos")
    assert head.split()[0] == "method"
    assert len(lines) == 10
    for line in lines:
        *_, error, _, _, lightness = line.split()
        assert float(error) > 0
        assert float(lightness) < 1


def test_speed_reports_why_a_command_failed(tmp_path):
    process = run_benchmark("speed.py", "--quick", "--model", tmp_path / "none")
    assert process.returncode != 0
    assert str(tmp_path / "none") in process.stderr


def test_films_are_measured_beside_their_frames(tmp_path, bundle):
    write(tmp_path / "one.mp4", scene(1, 10, 160, 96), chroma=90)
    photos = tmp_path / "photos"
    photos.mkdir()
    pyvips.Image.new_from_array(scene(2, 1, 160, 96)[0]).write_to_file(str(photos / "two.png"))
    options = ("--photos", photos, "--frames", 10, "--bundle", bundle, "--strips", tmp_path / "strips")
    rows = table_rows(output_of("video.py", tmp_path / "one.mp4", *options))
    films = [row for row in rows if row[0] in ("one.mp4", "two")]
    assert [row[2] for row in films] == ["frame by frame", "film", "ground truth"] * 2
    assert [row[1] for row in films] == ["10"] * 3 + ["60"] * 3
    assert all(float(row[5]) == 0 for row in films if row[2] == "ground truth")
    assert len(list((tmp_path / "strips").iterdir())) == 2
    assert any(row[0] == "planes of chroma" for row in rows)


def test_peers_have_their_published_size(benchmarks):
    from peers import PEERS, size

    for build, millions, billions in PEERS.values():
        assert size(build) == pytest.approx((millions, billions), rel=0.01)


def test_backward_operations_equal_those_of_torch_except_for_groups(benchmarks):
    import torch
    from networks import backward_flops
    from torch.utils.flop_counter import FlopCounterMode

    def count(net, **mapping):
        counter = FlopCounterMode(display=False, **mapping)
        x = torch.rand(2, 4, 8, 8, requires_grad=True)
        with counter:
            net(x).sum().backward()
        return counter.get_total_flops()

    ours = {"custom_mapping": {torch.ops.aten.convolution_backward: backward_flops}}
    for net in (torch.nn.Conv2d(4, 6, 3, stride=2), torch.nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1)):
        assert count(net, **ours) == count(net)
    depthwise = torch.nn.Conv2d(4, 4, 3, padding=1, groups=4)
    assert count(depthwise, **ours) == 3 * 2 * 9 * 4 * 2 * 8 * 8


def test_diffusion_is_compared_with_diffusers():
    tiny = ROOT / "recipes" / "tiny" / "palette.toml"
    options = ["--recipe", tiny, "--steps", 2, "--repeats", 1, "--batch", 1, "--threads", 1]
    rows = table_rows(output_of("diffusion.py", *options))
    assert [cells[0] for cells in rows[2:]] == ["sampling, 2 steps of DDIM"] * 4 + ["training"] * 2
    assert all(float(cells[2]) > 0 for cells in rows[2:])


def test_pix2pix_is_compared_with_a_plain_implementation_of_the_same_size(benchmarks):
    from pix2pix import Plain

    from photochrom.models.pix2pix import Generator

    config = Generator.Config(downs=5, filters=4, dropped=2)
    ours, plain = (sum(p.numel() for p in net.parameters()) for net in (Generator(config, 2), Plain(config)))
    assert ours == plain
    tiny = ROOT / "recipes" / "tiny" / "pix2pix.toml"
    rows = table_rows(output_of("pix2pix.py", "--recipe", tiny, "--repeats", 1, "--threads", 1))
    assert [cells[0] for cells in rows[2:]] == ["ours", "plain"]
    assert all(float(cells[1]) > 0 for cells in rows[2:])


def test_the_solvers_of_cold_diffusion_are_measured(autoencoder, tmp_path):
    from photochrom.training.loop import train
    from photochrom.training.recipe import read

    net = 'model.autoencoder={hidden=[8, 8], residual=1, codes=16, dim=4, levels=2, learning="loss"}'
    recipe = read(TINY / "cold.toml", [*ONE_STEP, "model.sampling.latent=true", net], [autoencoder.parent / "photos"])
    train(recipe, tmp_path / "cold", init=autoencoder)
    rows = table_rows(output_of("cold.py", tmp_path / "cold", "--steps", 1, 2))
    solvers = ["naive, 1", "naive, 2", "improved, 1", "improved, 2"]
    assert [row[0] for row in rows[2:]] == ["grayscale", "one-shot", *solvers]


def test_the_directions_of_a_latent_are_measured_and_drawn(autoencoder, tmp_path):
    picture = tmp_path / "picture.jpg"
    rows = table_rows(output_of("latents.py", autoencoder, "--picture", picture))
    assert [row[0] for row in rows[-3:]] == ["1", "2", "3"]
    assert pyvips.Image.new_from_file(str(picture)).height == 4 * 32 * 2  # four photos of 32 px, enlarged


@pytest.mark.parametrize("study", ["losses", "imbalance", "targets"])
def test_every_variant_of_a_study_is_a_different_recipe(study, benchmarks):
    from photochrom.training.recipe import read, resolved
    from study import RECIPE, SETS, variants

    recipes = {name: resolved(read(RECIPE, variant.settings)) for name, variant in variants(study).items()}
    kinds = [str((recipes[name], variant.photos)) for name, variant in variants(study).items()]
    assert len(set(kinds)) == len(kinds) > 3
    assert all(set(variant.photos) <= set(SETS) for variant in variants(study).values())


def test_the_cache_is_faster_than_one_pass_per_pixel(tmp_path):
    report = tmp_path / "times.json"
    options = ["--recipe", ROOT / "recipes/tiny/coltran.toml", "--sides", 4, 12, "--repeats", 3, "--threads", 1]
    output = output_of("autoregression.py", *options, "--json", report)
    times = json.loads(report.read_text())
    assert {"ours, exported", "ours, torch", "the authors' order", "one pass per pixel"} == set(times)
    assert times["ours, exported"]["12"] < times["one pass per pixel"]["12"]
    assert output.count("|") == 6 * 7  # four methods, six columns


def test_many_clients_each_get_their_own_photo(tmp_path):
    report = tmp_path / "load.json"
    output_of("web.py", "--photos", 32, "--clients", 16, "--side", 300, "--jobs", 2, "--json", report)
    figures = json.loads(report.read_text())
    assert (figures["lost"], figures["mixed up"]) == (0, 0)
    assert figures["memory at most, MB"] < figures["memory at the start, MB"] + 150


@needs_chromium
def test_the_time_from_a_click_to_colors_is_measured():
    arguments = ["docs/pictures/expedition-1897.jpg", "--scales", 1, 2, "--hints", 2]
    rows = table_rows(output_of("page.py", *arguments, "--suggest", "classify"))
    assert [row[0] for row in rows[2:]] == ["500 x 347", "1000 x 694"]
    assert all(float(row[1]) > 0 and float(row[3]) > 0 for row in rows[2:])
