import pytest
import torch

from photochrom.imaging.errors import WriteError
from photochrom.training import checkpoint


def test_round_trip(tmp_path):
    shared = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    sections = {"a": {"w": shared, "v.x": shared}, "b": {"n": torch.tensor(3)}}
    checkpoint.write(tmp_path / "last.safetensors", sections, {"step": 7})
    restored, record = checkpoint.read(tmp_path / "last.safetensors")
    assert record == {"step": 7}
    assert restored.keys() == sections.keys()
    for section, tensors in sections.items():
        assert restored[section].keys() == tensors.keys()
        assert all(torch.equal(restored[section][name], tensors[name]) for name in tensors)
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_damaged_files(tmp_path, content):
    path = tmp_path / "last.safetensors"
    if content is None:
        checkpoint.write(path, {"ema": {"w": torch.zeros(1000)}}, {})
        content = path.read_bytes()[:-100]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"last\.safetensors: not a checkpoint, or a damaged one"):
        checkpoint.read(path)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    with pytest.raises(WriteError, match=r"last\.safetensors: cannot be written \(.*No such file"):
        checkpoint.write(tmp_path / "missing" / "last.safetensors", {"ema": {"w": torch.zeros(3)}}, {})


def test_a_failed_write_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    def fill_disk(tensors, path, metadata):
        path.write_bytes(b"half")
        raise checkpoint.SafetensorError("No space left on device")

    path = tmp_path / "last.safetensors"
    checkpoint.write(path, {"ema": {"w": torch.zeros(3)}}, {"step": 1})
    monkeypatch.setattr(checkpoint, "save_file", fill_disk)
    with pytest.raises(WriteError, match=r"last\.safetensors: cannot be written \(No space left on device\)"):
        checkpoint.write(path, {"ema": {"w": torch.zeros(3)}}, {"step": 2})
    assert checkpoint.read(path)[1] == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]


def test_missing_checkpoints(tmp_path):
    with pytest.raises(ValueError, match="there is no such checkpoint"):
        checkpoint.load(tmp_path)
    with pytest.raises(ValueError, match="'first'; choose one of best, last"):
        checkpoint.load(tmp_path, "first")


def create_network():
    torch.manual_seed(0)
    net = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    return net, optimizer, dict(net.named_parameters())


def take_step(net, optimizer):
    optimizer.zero_grad()
    net(torch.ones(1, 3, 5, 5)).square().sum().backward()
    optimizer.step()


def test_optimizer_round_trip():
    net, optimizer, parameters = create_network()
    for _ in range(2):
        take_step(net, optimizer)
    other, other_optimizer, other_parameters = create_network()
    other.load_state_dict(net.state_dict())
    state = checkpoint.optimizer_state(optimizer, parameters) | {"another.weight:step": torch.tensor(9.0)}
    checkpoint.restore_optimizer(other_optimizer, other_parameters, state)
    take_step(net, optimizer)
    take_step(other, other_optimizer)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
