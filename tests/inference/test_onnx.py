import platform
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from photochrom import Colorizer
from photochrom.inference import onnx
from photochrom.inference.onnx import CPU, DEVICES, OnnxNet, find_provider
from photochrom.inference.restorer import Restorer


class Session:
    """What `onnxruntime.InferenceSession` shows of its providers; a machine may lack the drivers of one."""

    missing = ()

    def __init__(self, content, options, providers):
        self.providers = [provider for provider in providers if provider not in self.missing]

    def get_providers(self):
        return self.providers

    def get_inputs(self):
        return []


@pytest.fixture
def with_cuda(monkeypatch):
    """An ONNX Runtime that has CUDA, on a machine that may lack its drivers."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [DEVICES["cuda"], "Azure", CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    return lambda *missing: monkeypatch.setattr(Session, "missing", missing)


def test_the_cpu_can_be_chosen():
    gray = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    colorizer = Colorizer(threads=1, device="cpu")
    assert {net.session.get_providers()[0] for net in colorizer.nets.values()} == {CPU}
    assert colorizer(gray).shape == (40, 60, 3)


def test_a_device_that_is_not_installed_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"device coreml: not in the installed ONNX Runtime .*: choose auto, cpu"):
        Colorizer(device="coreml")
    with pytest.raises(ValueError, match="device gpu"):
        Restorer("default", device="gpu")


def test_a_gpu_is_the_first_choice(with_cuda):
    assert find_provider("auto") == find_provider("cuda") == DEVICES["cuda"]
    assert find_provider("cpu") == CPU
    assert OnnxNet(b"", 1, find_provider("auto")).session.get_providers() == [DEVICES["cuda"], CPU]


def test_a_gpu_without_drivers_is_an_error_only_if_it_was_chosen(with_cuda):
    with_cuda(DEVICES["cuda"])
    with pytest.raises(ValueError, match="device cuda: cannot be started by ONNX Runtime; install its drivers"):
        onnx.load_model("default", 1, "cuda", {})
    _, _, nets = onnx.load_model("default", 1, "auto", {})
    assert all(net.session.get_providers() == [CPU] for net in nets.values())


MEMORY_OF_A_MODEL = """
from pathlib import Path
from photochrom.inference.onnx import load_model

def held():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024

before = held()
model = load_model("default", 1, "cpu", {})
print(held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about the memory allocator of glibc")
def test_a_loaded_model_holds_little_more_than_its_weights():
    """Its file has 12 MB, its weights have 23 MB as float32; ONNX Runtime leaves another 58 MB behind."""
    done = subprocess.run([sys.executable, "-c", MEMORY_OF_A_MODEL], check=True, capture_output=True)
    assert float(done.stdout) < 65
