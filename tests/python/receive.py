"""paho-mqtt receives a whole replayed stream: arguments are the broker's ws:// address and the stream's file.

Prints "ready" once subscribed. Order is compared within each QoS, which is what MQTT promises.
"""

import base64
import collections
import json
import sys

import paho.mqtt.client as paho

from check import check, same
from peer import Peer

URL, FILE = sys.argv[1:]


def receive():
    expected = collections.defaultdict(collections.deque)
    with open(FILE, encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line)
            expected[message["qos"]].append((message["topic"], message["payload"]))
    peer = Peer(URL, paho.MQTTv5, "receiver-paho")
    same(peer.subscribe("#", 2), [2], "SUBACK")
    print("ready", flush=True)
    while any(expected.values()):
        message = peer.message()
        wanted = expected[message.qos].popleft()
        same((message.topic, base64.b64encode(message.payload).decode()), wanted, f"QoS {message.qos}")
    peer.leave()


check("paho-mqtt received the stream in order", receive)
