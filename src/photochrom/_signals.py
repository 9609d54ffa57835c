"""Ctrl-C and SIGTERM. Imports next to nothing, so that the command answers them from its first moments on."""

import _signal as signal  # the module `signal` takes longer: it imports enums
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

INTERRUPTED = 130  # exit code after Ctrl-C, as of a shell: 128 + the number of SIGINT
_last_signal = [signal.SIGINT]


def on_signals(handler: "Callable[[int, Any], object]") -> None:
    """Give Ctrl-C and SIGTERM to a handler, unless the process ignores them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, handler)


def leave(number: int, frame: "Any" = None) -> "NoReturn":
    """Handle a signal: end the process at once, with one line. For imports, some of which swallow exceptions."""
    announce("stopped")
    os._exit(128 + number)


def announce(message: str) -> None:
    """Print a line on stderr while a signal is handled, when Python's own streams may be in use."""
    line = f"photochrom: {message}\n"
    os.write(2, f"\n{line}".encode() if os.isatty(2) else line.encode())  # a progress bar has no end of line


def interrupt(number: int, frame: "Any" = None) -> "NoReturn":
    """Handle a signal: raise KeyboardInterrupt, and keep which signal it was for `exit_code`."""
    note_signal(number)
    raise KeyboardInterrupt


def note_signal(number: int) -> None:
    """Keep which signal stops the process, for `exit_code`."""
    _last_signal[0] = number


def exit_code() -> int:
    """Return the exit code of an interrupted process: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + _last_signal[0]
