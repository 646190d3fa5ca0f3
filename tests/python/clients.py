"""paho-mqtt over WebSocket against the broker whose ws:// address is the argument."""

import sys

import paho.mqtt.client as paho

from check import check, same
from peer import NAMES, Peer

URL = sys.argv[1]
serial = 0


def name(word):
    global serial
    serial += 1
    return f"py-{serial}-{word}"


class World:
    """One scenario's clients, all of one protocol version."""

    def __init__(self, version):
        self.version = version
        self.peers = []

    def peer(self, client_id=None, **options):
        made = Peer(URL, self.version, client_id or name("c"), **options)
        self.peers.append(made)
        return made

    def present(self, peer):
        """Whether Session Present says so; 3.1 had no such flag."""
        return peer.session_present if self.version != paho.MQTTv31 else True

    def leave(self):
        for peer in self.peers:
            if not peer.over:
                peer.leave()


def delivers(w, published, subscribed):
    topic = name("t")
    subscriber, publisher = w.peer(), w.peer()
    same(subscriber.subscribe(topic, subscribed), [subscribed], "SUBACK")
    publisher.publish_and_wait(topic, b"payload", published)
    message = subscriber.message()
    same((message.topic, message.payload), (topic, b"payload"))
    same((message.qos, message.retain), (min(published, subscribed), False), "QoS and retain")


def payloads(w):
    topic, peer = name("t"), w.peer()
    peer.subscribe(topic, 2)
    for payload in (b"", bytes(range(256)), bytes(range(256)) * 1200):
        peer.publish_and_wait(topic, payload, 2)
        same(peer.message().payload == payload, True, f"{len(payload)} bytes unchanged")


def retained(w):
    topic, publisher, subscriber = name("t"), w.peer(), w.peer()
    publisher.publish_and_wait(topic, b"kept", 1, True)
    subscriber.subscribe(topic, 1)
    message = subscriber.message()
    same((message.payload, message.retain), (b"kept", True))
    publisher.publish_and_wait(topic, b"", 1, True)
    same(subscriber.message().retain, False, "retain of a live delivery")
    late = w.peer()
    late.subscribe(topic, 1)
    publisher.publish_and_wait(topic, b"live", 1)
    same(late.message().payload, b"live")


def wildcards(w):
    root, peer = name("t"), w.peer()
    peer.subscribe(f"{root}/+/on", 1)
    for leaf in ("a/on", "a/off", "on", "b/on"):
        peer.publish_and_wait(f"{root}/{leaf}", leaf, 1)
    same([peer.message().payload for _ in range(2)], [b"a/on", b"b/on"])
    peer.unsubscribe(f"{root}/+/on")
    peer.subscribe(f"{root}/end", 1)
    peer.publish_and_wait(f"{root}/c/on", "unheard", 1)
    peer.publish_and_wait(f"{root}/end", "end", 1)
    same(peer.message().payload, b"end")


def wills(w):
    topic, watcher = name("t"), w.peer()
    watcher.subscribe(topic, 2)
    w.peer(will=(topic, b"polite", 2, False)).leave()
    w.peer(will=(topic, b"vanished", 2, False)).vanish()
    message = watcher.message()
    same((message.payload, message.qos), (b"vanished", 2))


def persistent(w):
    topic, client_id, publisher = name("t"), name("keeper"), w.peer()
    lasting = {"client_id": client_id, "clean": False, "expiry_seconds": 600}
    first = w.peer(**lasting)
    same(first.session_present, False, "Session Present of a new session")
    first.subscribe(topic, 2)
    first.leave()
    for index in range(40):
        publisher.publish_and_wait(topic, f"{index}", 1 if index < 20 else 2)
    second = w.peer(**lasting)
    same(w.present(second), True, "Session Present")
    got = [second.message() for _ in range(40)]
    for qos, expected in ((1, range(20)), (2, range(20, 40))):
        payloads_of = [int(message.payload) for message in got if message.qos == qos]
        same(payloads_of, list(expected), f"the QoS {qos} messages")
    second.leave()
    w.peer(client_id=client_id, clean=True).leave()
    third = w.peer(**{**lasting, "expiry_seconds": 0})
    same(third.session_present, False, "Session Present after a clean start")
    third.leave()
    w.peer(client_id=client_id, clean=True)


def burst(w):
    topic, subscriber, publisher = name("t"), w.peer(), w.peer()
    subscriber.subscribe(f"{topic}/#", 2)
    for qos in (0, 1, 2):
        for index in range(500):
            publisher.publish(f"{topic}/{qos}", f"{index}", qos)
        same([int(subscriber.message().payload) for _ in range(500)], list(range(500)), f"QoS {qos}")


def properties(w):
    topic, subscriber, publisher = name("t"), w.peer(), w.peer()
    subscriber.subscribe(topic, 1)
    pairs = [("b", "1"), ("a", "2"), ("b", "3")]
    named = {"UserProperty": pairs, "ResponseTopic": "reply", "CorrelationData": b"\x00\xff", "ContentType": "text"}
    publisher.publish_and_wait(topic, b"payload", 1, **named)
    got = subscriber.message().properties
    same({key: getattr(got, key) for key in named}, named)


def takeover(w):
    client_id = name("twin")
    first = w.peer(client_id)
    w.peer(client_id)
    same(first.await_end().value, 0x8E, "reason")


def everything(version):
    def run(words, scenario):
        world = World(version)
        check(f"MQTT {NAMES[version]}: {words}", lambda: scenario(world))
        world.leave()

    for published in (0, 1, 2):
        for subscribed in (0, 1, 2):
            run(f"QoS {published} to a QoS {subscribed} subscription", lambda w: delivers(w, published, subscribed))
    run("payloads of 0, 256 and 300 Ki bytes arrive unchanged", payloads)
    run("wildcards match, and unsubscribing stops deliveries", wildcards)
    run("a retained message meets a later subscriber, until it is cleared", retained)
    run("a will is published for a client that vanishes, not for one that says goodbye", wills)
    run("a persistent session keeps what arrives while its client is away", persistent)
    run("500 messages of each QoS arrive in order", burst)
    if version == paho.MQTTv5:
        run("properties pass through in order and untouched", properties)
        run("a second client with the same id takes over, and the first is told", takeover)


for protocol in (paho.MQTTv31, paho.MQTTv311, paho.MQTTv5):
    everything(protocol)
