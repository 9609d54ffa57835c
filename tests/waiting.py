"""Wait for a state instead of sleeping: tests must pass however slow the machine is."""

import time


def wait_until(condition, seconds=120):
    """Poll until ``condition()`` is true and return its value; fail after a limit far beyond any real duration."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still not the case after {seconds} seconds"
        time.sleep(0.02)
    return value
