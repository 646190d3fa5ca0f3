"""Starting programs of others so that nothing of theirs outlives them."""

import os
import shlex
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def stand_in(path, kind, program, words):
    """Makes a program that takes mosquitto's arguments and starts the broker behind the adapter."""
    command = shlex.join([sys.executable, os.path.join(HERE, "broker.py"), kind, program, words])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(f'#!/bin/sh\nexec {command} "$@"\n')
    os.chmod(path, 0o755)


def captured(command, folder, seconds, **options):
    """Exit status, None after a timeout, and output of a program that is ended with all it started."""
    # Into a file: a pipe would stay open for as long as anything it started.
    with open(os.path.join(folder, "output.txt"), "w+", errors="replace") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end(process)
        output.seek(0)
        said = output.read()
    return status, said if status is not None else f"{said}\nno end within {seconds} s\n"


def end(process):
    """Ends the session that the process leads."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
