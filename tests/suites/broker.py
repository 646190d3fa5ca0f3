"""A broker behind the adapter, to be started as the scripts of mosquitto start theirs.

    broker.py weir|mosquitto PROGRAM WORDING ARGUMENTS

ARGUMENTS are mosquitto's: [-v] and -p PORT or -c FILE. A file with a setting that Weir has no counterpart for ends it
with NOT_APPLICABLE on standard error. It runs until SIGTERM and takes the broker with it.
"""

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import adapter
import wording

NOT_APPLICABLE = "not applicable: "
PATIENCE_SECONDS = 5
# What mosquitto has without any configuration, and what its scripts therefore expect.
MOSQUITTOS_DEFAULTS = {
    "max_topic_levels": 201,
    "max_session_expiry_seconds": 4294967295,
    "receive_maximum": 20,
    "topic_alias_maximum": 10,
    "max_packet_bytes": 268435455,
}
# The least that each may be in Weir.
COUNTERPARTS = {
    "max_connections": ("limits", ["max_connections"], 1),
    "max_inflight_messages": ("limits", ["receive_maximum", "inflight_maximum"], 1),
    "max_packet_size": ("limits", ["max_packet_bytes"], 128),
    "max_keepalive": ("timing", ["server_keep_alive_seconds"], 1),
}


def main(kind, program, words, *arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("-v", action="store_true")
    parser.add_argument("-p", type=int)
    parser.add_argument("-c")
    asked = parser.parse_args(arguments)
    if asked.c:
        with open(asked.c) as file:
            lines = [line.split() for line in file if line.strip()]
    else:
        lines = [["listener", str(asked.p)], ["allow_anonymous", "true"]]
    port = next((int(line[1]) for line in lines if line[0] in ("port", "listener")), None)
    if port is None:
        sys.exit(NOT_APPLICABLE + "no port")
    broker_port = free_port()
    config = weirs(lines, broker_port) if kind == "weir" else mosquittos(lines, broker_port)
    started(kind, program, config, broker_port)
    asyncio.run(adapter.serve(port, broker_port, wording.WORDINGS[words]))


def started(kind, program, config, port):
    """Starts the broker and waits until it listens; it ends when this process is told to."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(config)
        file.flush()
        options = ["run", "--config", file.name] if kind == "weir" else ["-c", file.name]
        broker = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        signal.signal(signal.SIGTERM, lambda *_: ended(broker))
        try:
            wait_for(port)
        except OSError:
            ended(broker)


def ended(broker):
    broker.kill()
    broker.wait()
    # At once, whatever the connections are doing.
    os._exit(0)


def mosquittos(lines, port):
    """The same configuration with a WebSocket listener."""
    # Without the first listener 2.0.11 does not start, without the domain it listens on all addresses.
    listener = f"listener {free_port()} 127.0.0.1\nlistener {port} 127.0.0.1\nsocket_domain ipv4\nprotocol websockets"
    lines = [[listener] if line[0] in ("port", "listener") else line for line in lines]
    return "".join(" ".join(line) + "\n" for line in [["set_tcp_nodelay", "true"], *lines])


def weirs(lines, port):
    """The same configuration in Weir's words."""
    sections = {"limits": dict(MOSQUITTOS_DEFAULTS), "timing": {}, "auth": {"anonymous": '"nowhere"'}}
    for name, value in lines:
        if name == "allow_anonymous":
            sections["auth"]["anonymous"] = '"everywhere"' if value == "true" else '"nowhere"'
        elif name in COUNTERPARTS and int(value) >= COUNTERPARTS[name][2]:
            section, keys, _ = COUNTERPARTS[name]
            sections[section].update(dict.fromkeys(keys, value))
        elif name == "acl_file":
            sections["auth"]["acl_file"] = f'"{value}"'
        elif name not in ("port", "listener", "log_type") and [name, value] != ["persistence", "false"]:
            sys.exit(f"{NOT_APPLICABLE}{name} {value}")
    # With more, the turns that 02-shared-qos0-v5 expects within a group are those of each shard.
    text = f'shards = 1\n[[listener]]\nbind = "127.0.0.1:{port}"\n'
    for section, keys in sections.items():
        text += f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
    return text


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_for(port):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
