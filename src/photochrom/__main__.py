"""``python -m photochrom``."""

from .cli.main import main

main()
