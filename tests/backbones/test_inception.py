"""Inception-v3 against the published files and other implementations."""

import hashlib
import pickle
from dataclasses import replace

import pytest
import torch

from photochrom.backbones import inception
from photochrom.backbones.inception import VARIABLE, VARIANTS, Inception, load

AUXILIARY = 768 * 128 + 256 + 128 * 768 * 25 + 1536 + 769 * 1000  # two convolutions and the classes of that head
PARAMETERS = 27_161_264 - AUXILIARY  # torchvision's published number, without the second head
A = "1x1 5x5_1 5x5_2 3x3dbl_1 3x3dbl_2 3x3dbl_3 _pool"
B = "3x3 3x3dbl_1 3x3dbl_2 3x3dbl_3"
C = "1x1 7x7_1 7x7_2 7x7_3 7x7dbl_1 7x7dbl_2 7x7dbl_3 7x7dbl_4 7x7dbl_5 _pool"
D = "3x3_1 3x3_2 7x7x3_1 7x7x3_2 7x7x3_3 7x7x3_4"
E = "1x1 3x3_1 3x3_2a 3x3_2b 3x3dbl_1 3x3dbl_2 3x3dbl_3a 3x3dbl_3b _pool"
MIXED = {"5b": A, "5c": A, "5d": A, "6a": B, "6b": C, "6c": C, "6d": C, "6e": C, "7a": D, "7b": E, "7c": E}
STEM = ["1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3"]
CONVS = [f"Conv2d_{n}" for n in STEM] + [f"Mixed_{m}.branch{n}" for m, names in MIXED.items() for n in names.split()]
TENSORS = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked")
KEYS = [f"{conv}.{tensor}" for conv in CONVS for tensor in TENSORS] + ["fc.weight", "fc.bias"]
AVERAGED = ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b", "7c")

IMAGE = torch.rand(1, 3, 210, 330, generator=torch.Generator().manual_seed(0))
INDICES = [0, 400, 800, 1200, 1600, 1900, 1950]
# Features at INDICES and the first logits of other implementations for IMAGE with the weights of `build`: pytorch-fid
# 0.3.0 and torch-fidelity 0.4.0 (logits_unbiased) for fid, torchvision 0.29.2 for the others, after its own
# normalization and with the input of the code of CT2 and DDColor.
REFERENCES = {
    "fid": ([0.0526, 1.8256, 0.265, 0.1267, 0.0343, 2.1706, 0.6161], [0.4209, 1.8014, -5.7356, 1.5606, 6.8853, 0.7391]),
    "torchvision": (
        [0.0199, 1.7542, 0.394, 0.1198, 0.0158, 1.1665, 0.363],
        [0.943, 1.7007, -5.8165, 1.0179, 6.0906, 0.1042],
    ),
    "ct2": (
        [0.0299, 1.2099, 0.2805, 0.1039, 0.0173, 0.9775, 0.0776],
        [0.9118, 1.3477, -3.8284, 1.1727, 3.9604, 0.6857],
    ),
    "ddcolor": (
        [0.0324, 1.2067, 0.284, 0.1182, 0.0179, 1.02, 0.0692],
        [0.9822, 1.334, -3.6884, 1.2205, 3.8826, 0.7345],
    ),
}


def build(variant):
    """A network whose weights, in the order of their names, are slices of one noise, scaled to keep features finite."""
    net = Inception(variant)
    noise = torch.randn(3_000_000, generator=torch.Generator().manual_seed(1))
    for i, (name, value) in enumerate(sorted(net.state_dict().items())):
        values = noise[i * 1000 :][: value.numel()].view(value.shape)
        if name.endswith(("running_var", "bn.weight")):
            value.copy_(values.abs() / 2 + 0.5)
        elif value.dim():
            value.copy_(values * (0.2 if value.dim() == 1 else (2 / value[0].numel()) ** 0.5))
    return net


@pytest.fixture(scope="module")
def nets():
    """All variants, on one thread: several on busy cores wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield {variant: build(variant) for variant in VARIANTS}
    torch.set_num_threads(threads)


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_and_logits_equal_other_implementations(nets, variant):
    pooled, logits = nets[variant](IMAGE)
    assert (pooled.shape, logits.shape) == ((1, 2048), (1, VARIANTS[variant].classes))
    features, first = REFERENCES[variant]
    torch.testing.assert_close(pooled[0, INDICES], torch.tensor(features), atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(logits[0, :6], torch.tensor(first), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("variant", "classes"), [("fid", 1008), ("torchvision", 1000)])
def test_parameter_names_and_count_are_the_published_ones(nets, variant, classes):
    net = nets[variant]
    assert list(net.state_dict()) == KEYS
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS + (classes - 1000) * 2049
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("name", AVERAGED)
def test_only_torchvision_pools_count_the_padding(nets, name):
    ones, impulse = torch.ones(1, 1, 5, 5), torch.eye(5)[2:3].T @ torch.eye(5)[2:3]
    fid, torchvision = (nets[variant].get_submodule(f"Mixed_{name}").pool for variant in ("fid", "torchvision"))
    torch.testing.assert_close(torchvision(ones)[0, 0, 0, :3], torch.tensor([4, 6, 6]) / 9)
    torch.testing.assert_close(fid(ones), ones)
    peak = 1.0 if name == "7c" else 1 / 9
    torch.testing.assert_close(fid(impulse[None, None])[0, 0, 1], torch.tensor([0, peak, peak, peak, 0]))


@pytest.fixture
def published(nets, tmp_path, monkeypatch):
    """A small file like torchvision's of 2017 (second head, no batch counts), registered as the published one."""
    shapes = {name: value.shape for name, value in nets["torchvision"].state_dict().items()}
    stored = {name: shape for name, shape in shapes.items() if "tracked" not in name} | {"AuxLogits.fc.bias": (1000,)}
    weights = {name: torch.tensor(i / len(stored)).expand(shape) for i, (name, shape) in enumerate(stored.items())}
    path = tmp_path / "weights.pth"
    torch.save(weights, path, _use_new_zipfile_serialization=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(VARIANTS, "torchvision", replace(VARIANTS["torchvision"], file=f"inception-{digest[:8]}.pth"))
    monkeypatch.delenv(VARIABLE, raising=False)
    return path, weights


def test_weights_come_from_the_path_or_the_environment_variable(published, monkeypatch):
    path, weights = published
    from_path = load("torchvision", path).state_dict()
    monkeypatch.setenv(VARIABLE, str(path))
    from_variable = load("torchvision").state_dict()
    for name, value in weights.items():
        if not name.startswith("AuxLogits"):
            assert torch.equal(from_path[name], value)
            assert torch.equal(from_variable[name], value)


@pytest.fixture
def unbuilt(monkeypatch):
    """Building the network takes long, so the arguments of `load` are checked first."""
    monkeypatch.delattr(inception, "Inception")


@pytest.mark.usefixtures("unbuilt")
@pytest.mark.parametrize(("variant", "digest"), [("fid", "6726825d"), ("torchvision", "1a9a5a14")])
def test_missing_file_is_named_with_what_to_do(variant, digest, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=rf"-{digest}\.pth \(sha256 {digest}.*not given: pass .*{VARIABLE}"):
        load(variant)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.pth"))
    with pytest.raises(FileNotFoundError, match=r"not at .*gone\.pth"):
        load(variant)


@pytest.mark.usefixtures("unbuilt")
def test_another_file_is_rejected(tmp_path):
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    path.write_bytes(b"not those")
    with pytest.raises(ValueError, match=r"sha256 .*not 6726825d.*not the published pt_inception-2015-12-05"):
        load("fid", path)


@pytest.mark.usefixtures("unbuilt")
def test_file_that_would_run_code_is_rejected(published):
    path, _ = published
    torch.save({"fc.bias": print}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    VARIANTS["torchvision"] = replace(VARIANTS["torchvision"], file=f"inception-{digest[:8]}.pth")
    with pytest.raises(pickle.UnpicklingError):
        load("torchvision", path)


def test_unknown_variant_is_rejected_with_the_choices():
    with pytest.raises(ValueError, match="'v4': choose one of fid, torchvision, ct2, ddcolor"):
        Inception("v4")
