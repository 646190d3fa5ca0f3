"""Mosquitto's scripts for brokers, from Debian's source package of mosquitto.

Chosen are those that speak to one broker over plain MQTT. The rest is about bridges, TLS, plugins and access lists of
mosquitto's own, and is not started at all; a script whose configuration has no counterpart is left out when it says so.
"""

import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys

from broker import NOT_APPLICABLE, free_port
from launch import captured, stand_in

VERSION = "2.0.11"
CHOSEN = re.compile(r"(0[1-57]|1[1-3])-.*|06-bridge-no-local|09-auth-bad-method|09-extended-auth-unsupported")
SCRIPT_SECONDS = 60


class Suite:
    name = "mosquitto"
    workers = 4

    def __init__(self, scratch):
        self.tests = fetched(scratch)
        self.scratch = scratch
        with open(self.tests + "/broker/test.py") as file:
            # Mosquitto's own list, which has commented out what it does not run itself.
            names = re.findall(r"^ +\(\d, '\./(.+)\.py'\)", file.read(), re.MULTILINE)
        exist = [name for name in names if os.path.exists(f"{self.tests}/broker/{name}.py")]
        self.scripts = sorted(name for name in exist if CHOSEN.fullmatch(name))

    def verdicts(self, kind, program, scripts, workers, log):
        """`ok`, `lenient` (with the lenient wording only), `fail`, or None where the script doesn't apply."""
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            return dict(zip(scripts, pool.map(lambda script: self.verdict(kind, program, script, log), scripts)))

    def verdict(self, kind, program, script, log):
        output = ""
        for words, verdict in (("strict", "ok"), ("lenient", "lenient")):
            status, said = self.run(kind, program, words, script)
            output += f"--- {words}\n{said}"
            if NOT_APPLICABLE in said:
                return None
            if status == 0:
                return verdict
        log(script, output)
        return "fail"

    def run(self, kind, program, words, script):
        folder = os.path.join(self.scratch, "run", kind, words, script)
        shutil.rmtree(folder, ignore_errors=True)
        keep_out = shutil.ignore_patterns("ssl", "client", "lib", "unit", "random", "old", "c")
        shutil.copytree(self.tests, folder + "/test", ignore=keep_out)
        # Where the scripts look for the broker that was built beside them.
        stand_in(folder + "/src/mosquitto", kind, program, words)
        command = [sys.executable, f"./{script}.py", str(free_port())]
        return captured(command, folder + "/test/broker", SCRIPT_SECONDS)


def fetched(scratch):
    """The folder of the tests, downloaded on the first run."""
    folder = os.path.join(scratch, f"mosquitto-{VERSION}")
    if not os.path.isdir(folder):
        archive = os.path.join(scratch, f"mosquitto_{VERSION}.orig.tar.gz")
        if not os.path.exists(archive):
            download(scratch)
        if not os.path.exists(archive):
            sys.exit(f"mosquitto {VERSION} is the one of Debian 12; the sources of this machine have another")
        subprocess.run(["tar", "--extract", "--file", archive, "--directory", scratch], check=True)
    return os.path.join(folder, "test")


def download(scratch):
    """Asks the machine's own Debian sources for the source package, with all that apt writes kept in `scratch`."""
    apt = os.path.join(scratch, "apt")
    os.makedirs(apt + "/lists/partial", exist_ok=True)
    os.makedirs(apt + "/cache/archives/partial", exist_ok=True)
    with open(apt + "/debian.sources", "w") as file:
        file.write("\n\n".join(source_stanzas()) + "\n")
    settings = {
        "Dir::Etc::SourceList": apt + "/debian.sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": apt + "/lists",
        "Dir::Cache": apt + "/cache",
        "APT::Sandbox::User": "",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    for command in (["update"], ["source", "--download-only", "mosquitto"]):
        done = subprocess.run(["apt-get", *options, "--quiet", *command], cwd=scratch, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"apt-get {' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def source_stanzas():
    """The machine's sources of Debian itself, for source packages."""
    for path in glob.glob("/etc/apt/sources.list.d/*.sources"):
        with open(path) as file:
            for stanza in re.split(r"\n\s*\n", file.read()):
                if "debian-archive-keyring" in stanza:
                    yield re.sub(r"(?m)^Types:.*$", "Types: deb-src", stanza.strip())
