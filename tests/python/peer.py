"""A paho-mqtt client over WebSocket whose callbacks fill queues, so that a test reads top to bottom."""

import queue
import socket
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from check import same, take

NAMES = {paho.MQTTv31: "3.1", paho.MQTTv311: "3.1.1", paho.MQTTv5: "5.0"}


class Peer:
    """One client, connected and with its network thread running."""

    def __init__(self, url, version, client_id, clean=True, will=None, expiry_seconds=0):
        self.connacks, self.messages, self.lost = queue.Queue(), queue.Queue(), queue.Queue()
        self.done = queue.Queue()
        self.over = False
        self.version = version
        self.client = self._client(client_id, clean)
        if will:
            self.client.will_set(*will)
        self._connect(url, clean, expiry_seconds)
        self.session_present, reason = take(self.connacks, "CONNACK")
        same(reason, "Success", "CONNACK")

    def _client(self, client_id, clean):
        fresh = {} if self.version == paho.MQTTv5 else {"clean_session": clean}
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=self.version,
            transport="websockets", reconnect_on_failure=False, **fresh,
        )
        client.on_connect = lambda c, u, flags, reason, p: self.connacks.put((flags.session_present, str(reason)))
        client.on_message = lambda c, u, message: self.messages.put(message)
        client.on_disconnect = lambda c, u, flags, reason, p: self.lost.put(reason)
        client.on_subscribe = lambda c, u, mid, reasons, p: self.done.put([reason.value for reason in reasons])
        client.on_unsubscribe = lambda c, u, mid, reasons, p: self.done.put("unsubscribed")
        client.on_socket_open = without_delay
        return client

    def _connect(self, url, clean, expiry_seconds):
        address = urlsplit(url)
        self.client.ws_set_options(path="/mqtt")
        options = {}
        if self.version == paho.MQTTv5:
            options["clean_start"] = clean
            options["properties"] = properties(PacketTypes.CONNECT, SessionExpiryInterval=expiry_seconds)
        self.client.connect(address.hostname, address.port, keepalive=30, **options)
        self.client.loop_start()

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        return take(self.done, "SUBACK")

    def unsubscribe(self, topic):
        self.client.unsubscribe(topic)
        take(self.done, "UNSUBACK")

    def publish(self, topic, payload, qos, retain=False, **named):
        attached = properties(PacketTypes.PUBLISH, **named) if named else None
        return self.client.publish(topic, payload, qos, retain, attached)

    def publish_and_wait(self, *arguments, **named):
        sent = self.publish(*arguments, **named)
        sent.wait_for_publish(15)
        same(sent.is_published(), True, "published")

    def message(self):
        return take(self.messages, "a message")

    def leave(self):
        """Says goodbye."""
        self.client.disconnect()
        self.await_end()

    def vanish(self):
        """Cuts the connection without a word."""
        socket.socket.shutdown(tcp(self.client), socket.SHUT_RDWR)
        self.await_end()

    def await_end(self):
        """Waits until the connection is over, and gives the reason that was told."""
        reason = take(self.lost, "the end of the connection")
        self.client.loop_stop()
        self.over = True
        return reason


def properties(packet, **named):
    made = Properties(packet)
    for name, value in named.items():
        setattr(made, name, value)
    return made


def without_delay(client, userdata, opened):
    """paho leaves Nagle's algorithm on; its small writes would each wait for the peer's delayed ACK."""
    tcp(client).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tcp(client):
    wrapped = client.socket()
    return getattr(wrapped, "_socket", wrapped)
