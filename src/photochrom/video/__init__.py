"""Films: their frames colorized with colors that stay, and everything else of them kept."""

from importlib.util import find_spec

from .._install import pip_install

if any(find_spec(name) is None for name in ("av", "cv2")):
    raise ImportError(f"films need more packages: {pip_install('video')}")
