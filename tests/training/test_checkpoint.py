from pathlib import Path

import pytest
import torch
import toy

from photochrom import models
from photochrom.core.sampling import Diffusion, describe
from photochrom.inference import bundle as bundles
from photochrom.models import ddpm
from photochrom.models._blocks import ColorNet
from photochrom.training import checkpoint
from photochrom.training.export import network_bytes


def test_round_trip(tmp_path):
    shared = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    tensors = {"a.w": shared, "a.v": shared, "b.n": torch.tensor(3)}
    checkpoint.write(tmp_path / "last.safetensors", tensors, {"step": 7})
    found, record = checkpoint.read(tmp_path / "last.safetensors")
    assert record == {"step": 7}
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert list(checkpoint.part(found, "b")) == ["n"]
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_damaged_files(tmp_path, content):
    path = tmp_path / "last.safetensors"
    if content is None:
        checkpoint.write(path, {"w": torch.zeros(1000)}, {})
        content = path.read_bytes()[:-100]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"last\.safetensors: not a checkpoint, or a damaged one"):
        checkpoint.read(path)


def test_a_place_that_cannot_be_written_to(tmp_path):
    with pytest.raises(OSError, match=r"last\.safetensors: cannot be written \(.*No such file"):
        checkpoint.write(tmp_path / "gone" / "last.safetensors", {"w": torch.zeros(3)}, {})


def test_names_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="there is no such checkpoint"):
        checkpoint.load(tmp_path)
    with pytest.raises(ValueError, match="'first': choose one of best, last"):
        checkpoint.load(tmp_path, "first")


def test_optimizer_round_trip():
    def stepped(steps):
        torch.manual_seed(0)
        net = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(net.parameters(), fused=True)
        for _ in range(steps):
            step(net, optimizer)
        return net, optimizer, {p: name for name, p in net.named_parameters()}

    def step(net, optimizer):
        optimizer.zero_grad()
        net(torch.ones(1, 3, 5, 5)).square().sum().backward()
        optimizer.step()

    net, optimizer, names = stepped(2)
    other, fresh, theirs = stepped(0)
    other.load_state_dict(net.state_dict())
    checkpoint.restore_optimizer(fresh, theirs, checkpoint.optimizer_state(optimizer, names))
    step(net, optimizer)
    step(other, fresh)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_start_from(tmp_path):
    trained, wider = toy.Model(toy.Config()), toy.Adversarial(toy.Config())
    torch.nn.init.constant_(trained.colors.encoder[0].weight, 5.0)
    checkpoint.write(tmp_path / "best.safetensors", checkpoint.prefixed("ema", trained.state_dict()), {})
    left = checkpoint.start_from(wider, tmp_path)
    assert (wider.colors.encoder[0].weight == 5).all()
    assert {"colors.head.1.weight", "critic.0.weight"} <= set(left)
    unet = models.load_family("unet")
    other = unet(unet.Config(net=ColorNet.Config(depth=1, filters=4)))
    with pytest.raises(ValueError, match="no weight fits this model: start from a run of unet with"):
        checkpoint.start_from(other, tmp_path)


def test_start_from_a_bundle(tmp_path):
    """The networks of a bundle that are named alike, or its only one: a guide takes what a classifier has learnt."""
    net = ColorNet.Config(depth=2, filters=4, widths=(8,))
    trained = models.load_family("classify")(models.load_family("classify").Config(net=net))
    card = bundles.ModelCard("taught", "classify", describe(trained.procedure), {}, size=32)
    bundles.save(tmp_path / "taught", card, {"logits": network_bytes(trained.net)})
    made = ddpm.Model(ddpm.Model.Config(guide=net, sampling=Diffusion(guided=True)))
    left = checkpoint.start_from(made, tmp_path / "taught")
    weights, taught = made.net["guide"].state_dict(), trained.net.state_dict()
    for name in weights:
        assert torch.equal(weights[name], taught[name])
    assert all(name.startswith("net.denoiser.") or name.endswith("num_batches_tracked") for name in left if name)
    with pytest.raises(ValueError, match="no model 'nobody'"):
        checkpoint.start_from(made, Path("nobody"))
