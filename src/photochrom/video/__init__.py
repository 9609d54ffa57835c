"""Films: their frames colorized with colors that stay, and everything else of them kept."""

from importlib.util import find_spec

from .._install import install_extra

if any(find_spec(name) is None for name in ("av", "cv2")):
    raise ImportError(f"films need more packages: {install_extra('video')}")
