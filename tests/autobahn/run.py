"""Drives an echo server with the cases of the Autobahn test suite and judges every one of them.

    run.py setup                    makes the suite's own environment, where the machine has a Python 2.7
    run.py short|whole HOST:PORT    runs the cases; fails unless every one is OK or INFORMATIONAL

Two programs carry the same cases: the original suite, which is Python 2 code, and kosoku, a runner of the very case
files for Python 3. The original is used where a Python 2.7 is; which one it was is the first line printed. Groups 12
and 13 are left out by fuzzingclient.json, for one reason: they are about permessage-deflate, which a server may decline,
as this one does.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON_3 = os.path.join(os.path.dirname(HERE), ".env", "bin")
SUITE = os.path.join(os.path.dirname(HERE), ".env", "autobahn")
SUITE_PACKAGE = "autobahntestsuite==25.10.1"
# The last one that makes environments for Python 2.7.
VIRTUALENV = "virtualenv==20.15.1"
GOOD = {"OK", "INFORMATIONAL"}


def main(arguments):
    if arguments == ["setup"]:
        return setup()
    mode, address = arguments
    with open(os.path.join(HERE, "fuzzingclient.json")) as file:
        spec = json.load(file)
    if mode == "short":
        spec["cases"] = spec["short-cases"]
    results = run(spec, address)
    again = faults(results)
    if again:
        # Some cases are about time, and the machine may have been busy with other tests.
        print("once more, alone:", *again)
        results.update(run({**spec, "cases": again}, address))
    return judge(results)


def judge(results):
    bad = faults(results)
    groups = {}
    for case in results:
        groups.setdefault(int(case.split(".")[0]), []).append(case not in bad)
    for group, good in sorted(groups.items()):
        print("%s group %d: %d of %d cases" % ("ok" if all(good) else "not ok", group, sum(good), len(good)))
    for case in bad:
        print("case %s is %s, its close %s" % (case, results[case]["behavior"], results[case]["behaviorClose"]))
    print("informational:", *(case for case in results if results[case]["behavior"] == "INFORMATIONAL"))
    print("cases: %d" % len(results))
    return 1 if bad else 0


def faults(results):
    """The cases that are neither OK nor INFORMATIONAL, in what was sent and in how it was closed."""
    verdicts = {case: {found["behavior"], found["behaviorClose"]} for case, found in results.items()}
    return [case for case, found in verdicts.items() if not found <= GOOD]


def run(spec, address):
    """Runs the cases of a spec; gives what was found for each."""
    folder = tempfile.mkdtemp(prefix="weir-autobahn-")
    try:
        original = os.path.join(SUITE, "bin", "wstest")
        run_with = run_original if os.path.exists(original) else run_kosoku
        program = run_with(spec, address, folder)
        print("runner:", program, flush=True)
        with open(os.path.join(folder, "out", "index.json")) as file:
            (results,) = json.load(file).values()
        return results
    finally:
        shutil.rmtree(folder)


def run_original(spec, address, folder):
    spec = {**spec, "outdir": os.path.join(folder, "out")}
    spec["servers"] = [{"agent": "weir", "url": "ws://" + address}]
    path = os.path.join(folder, "spec.json")
    with open(path, "w") as file:
        json.dump(spec, file)
    quietly([os.path.join(SUITE, "bin", "wstest"), "-m", "fuzzingclient", "-s", path], folder)
    return SUITE_PACKAGE + " on Python 2.7"


def run_kosoku(spec, address, folder):
    command = [os.path.join(PYTHON_3, "kosoku"), "-o", os.path.join(folder, "out"), address]
    for case in spec["cases"] if spec["cases"] != ["*"] else []:
        command += ["-i", case]
    for case in spec["exclude-cases"]:
        command += ["-x", case]
    # Its status is 1 if a case failed, which is judged below.
    quietly(command, folder, allowed=(0, 1))
    return "kosoku, the same case files: this machine has no Python 2.7 for the original suite"


def quietly(command, folder, allowed=(0,)):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    if done.returncode not in allowed:
        sys.exit("%s failed:\n%s" % (command[0], done.stdout.decode(errors="replace")[-4000:]))


def setup():
    if os.path.exists(os.path.join(SUITE, "bin", "wstest")):
        return 0
    python = python_2()
    if python is None:
        print("no Python 2.7: kosoku will run the cases of the Autobahn test suite")
        return 0
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps = [
        [os.path.join(PYTHON_3, "python"), *pip, VIRTUALENV],
        [os.path.join(PYTHON_3, "python"), "-m", "virtualenv", "--quiet", "-p", python, SUITE],
        [os.path.join(SUITE, "bin", "python"), *pip, SUITE_PACKAGE],
    ]
    for step in steps:
        done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            print(done.stdout.decode(errors="replace")[-2000:])
            print("the original Autobahn test suite does not install: kosoku will run its cases")
            shutil.rmtree(SUITE, ignore_errors=True)
            return 0
    return 0


def python_2():
    """A Python 2.7 that runs, if there is any; pyenv keeps its own out of sight."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    candidates = [shutil.which("python2.7"), *sorted(glob.glob(pyenv + "/versions/2.7*/bin/python2.7"))]
    for python in filter(None, candidates):
        done = subprocess.run([python, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode == 0 and re.match(rb"Python 2\.7", done.stdout):
            return python
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
