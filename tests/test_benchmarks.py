"""The benchmark runs, and its peers are the networks it says they are."""

import json
import subprocess
import sys

import pytest
import pyvips

pytestmark = pytest.mark.slow


def speed(pytestconfig, *arguments):
    root = pytestconfig.rootpath
    command = [sys.executable, root / "benchmarks" / "speed.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)


def test_speed_prints_a_table(pytestconfig, bundle):
    done = speed(pytestconfig, "--quick", "--model", bundle, "--recipe", "recipes/tiny/classify.toml")
    assert done.returncode == 0, done.stderr
    rows = [line.strip("|").split("|") for line in done.stdout.splitlines() if line.startswith("|")]
    assert {len(cells) for cells in rows} == {5}
    names = [cells[0].strip() for cells in rows]
    for start in ("start:", "0.5 MP JPEG: start to file", "0.5 MP JPEG: peak", "folder of", "latency", "training"):
        assert any(name.startswith(start) for name in names), start


def test_figures_are_those_of_other_libraries(pytestconfig):
    root = pytestconfig.rootpath
    command = [sys.executable, root / "benchmarks" / "metrics.py", "--photos", "2", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    checks = [row for row in rows if len(row) == 7 and row[1][:1].isdigit()]
    assert len(checks) >= 12
    assert all(float(row[3]) <= 1e-3 * max(1.0, float(row[2])) for row in checks)
    assert rows[-1][0] == "all, on one thread"


def test_a_curve_grows_more_colourful_with_strength(pytestconfig, bundle, tmp_path):
    from fake_networks import sample_image

    for seed in range(3):
        pyvips.Image.new_from_array(sample_image(seed, (48, 64))).write_to_file(str(tmp_path / f"{seed}.png"))
    script = pytestconfig.rootpath / "benchmarks" / "curve.py"
    command = [sys.executable, script, tmp_path, "--model", bundle, "--at", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 photographs")
    *points, at = [cell.strip() for cell in done.stdout.splitlines()[-1].strip("|").split("|")][1:]
    colors = [float(point.split(" at ")[1]) for point in points]
    assert colors == sorted(colors)
    assert colors[0] > 0
    assert at == "nan"  # paler than at any saturation


def test_speed_says_why_a_command_failed(pytestconfig, tmp_path):
    done = speed(pytestconfig, "--quick", "--model", tmp_path / "none")
    assert done.returncode != 0
    assert "no model" in done.stderr


def test_peers_have_their_published_size(pytestconfig, monkeypatch):
    monkeypatch.syspath_prepend(pytestconfig.rootpath / "benchmarks")
    from peers import PEERS, size

    for make, millions, billions in PEERS.values():
        assert size(make) == pytest.approx((millions, billions), rel=0.01)


def test_backward_operations_are_those_of_torch_but_for_groups(pytestconfig, monkeypatch):
    monkeypatch.syspath_prepend(pytestconfig.rootpath / "benchmarks")
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


def test_diffusion_is_timed_beside_diffusers(pytestconfig):
    root = pytestconfig.rootpath
    tiny = root / "recipes" / "tiny" / "palette.toml"
    command = [sys.executable, root / "benchmarks" / "diffusion.py", "--recipe", tiny, "--steps", "2", "--repeats", "1"]
    done = subprocess.run([*command, "--batch", "1", "--threads", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("|").split("|") for line in done.stdout.splitlines() if line.startswith("|")]
    assert [cells[0].strip() for cells in rows[2:]] == ["sampling, 2 steps of DDIM"] * 4 + ["training"] * 2
    assert all(float(cells[2]) > 0 for cells in rows[2:])


def test_pix2pix_is_timed_beside_the_straightforward_way_of_the_same_size(pytestconfig, monkeypatch):
    root = pytestconfig.rootpath
    monkeypatch.syspath_prepend(root / "benchmarks")
    from pix2pix import Plain

    from photochrom.models.pix2pix import Generator

    config = Generator.Config(downs=5, filters=4, dropped=2)
    ours, plain = (sum(p.numel() for p in net.parameters()) for net in (Generator(config, 2), Plain(config)))
    assert ours == plain
    tiny = root / "recipes" / "tiny" / "pix2pix.toml"
    command = [sys.executable, root / "benchmarks" / "pix2pix.py", "--recipe", tiny, "--repeats", "1", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("|").split("|") for line in done.stdout.splitlines() if line.startswith("|")]
    assert [cells[0].strip() for cells in rows[2:]] == ["ours", "straightforward"]
    assert all(float(cells[1]) > 0 for cells in rows[2:])


@pytest.mark.parametrize("study", ["losses", "imbalance", "targets"])
def test_every_variant_of_a_study_is_a_recipe_of_its_own(study, pytestconfig, monkeypatch):
    monkeypatch.syspath_prepend(pytestconfig.rootpath / "benchmarks")
    from study import RECIPE, SETS, variants

    from photochrom.training.recipe import read, resolved

    made = {name: resolved(read(RECIPE, variant.sets)) for name, variant in variants(study).items()}
    kinds = [str((made[name], variant.photos)) for name, variant in variants(study).items()]
    assert len(set(kinds)) == len(kinds) > 3
    assert all(set(variant.photos) <= set(SETS) for variant in variants(study).values())


def test_remembering_is_quicker_than_painting_anew(pytestconfig, tmp_path):
    root, found = pytestconfig.rootpath, tmp_path / "times.json"
    script = root / "benchmarks" / "autoregression.py"
    options = ["--recipe", root / "recipes/tiny/coltran.toml", "--sides", 4, 12, "--repeats", 3, "--threads", 1]
    command = [sys.executable, script, *options, "--json", found]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    times = json.loads(found.read_text())
    assert {"ours, exported", "ours, torch", "the authors' order", "one pass a pixel"} == set(times)
    assert times["ours, exported"]["12"] < times["one pass a pixel"]["12"]
    assert done.stdout.count("|") == 6 * 7  # four ways, six columns


def test_many_clients_each_get_their_own_photograph(pytestconfig, tmp_path):
    script, found = pytestconfig.rootpath / "benchmarks" / "web.py", tmp_path / "load.json"
    options = ["--photos", 32, "--clients", 16, "--side", 300, "--jobs", 2, "--json", found]
    command = [sys.executable, script, *options]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(found.read_text())
    assert (report["lost"], report["mixed up"]) == (0, 0)
    assert report["memory at most, MB"] < report["memory at the start, MB"] + 150
