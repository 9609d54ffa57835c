"""Fixtures of all tests; in tests alone, beartype checks the array shapes of the light path's annotated functions."""

import ctypes
import os
import signal
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the processors
    os.environ.setdefault("OMP_NUM_THREADS", "1")
signal.signal(signal.SIGINT, signal.default_int_handler)  # where a shell runs the tests in the background it is ignored

# One profile for all property tests: no test depends on the speed of the machine.
settings.register_profile("photochrom", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("photochrom")

hook = install_import_hook(
    ["photochrom.core", "photochrom.imaging", "photochrom.inference"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)


def two_colors():
    """An ONNX network that paints light places warm and dark places cold: ab = (0.3, 0.2) * gray."""
    from onnx import TensorProto, helper

    gray = helper.make_tensor_value_info("gray", TensorProto.FLOAT, ["b", 1, "h", "w"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["b", 2, "h", "w"])
    weights = helper.make_tensor("weights", TensorProto.FLOAT, (1, 2, 1, 1), [0.3, 0.2])
    nodes = [helper.make_node("Mul", ["gray", "weights"], ["out"])]
    graph = helper.make_graph(nodes, "two_colors", [gray], [out], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory):
    """What is remembered about photos stays among the files of the tests."""
    os.environ["PHOTOCHROM_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A bundle whose one network is `two_colors`."""
    from photochrom.inference.bundle import ModelCard
    from photochrom.training.bundle_writer import save_bundle

    path = tmp_path_factory.mktemp("bundle") / "two-colors"
    card = ModelCard("two-colors", "unet", {"kind": "direct", "target": "ab"}, {}, size=32)
    save_bundle(path, card, {"colors": two_colors()})
    return path


def noisy_colors():
    """An ONNX network that believes in warm light places and some of the noise: another picture for each seed."""
    from onnx import TensorProto, helper

    planes = ("noisy", 2), ("condition", 1), ("out", 2)
    noisy, gray, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", channels, "h", "w"]) for name, channels in planes
    )
    weights = helper.make_tensor("weights", TensorProto.FLOAT, (1, 2, 1, 1), [0.3, 0.2])
    share = helper.make_tensor("share", TensorProto.FLOAT, (), [0.2])
    nodes = [
        helper.make_node("Mul", ["condition", "weights"], ["warm"]),
        helper.make_node("Tanh", ["noisy"], ["bent"]),
        helper.make_node("Mul", ["bent", "share"], ["left"]),
        helper.make_node("Add", ["warm", "left"], ["out"]),
    ]
    graph = helper.make_graph(nodes, "noisy_colors", [noisy, gray], [out], [weights, share])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


@pytest.fixture(scope="session")
def stochastic_bundle(tmp_path_factory):
    """A bundle that draws: a diffusion in three steps whose one network is `noisy_colors`."""
    from photochrom.core.sampling import Diffusion, describe
    from photochrom.inference.bundle import ModelCard
    from photochrom.training.bundle_writer import save_bundle

    path = tmp_path_factory.mktemp("bundle") / "stochastic"
    card = ModelCard("stochastic", "ddpm", describe(Diffusion(prediction="clean", steps=3)), {}, size=32)
    save_bundle(path, card, {"denoiser": noisy_colors()})
    return path


@pytest.fixture
def permissions():
    """Takes root's right to read every file from this thread, and those that it starts, for the time of a test."""
    if os.name != "posix":
        pytest.skip("folders have no modes")
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    granted = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; twice
    if libc.capget(header, granted):
        pytest.skip("root keeps its rights on this system")
    effective, *others = struct.unpack("6I", granted)
    if libc.capset(header, struct.pack("6I", effective & ~0b110, *others)):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        pytest.skip("root keeps its rights on this system")
    yield
    libc.capset(header, granted)


@pytest.fixture
def photos(tmp_path):
    """A folder: three photos (one in a subfolder), a damaged one, a text file and a hidden file."""
    import pyvips

    folder = tmp_path / "album"
    (folder / "deeper").mkdir(parents=True)
    for name, shade in (("one.png", 60), ("two.jpg", 120), ("deeper/three.tif", 180)):
        ramp = np.linspace(0, 60, 48 * 40).reshape(40, 48) + shade
        pyvips.Image.new_from_array(ramp.astype(np.uint8)).write_to_file(str(folder / name))
    (folder / "bad.jpg").write_bytes((folder / "two.jpg").read_bytes()[:300])
    (folder / "notes.txt").write_text("not a photo")
    (folder / "._two.jpg").write_bytes(b"left by a file manager")
    return folder
