"""Writes the messages of a home, one JSON object a line, to the file that is the argument.

The stream is synthetic: no public recording could be had, so it is made here, from a fixed seed, in the
shapes real software publishes. Home Assistant discovery (hundreds of retained configurations of 300 to
1,200 bytes when the hub starts), Zigbee2MQTT states, Tasmota telemetry, Shelly status, Frigate events with
JPEG snapshots, ESPHome logs, rtl_433 weather, a Sparkplug B edge node with binary payloads. QoS, retain
flags and sizes follow what these programs do by default.
"""

import base64
import json
import random
import sys

SEED = 20240229
COUNT = 4000
ROOMS = ("kitchen", "hall", "bath", "attic", "cellar", "living_room", "küche", "garden")
START = 1_709_190_000


def main(path):
    chance = random.Random(SEED)
    messages = list(discovery(chance))
    sources = [zigbee, tasmota, shelly, frigate, esphome, weather, sparkplug, switches]
    weights = [30, 16, 14, 8, 12, 8, 6, 6]
    while len(messages) < COUNT:
        messages.extend(chance.choices(sources, weights)[0](chance, START + len(messages)))
    with open(path, "w", encoding="utf-8") as file:
        for topic, payload, qos, retain in messages[:COUNT]:
            encoded = base64.b64encode(payload).decode()
            file.write(json.dumps({"topic": topic, "payload": encoded, "qos": qos, "retain": retain}) + "\n")


def text(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def ieee(chance):
    return f"0x00158d{chance.getrandbits(40):010x}"


def discovery(chance):
    """What a hub announces when it starts: one retained configuration for every entity."""
    kinds = {
        "sensor": ("temperature", "humidity", "battery", "linkquality", "pressure", "power", "energy"),
        "binary_sensor": ("contact", "occupancy", "water_leak", "tamper"),
        "light": ("light",), "switch": ("switch", "child_lock"), "update": ("firmware",),
    }
    for number in range(60):
        device = ieee(chance)
        name = f"{chance.choice(ROOMS)}_{number}"
        about = {
            "identifiers": [f"zigbee2mqtt_{device}"], "manufacturer": chance.choice(("Aqara", "IKEA of Sweden", "Philips")),
            "model": chance.choice(("Temperature and humidity sensor (WSDCGQ11LM)", "TRADFRI bulb E27 CWS 806lm (LED1924G9)")),
            "name": name, "sw_version": f"{chance.randrange(9)}.{chance.randrange(99)}", "via_device": "zigbee2mqtt_bridge",
        }
        for kind, entity in chance.sample([(k, e) for k, es in kinds.items() for e in es], 10):
            config = {
                "availability": [{"topic": "zigbee2mqtt/bridge/state", "value_template": "{{ value_json.state }}"}],
                "availability_mode": "all", "device": about, "device_class": entity, "enabled_by_default": True,
                "object_id": f"{name}_{entity}", "origin": {"name": "Zigbee2MQTT", "sw": "1.35.3"},
                "state_class": "measurement", "state_topic": f"zigbee2mqtt/{name}",
                "unique_id": f"{device}_{entity}_zigbee2mqtt", "value_template": "{{ value_json.%s }}" % entity,
            }
            if kind == "light":
                config.update(schema="json", brightness=True, effect_list=["blink", "breathe", "okay"] * chance.randrange(1, 8))
            yield f"homeassistant/{kind}/{device}/{entity}/config", text(config), 1, True


def zigbee(chance, now):
    name = f"{chance.choice(ROOMS)}_{chance.randrange(60)}"
    state = {
        "battery": chance.randrange(101), "humidity": round(chance.uniform(20, 80), 2), "last_seen": f"{now}000",
        "linkquality": chance.randrange(256), "pressure": round(chance.uniform(980, 1030), 1),
        "temperature": round(chance.uniform(-15, 30), 2), "voltage": chance.randrange(2700, 3200),
    }
    yield f"zigbee2mqtt/{name}", text(state), 0, chance.random() < 0.2
    if chance.random() < 0.1:
        yield f"zigbee2mqtt/{name}/availability", text({"state": "online"}), 1, True


def tasmota(chance, now):
    plug = f"tasmota_{chance.randrange(0x1000000):06X}" if chance.random() < 0.1 else f"plug_{chance.randrange(20)}"
    energy = {"TotalStartTime": "2023-01-01T00:00:00", "Total": round(chance.uniform(1, 900), 3), "Power": chance.randrange(2300),
              "ApparentPower": chance.randrange(2300), "Factor": round(chance.random(), 2), "Voltage": 230, "Current": round(chance.uniform(0, 10), 3)}
    yield f"tele/{plug}/SENSOR", text({"Time": f"2024-02-29T07:{now % 60:02}:00", "ENERGY": energy}), 0, False
    if chance.random() < 0.3:
        yield f"tele/{plug}/STATE", text({"Time": "2024-02-29T07:00:00", "Uptime": "12T03:04:05", "Heap": 27, "POWER": "ON",
                                          "Wifi": {"AP": 1, "SSId": "home", "RSSI": chance.randrange(101), "Signal": -60}}), 0, False
    if chance.random() < 0.2:
        yield f"stat/{plug}/RESULT", text({"POWER": chance.choice(("ON", "OFF"))}), 0, False
        yield f"stat/{plug}/POWER", chance.choice((b"ON", b"OFF")), 0, True
    if chance.random() < 0.05:
        yield f"tele/{plug}/LWT", b"Online", 1, True


def shelly(chance, now):
    name = f"shellyplus1pm-{chance.randrange(30):012x}"
    status = {"id": 0, "source": "init", "output": chance.random() < 0.5, "apower": round(chance.uniform(0, 2000), 1), "voltage": 231.4,
              "aenergy": {"total": round(chance.uniform(0, 1e6), 3), "by_minute": [0.0, 1.5, 2.25], "minute_ts": now}}
    yield f"{name}/status/switch:0", text(status), 1, chance.random() < 0.5
    if chance.random() < 0.3:
        event = {"src": name, "dst": f"{name}/events", "method": "NotifyStatus", "params": {"ts": now + 0.25, "switch:0": status}}
        yield f"{name}/events/rpc", text(event), 1, False


def frigate(chance, now):
    camera = chance.choice(("front", "yard"))
    label = chance.choice(("person", "cat", "car"))
    box = [chance.randrange(1920) for _ in range(4)]
    event = {"id": f"{now}.{chance.randrange(999999)}-abc", "camera": camera, "label": label, "score": chance.random(), "box": box,
             "area": chance.randrange(90000), "region": box, "stationary": False, "current_zones": ["drive", "path"], "has_snapshot": True}
    yield "frigate/events", text({"before": event, "after": event, "type": chance.choice(("new", "update", "end"))}), 0, False
    yield f"frigate/{camera}/{label}", str(chance.randrange(4)).encode(), 0, True
    if chance.random() < 0.1:
        yield f"frigate/{camera}/{label}/snapshot", b"\xff\xd8\xff\xe0" + chance.randbytes(chance.randrange(8_000, 60_000)), 0, True


def esphome(chance, now):
    line = f"\x1b[0;36m[D][sensor:094]: 'CO2': Sending state {chance.randrange(400, 2000)}.00000 ppm with 0 decimals of accuracy\x1b[0m"
    yield "office-co2/debug", line.encode(), 0, False
    yield "office-co2/sensor/co2/state", str(chance.randrange(400, 2000)).encode(), 2, True


def weather(chance, now):
    reading = {"time": now, "model": "Bresser-5in1", "id": 118, "battery_ok": 1, "temperature_C": round(chance.uniform(-5, 20), 1),
               "humidity": chance.randrange(101), "wind_max_m_s": 4.4, "wind_avg_m_s": 3.1, "rain_mm": 12.7, "mic": "CHECKSUM"}
    yield "rtl_433/attic/events", text(reading), 0, False
    for key in ("temperature_C", "humidity"):
        yield f"rtl_433/attic/devices/Bresser-5in1/118/{key}", str(reading[key]).encode(), 0, False


def sparkplug(chance, now):
    """Protobuf as a Sparkplug B edge node sends it; only its shape and its bytes matter here."""
    metrics = b"".join(b"\x12\x0d\x10" + bytes([chance.randrange(128)]) + b"\x18\xe8\x9f\x20\x0a\x65" + chance.randbytes(4) for _ in range(chance.randrange(1, 12)))
    yield "spBv1.0/home/DDATA/edge/boiler", b"\x08" + chance.randbytes(6) + metrics + b"\x18" + bytes([now % 256]), 0, False


def switches(chance, now):
    """Commands, which people want to arrive exactly once."""
    yield f"zigbee2mqtt/{chance.choice(ROOMS)}/set", text({"state": "TOGGLE", "transition": 2}), 2, False
    yield f"cmnd/plug_{chance.randrange(20)}/POWER", b"", 2, False


main(sys.argv[1])
