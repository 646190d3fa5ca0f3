"""Words a broker's MQTT 5.0 packets as mosquitto would, for scripts that compare every byte it sends.

The specification leaves these things to the server, so a script that insists on one of them says nothing about
conformance. `Plain` leaves all as it is. `Strict` is for a first run: no Reason String and no Maximum Packet Size,
and properties in mosquitto's order. `Lenient` also takes a PUBACK, PUBREC or PUBCOMP with reason code 0x10 (no matching
subscribers) or 0x92 (packet identifier not found) for one without, and a close after DISCONNECT for a silent one.
"""

CONNACK, PUBACK, PUBREC, PUBCOMP, DISCONNECT = 0x20, 0x40, 0x50, 0x70, 0xE0
REASON_STRING, MAXIMUM_PACKET_SIZE, USER_PROPERTY = 0x1F, 0x27, 0x26
TOPIC_ALIAS_MAXIMUM, RECEIVE_MAXIMUM = 0x22, 0x21
# Bytes of the values of a fixed size; all others begin with their length.
SIZES = {0x11: 4, 0x27: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x28: 1, 0x29: 1, 0x2A: 1}


class Plain:
    def sent(self, data):
        """What the client sent."""

    def received(self, data):
        """What the client is given of what the broker sent."""
        return data


class Strict(Plain):
    def __init__(self):
        self.rest = b""
        self.is_version_5 = None

    def sent(self, data):
        if self.is_version_5 is None:
            _, name = variable_integer(data, 1)
            level = name + 2 + int.from_bytes(data[name : name + 2], "big")
            self.is_version_5 = data[level : level + 1] == b"\x05"

    def received(self, data):
        if not self.is_version_5:
            return data
        self.rest += data
        words = b""
        while packet := self.next_packet():
            words += self.reworded(*packet)
        return words

    def next_packet(self):
        """The first byte and the body of a packet that is there as a whole."""
        length, start = variable_integer(self.rest, 1)
        if length is None or len(self.rest) < start + length:
            return None
        first, body = self.rest[0], self.rest[start : start + length]
        self.rest = self.rest[start + length :]
        return first, body

    def reworded(self, first, body):
        fixed = {CONNACK: 2, DISCONNECT: 1}.get(first)
        if fixed is None or len(body) <= fixed:
            return encoded(first, body)
        kept = b"".join(value for _, value in sorted(properties(body[fixed:]), key=mosquittos_order))
        if first == DISCONNECT and not kept:
            return encoded(first, body[:fixed])
        return encoded(first, body[:fixed] + variable_bytes(len(kept)) + kept)


class Lenient(Strict):
    def reworded(self, first, body):
        if first == DISCONNECT:
            return b""
        if first in (PUBACK, PUBREC, PUBCOMP) and body[2:3] in (b"\x10", b"\x92"):
            return encoded(first, body[:2])
        return super().reworded(first, body)


WORDINGS = {"plain": Plain, "strict": Strict, "lenient": Lenient}


def properties(data):
    """The properties that are kept, each with its identifier."""
    length, at = variable_integer(data, 0)
    end, kept = at + length, []
    while at < end:
        identifier, start = data[at], at
        at += 1
        for _ in range(2 if identifier == USER_PROPERTY else 1):
            at += SIZES.get(identifier) or 2 + int.from_bytes(data[at : at + 2], "big")
        if identifier not in (REASON_STRING, MAXIMUM_PACKET_SIZE):
            kept.append((identifier, data[start:at]))
    return kept


def mosquittos_order(found):
    return {TOPIC_ALIAS_MAXIMUM: 0, RECEIVE_MAXIMUM: 2}.get(found[0], 1)


def encoded(first, body):
    return bytes([first]) + variable_bytes(len(body)) + body


def variable_bytes(value):
    out = b""
    while True:
        out += bytes([value & 127 | (128 if value > 127 else 0)])
        value >>= 7
        if not value:
            return out


def variable_integer(data, at):
    """A variable byte integer and where it ends; None if it isn't there as a whole."""
    value = 0
    for shift in range(0, 28, 7):
        if at >= len(data):
            return None, at
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            break
    return value, at
