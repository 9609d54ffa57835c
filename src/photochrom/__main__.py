"""``python -m photochrom``."""

from .app.cli import main

main()
