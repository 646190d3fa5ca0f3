"""Runs the test-suites of others against Weir and mosquitto, side by side, and holds Weir to what is expected.

    run.py --weir PROGRAM --scratch FOLDER [--paho CHECKOUT] [--only TEXT]

Fails when a script that should pass does not, and as well when one that should not does: expected.toml then has a line
too many. What differs from it is run once more, alone, before it counts, for many scripts are about time.
"""

import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tomllib

import mosquitto
import paho
from launch import HERE

PAGE = os.path.join(HERE, "..", "..", "docs", "src", "third-party-suites.md")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weir", required=True, type=os.path.abspath)
    parser.add_argument("--scratch", required=True, type=os.path.abspath)
    parser.add_argument("--paho")
    parser.add_argument("--only", default="", help="scripts with this in their names")
    asked = parser.parse_args()
    os.makedirs(asked.scratch, exist_ok=True)
    programs = {"weir": asked.weir, "mosquitto": mosquittos_program()}
    suites = [mosquitto.Suite(asked.scratch)]
    if asked.paho:
        suites += [paho.Suite(asked.scratch, asked.paho, version) for version in ("3.1.1", "5.0")]
    expected = expectations()
    rows = list(results(suites, programs, expected, asked))
    print_table(rows)
    faults = [row for row in rows if row["weir"] != row["expected"]]
    for row in faults:
        print(f"UNEXPECTED: {row['suite']} {row['script']} is {row['weir']}, expected.toml has {row['expected']}")
    if not asked.only:
        faults += stale(expected, rows, {suite.name for suite in suites})
    print("\nwhat failed said why in", os.path.join(asked.scratch, "logs"))
    if not asked.paho:
        print("\n!!! paho.mqtt.testing was NOT run: it is in no package registry.")
        print("!!! Clone github.com/eclipse/paho.mqtt.testing and name the folder with --paho DIR.")
    return 1 if faults else 0


def mosquittos_program():
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        sys.exit("mosquitto, which Weir is compared with, is missing: apt-get install mosquitto")
    said = subprocess.run([program, "-h"], capture_output=True, text=True).stdout
    print("beside Weir:", said.splitlines()[0], flush=True)
    return program


def expectations():
    """What is expected of Weir where it isn't `ok`, by suite and script."""
    with open(os.path.join(HERE, "expected.toml"), "rb") as file:
        entries = tomllib.load(file)["expected"]
    return {(entry["suite"], script): entry["verdict"] for entry in entries for script in entry["scripts"]}


def stale(expected, rows, suites):
    """Lines of expected.toml that no script answers to, or that the page of the book does not have."""
    ran = {(row["suite"], row["script"]) for row in rows}
    with open(PAGE) as file:
        page = file.read()
    found = []
    for suite, script in expected:
        if suite in suites and (suite, script) not in ran:
            found.append(f"expected.toml has {suite} {script}, which does not exist or does not apply")
        if f"`{script}`" not in page:
            found.append(f"{os.path.relpath(PAGE)} lacks {script}")
    print(*found, sep="\n", end="\n" if found else "")
    return found


def results(suites, programs, expected, asked):
    """A row for each script that applies to Weir."""
    jobs = [(suite, kind) for suite in suites for kind in programs]
    found = {}

    def run(job):
        suite, kind = job
        weir = found.get((suite, "weir"), {})
        scripts = [script for script in suite.scripts if asked.only in script and weir.get(script, "ok")]
        known = expected if kind == "weir" else {}
        wanted = {script: known.get((suite.name, script), "ok") for script in scripts}
        return verdicts(suite, kind, programs[kind], wanted, asked.scratch)

    # A job with one worker sleeps most of the time, one with several keeps the machine busy.
    for job in jobs:
        if job[0].workers > 1:
            found[job] = run(job)
    idle = [job for job in jobs if job not in found]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found.update(zip(idle, pool.map(run, idle)))
    for suite in suites:
        weir, other = found[suite, "weir"], found[suite, "mosquitto"]
        for script in (script for script in weir if weir[script] is not None):
            columns = {"weir": weir[script], "mosquitto": other[script]}
            wanted = expected.get((suite.name, script), "ok")
            yield {"suite": suite.name, "script": script, "expected": wanted, **columns}


def verdicts(suite, kind, program, wanted, scratch):
    """The verdict on each script, where it surprises the second one."""
    print(f"{suite.name}: {len(wanted)} scripts, {kind}", flush=True)
    found = attempt(suite, kind, program, list(wanted), scratch, suite.workers)
    again = [script for script, verdict in found.items() if verdict not in (None, wanted[script])]
    if again:
        print(f"{suite.name}, {kind}: once more, alone:", *again, flush=True)
        for script in again:
            found.update(attempt(suite, kind, program, [script], scratch, 1))
    return found


def attempt(suite, kind, program, scripts, scratch, workers):
    logs = os.path.join(scratch, "logs", kind)
    os.makedirs(logs, exist_ok=True)

    def log(script, text):
        with open(os.path.join(logs, f"{suite.name}-{script}.txt"), "w") as file:
            file.write(text)

    return suite.verdicts(kind, program, scripts, workers, log)


def print_table(rows):
    line = "{:<12} {:<46} {:<9} {}".format
    print("", line("suite", "script", "weir", "mosquitto"), sep="\n")
    for row in rows:
        print(line(row["suite"], row["script"], row["weir"], row["mosquitto"]))
    line = "{:<12} {:<8} {:<9} {:<8} {:<5} {:<14} {:<8} {}".format
    print("", line("suite", "scripts", "weir: ok", "lenient", "fail", "mosquitto: ok", "lenient", "fail"), sep="\n")
    for suite in dict.fromkeys(row["suite"] for row in rows):
        mine = [row for row in rows if row["suite"] == suite]
        found = [[row[kind] for row in mine] for kind in ("weir", "mosquitto")]
        counts = [column.count(verdict) for column in found for verdict in ("ok", "lenient", "fail")]
        print(line(suite, len(mine), *counts))


if __name__ == "__main__":
    sys.exit(main())
