"""One line for each thing that holds; the first that does not ends the script with a failure."""

import queue
import sys
import time

PATIENCE_SECONDS = 15


def check(name, scenario):
    """Runs one scenario and prints its name, or prints what went wrong and exits."""
    started = time.monotonic()
    try:
        scenario()
    except Exception as error:
        print(f"FAILED {name}: {error!r}", file=sys.stderr)
        raise SystemExit(1) from error
    print(f"ok {name} ({(time.monotonic() - started) * 1000:.0f} ms)", flush=True)


def same(actual, expected, what="value"):
    if actual != expected:
        raise AssertionError(f"{what}: got {actual!r}, expected {expected!r}")


def take(source, what):
    """The next item of a queue, or an error that says what was waited for."""
    try:
        return source.get(timeout=PATIENCE_SECONDS)
    except queue.Empty:
        raise AssertionError(f"waited {PATIENCE_SECONDS} s for {what}") from None
