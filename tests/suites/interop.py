"""Runs tests of one module of paho.mqtt.testing against 127.0.0.1; a line `test verdict` for each.

    interop.py MODULE PORT [TEST ..]

The modules expect to be run as programs, which set these names from their arguments. Without tests, all are run.
"""

import importlib
import logging
import signal
import sys
import unittest

TEST_SECONDS = 60


def main(name, port, *tests):
    module = importlib.import_module(name)
    prefix = "client_test5/" if name == "client_test5" else ""
    module.host, module.port, module.topic_prefix = "127.0.0.1", int(port), prefix
    module.topics = [prefix + topic for topic in ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA")]
    module.wildtopics = [prefix + topic for topic in ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#")]
    module.nosubscribe_topics = ("test/nosubscribe",)
    logging.getLogger().setLevel(logging.ERROR)
    # One of the module's tests has a name that unittest does not look for.
    names = tests or [test for test in dir(module.Test) if test.startswith("test") or test == "will_message_test"]
    suite = unittest.TestSuite(module.Test(test) for test in names)
    unittest.TextTestRunner(resultclass=Lines, verbosity=0).run(suite)


def late(*_):
    raise TimeoutError(f"no end within {TEST_SECONDS} s")


class Lines(unittest.TextTestResult):
    def startTest(self, test):
        super().startTest(test)
        # Some tests wait without end for what does not come. More than once: the clients catch much.
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, TEST_SECONDS, 5)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line(test, "ok")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.line(test, "fail")

    def addError(self, test, error):
        super().addError(test, error)
        self.line(test, "fail")

    def line(self, test, verdict):
        # A fault of the set-up belongs to no test and leaves all of them without a verdict.
        signal.setitimer(signal.ITIMER_REAL, 0)
        name = getattr(test, "_testMethodName", None)
        if name:
            print(f"\n@ {name} {verdict}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
