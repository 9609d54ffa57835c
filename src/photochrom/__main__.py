"""``photochrom``, and ``python -m photochrom``."""

from ._signals import leave, on_signals


def main() -> None:
    """Run the command; Ctrl-C is answered from here on, since the imports take a while."""
    on_signals(leave)
    from .cli.main import main as run_command

    run_command()


if __name__ == "__main__":
    main()
