"""The interoperability tests of paho.mqtt.testing, from a checkout that the caller has.

One broker serves all tests of a version, with what the tests ask for: a Server Keep Alive of 60 seconds, and a topic that
nobody may subscribe to.
"""

import os
import re
import shutil
import subprocess
import sys

import broker
from launch import HERE, captured, end, stand_in

SECONDS = 600


class Suite:
    workers = 1

    def __init__(self, scratch, checkout, version):
        self.name = "paho-" + version
        self.module = {"3.1.1": "client_test", "5.0": "client_test5"}[version]
        self.checkout = os.path.join(os.path.abspath(checkout), "interoperability")
        self.scratch = scratch
        with open(os.path.join(self.checkout, self.module + ".py")) as file:
            self.scripts = sorted(re.findall(r"^ +def (test\w+|will_message_test)\(self", file.read(), re.MULTILINE))

    def verdicts(self, kind, program, scripts, workers, log):
        """`ok` or `fail` for each of the scripts, all on one broker, one after the other."""
        if not scripts:
            return {}
        folder = os.path.join(self.scratch, "run", kind, self.name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        port = broker.free_port()
        stand_in(folder + "/broker", kind, program, "plain")
        rules = folder + "/rules"
        with open(rules, "w") as file:
            # In an ACL file, too, a wildcard does not match a leading $.
            file.write("topic readwrite #\ntopic readwrite $TopicA/#\ntopic deny test/nosubscribe\n")
        with open(folder + "/broker.conf", "w") as file:
            file.write(f"listener {port}\nallow_anonymous true\nmax_keepalive 60\nacl_file {rules}\n")
        started = subprocess.Popen([folder + "/broker", "-c", folder + "/broker.conf"], start_new_session=True)
        try:
            broker.wait_for(port)
            command = [sys.executable, "-B", os.path.join(HERE, "interop.py"), self.module, str(port), *scripts]
            _, said = captured(command, folder, SECONDS, env={**os.environ, "PYTHONPATH": self.checkout})
        finally:
            end(started)
        found = dict(re.findall(r"^@ (\w+) (ok|fail)$", said, re.MULTILINE))
        if "fail" in found.values() or len(found) < len(scripts):
            log(scripts[0] if len(scripts) == 1 else "all", said)
        return {script: found.get(script, "fail") for script in scripts}
