//! A client that speaks in packets: tokio-tungstenite below, or a bare stream, weir-codec above.
//!
//! It does nothing by itself: no pings, no reconnection, no acknowledgement but where a method says so. A
//! packet that arrives while a method waits for another is kept and given later, in order.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use weir_codec::{
    Ack, ConnAck, Connect, Decoder, Delivery, Packet, PacketId, Publish, Qos, ReasonCode, SubAck,
    SubscriptionOptions, Version,
};

use crate::transport::{Stream, Transport};
use crate::{Broker, Endpoint, PATIENCE, SILENCE, packets};

/// A close code, as far as the transport has any: without WebSocket it equals every other.
#[derive(Debug, Clone, Copy)]
pub struct Code(pub u16);

/// How a connection was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The close code; 1006 if a WebSocket ended without a close frame.
    pub code: Code,
    /// The reason's text.
    pub reason: String,
}

/// What packets go through.
enum Socket {
    WebSocket(Box<WebSocketStream<Stream>>),
    Raw(Stream),
}

/// What comes out of it.
enum Arrival {
    Bytes(Bytes),
    Closed(Close),
}

/// A connected client.
pub struct Client {
    socket: Socket,
    decoder: Decoder,
    version: Version,
    connack: Option<ConnAck>,
    kept: VecDeque<Packet>,
    last_id: u16,
}

impl Client {
    /// Connects and is accepted.
    pub async fn connect(broker: &Broker, connect: Connect) -> Self {
        let mut client = Self::open(broker, connect.version).await;
        let connack = client.ask(connect).await;
        assert_eq!(connack.reason, ReasonCode::Success, "{connack:?}");
        client
    }

    /// Connects as a clean MQTT 5.0 client.
    pub async fn v5(broker: &Broker, client_id: &str) -> Self {
        Self::connect(broker, packets::connect(Version::V5, client_id)).await
    }

    /// Connects and is refused: the CONNACK, then how the connection was closed.
    pub async fn refused(broker: &Broker, connect: Connect) -> (ConnAck, Close) {
        let mut client = Self::open(broker, connect.version).await;
        let connack = client.ask(connect).await;
        (connack, client.closed().await)
    }

    /// Opens a connection for this version and sends nothing.
    pub async fn open(broker: &Broker, version: Version) -> Self {
        let (transport, endpoint) = broker.listener();
        Self::open_at(*transport, endpoint, version).await
    }

    /// Opens a connection to one of several listeners and sends nothing.
    pub async fn open_at(transport: Transport, endpoint: &Endpoint, version: Version) -> Self {
        let stream = transport.connect(endpoint).await;
        Self::over(transport, stream, version).await
    }

    /// Opens a WebSocket with this path and query string and these headers besides its own, and sends nothing.
    pub async fn open_with(
        broker: &Broker,
        version: Version,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let (transport, endpoint) = broker.listener();
        let stream = transport.connect(endpoint).await;
        let socket = upgrade(stream, version, target, headers).await;
        Self::with(Socket::WebSocket(Box::new(socket)), version)
    }

    /// Goes on with a stream that somebody else opened.
    pub async fn over(transport: Transport, stream: Stream, version: Version) -> Self {
        let socket = match transport.has_websocket() {
            true => Socket::WebSocket(Box::new(upgrade(stream, version, "/mqtt", &[]).await)),
            false => Socket::Raw(stream),
        };
        Self::with(socket, version)
    }

    fn with(socket: Socket, version: Version) -> Self {
        Self {
            socket,
            decoder: Decoder::client(version, u32::MAX),
            version,
            connack: None,
            kept: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Sends a CONNECT and gives the answer.
    pub async fn ask(&mut self, connect: Connect) -> ConnAck {
        self.send(Packet::Connect(Box::new(connect))).await;
        match self.recv().await {
            Packet::ConnAck(connack) => self.connack.insert(connack).clone(),
            other => panic!("expected CONNACK, got {other:?}"),
        }
    }

    /// The CONNACK that accepted this client.
    pub fn connack(&self) -> &ConnAck {
        self.connack.as_ref().expect("a connected client")
    }

    /// Sends a packet as one WebSocket message.
    pub async fn send(&mut self, packet: Packet) {
        let bytes = self.encode([packet]);
        self.send_bytes(bytes).await;
    }

    /// Sends a packet to a broker that may be gone; whether the connection took it.
    pub async fn try_send(&mut self, packet: Packet) -> bool {
        let bytes = self.encode([packet]);
        self.socket.send(bytes).await
    }

    /// Sends several packets in one WebSocket message.
    pub async fn send_together(&mut self, packets: impl IntoIterator<Item = Packet>) {
        let bytes = self.encode(packets);
        self.send_bytes(bytes).await;
    }

    /// Sends bytes as one binary WebSocket message.
    pub async fn send_bytes(&mut self, bytes: impl Into<Bytes>) {
        let sent = self.socket.send(bytes.into()).await;
        assert!(sent, "the connection takes a message");
    }

    /// The bytes of packets in this client's version.
    pub fn encode(&self, packets: impl IntoIterator<Item = Packet>) -> Bytes {
        let mut bytes = BytesMut::new();
        for packet in packets {
            packet
                .encode(self.version, &mut bytes)
                .expect("a packet that can be encoded");
        }
        bytes.freeze()
    }

    /// The next packet.
    pub async fn recv(&mut self) -> Packet {
        match self.kept.pop_front() {
            Some(packet) => packet,
            None => self.arrival().await,
        }
    }

    /// The next packet of a broker that may be gone; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Packet> {
        match self.kept.pop_front() {
            Some(packet) => Some(packet),
            None => self.read().await.ok(),
        }
    }

    /// The next packet, which has to be a PUBLISH. Nothing is acknowledged.
    pub async fn publication(&mut self) -> Publish {
        match self.recv().await {
            Packet::Publish(publish) => publish,
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }

    /// The next packet, which has to be a PUBLISH, acknowledged as its QoS asks, to the end.
    pub async fn message(&mut self) -> Publish {
        let publish = self.publication().await;
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => self.send(Packet::PubAck(Ack::success(id))).await,
            Delivery::ExactlyOnce(id) => {
                self.send(Packet::PubRec(Ack::success(id))).await;
                self.awaited(|packet| matches!(packet, Packet::PubRel(ack) if ack.packet_id == id))
                    .await;
                self.send(Packet::PubComp(Ack::success(id))).await;
            }
        }
        publish
    }

    /// The payload of the next message as text; see [`Client::message`].
    pub async fn payload(&mut self) -> String {
        String::from_utf8(self.message().await.payload.to_vec()).expect("a text payload")
    }

    /// Subscribes to one filter, and is granted or refused: the reason in the SUBACK.
    pub async fn subscribe(
        &mut self,
        filter: &str,
        options: impl Into<SubscriptionOptions>,
    ) -> ReasonCode {
        let id = self.next_id();
        let subscribe = packets::subscribe(id.get(), filter, options);
        self.send(Packet::Subscribe(subscribe)).await;
        self.suback(id).await.reasons[0]
    }

    /// Waits for the SUBACK of this packet id.
    pub async fn suback(&mut self, id: PacketId) -> SubAck {
        let packet = self
            .awaited(|packet| matches!(packet, Packet::SubAck(ack) if ack.packet_id == id))
            .await;
        let Packet::SubAck(suback) = packet else {
            unreachable!("it was just matched")
        };
        suback
    }

    /// Unsubscribes from one filter and waits for the UNSUBACK.
    pub async fn unsubscribe(&mut self, filter: &str) {
        let id = self.next_id();
        self.send(Packet::Unsubscribe(packets::unsubscribe(id.get(), filter)))
            .await;
        self.awaited(|packet| matches!(packet, Packet::UnsubAck(ack) if ack.packet_id == id))
            .await;
    }

    /// Publishes and waits for the last acknowledgement; gives its reason, Success for QoS 0.
    pub async fn publish(&mut self, topic: &str, payload: &str, qos: Qos) -> ReasonCode {
        let id = self.next_id().get();
        let publish = packets::publish(topic, payload.as_bytes().to_vec(), qos, id);
        self.publish_packet(publish).await
    }

    /// Publishes a retained message; an empty payload removes the one there is.
    pub async fn retain(&mut self, topic: &str, payload: &str, qos: Qos) -> ReasonCode {
        let id = self.next_id().get();
        let publish = packets::publish(topic, payload.as_bytes().to_vec(), qos, id);
        self.publish_packet(Publish {
            retain: true,
            ..publish
        })
        .await
    }

    /// Sends this PUBLISH and waits for the last acknowledgement; gives its reason, Success for QoS 0.
    pub async fn publish_packet(&mut self, publish: Publish) -> ReasonCode {
        let delivery = publish.delivery;
        self.send(Packet::Publish(publish)).await;
        self.complete(delivery).await
    }

    /// Carries what was sent to its last acknowledgement; gives its reason, Success for QoS 0.
    pub async fn complete(&mut self, delivery: Delivery) -> ReasonCode {
        match delivery {
            Delivery::AtMostOnce => ReasonCode::Success,
            Delivery::AtLeastOnce(id) => {
                self.acknowledged(
                    |packet| matches!(packet, Packet::PubAck(ack) if ack.packet_id == id),
                )
                .await
            }
            Delivery::ExactlyOnce(id) => {
                self.acknowledged(
                    |packet| matches!(packet, Packet::PubRec(ack) if ack.packet_id == id),
                )
                .await;
                self.send(Packet::PubRel(Ack::success(id))).await;
                self.acknowledged(
                    |packet| matches!(packet, Packet::PubComp(ack) if ack.packet_id == id),
                )
                .await
            }
        }
    }

    /// Checks that no packet arrives for a moment.
    pub async fn silent(&mut self) {
        self.silent_for(SILENCE).await;
    }

    /// Checks that no packet arrives for this long.
    pub async fn silent_for(&mut self, time: Duration) {
        let arrival = match self.kept.pop_front() {
            Some(packet) => Some(packet),
            None => timeout(time, self.arrival()).await.ok(),
        };
        assert_eq!(arrival, None, "nothing should have come");
    }

    /// Waits for the broker to close the connection; no further packet may come before it does.
    pub async fn closed(&mut self) -> Close {
        assert_eq!(self.kept, [], "nothing should have come before the close");
        let closed = timeout(PATIENCE, self.close_frame()).await;
        closed.expect("the broker closes in time")
    }

    /// Waits for a DISCONNECT and then the close: its reason and the close code.
    pub async fn disconnected(&mut self) -> (ReasonCode, Code) {
        match self.recv().await {
            Packet::Disconnect(disconnect) => (disconnect.reason, self.closed().await.code),
            other => panic!("expected DISCONNECT, got {other:?}"),
        }
    }

    /// Says goodbye, and waits until the broker has closed.
    pub async fn leave(mut self) -> Close {
        self.send(packets::disconnect(ReasonCode::Success)).await;
        self.closed().await
    }

    /// Cuts the connection without a word.
    pub fn vanish(self) {
        drop(self);
    }

    /// A packet id that is not in use.
    pub fn next_id(&mut self) -> PacketId {
        self.last_id += 1;
        packets::packet_id(self.last_id)
    }

    /// The next packet that is wanted; those before it are kept.
    async fn awaited(&mut self, wanted: impl Fn(&Packet) -> bool) -> Packet {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at).expect("a position just found");
        }
        loop {
            let packet = self.arrival().await;
            if wanted(&packet) {
                return packet;
            }
            self.kept.push_back(packet);
        }
    }

    async fn acknowledged(&mut self, wanted: impl Fn(&Packet) -> bool) -> ReasonCode {
        match self.awaited(wanted).await {
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => ack.reason,
            other => panic!("expected an acknowledgement, got {other:?}"),
        }
    }

    /// The next packet from the socket.
    async fn arrival(&mut self) -> Packet {
        self.read().await.expect("a packet, not the end")
    }

    /// The next packet from the socket, or what came instead of one.
    async fn read(&mut self) -> Result<Packet, Close> {
        loop {
            if let Some(packet) = self
                .decoder
                .next_packet()
                .expect("the broker sends valid packets")
            {
                return Ok(packet);
            }
            let arrival = timeout(PATIENCE, self.socket.next()).await;
            match arrival.expect("the broker sends a packet in time") {
                Arrival::Bytes(bytes) => self.decoder.push(bytes),
                Arrival::Closed(close) => return Err(close),
            }
        }
    }

    async fn close_frame(&mut self) -> Close {
        match self.socket.next().await {
            Arrival::Closed(close) => close,
            Arrival::Bytes(bytes) => panic!("expected a close, got {bytes:?}"),
        }
    }
}

impl Socket {
    /// Whether the connection took the bytes.
    async fn send(&mut self, bytes: Bytes) -> bool {
        match self {
            Self::WebSocket(socket) => socket.send(Message::Binary(bytes)).await.is_ok(),
            Self::Raw(stream) => {
                stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok()
            }
        }
    }

    async fn next(&mut self) -> Arrival {
        match self {
            Self::WebSocket(socket) => next_message(socket).await,
            Self::Raw(stream) => {
                let mut bytes = BytesMut::with_capacity(64 << 10);
                match stream.read_buf(&mut bytes).await {
                    Ok(0) | Err(_) => Arrival::Closed(Close::without_code(Code::NONE)),
                    Ok(_) => Arrival::Bytes(bytes.freeze()),
                }
            }
        }
    }
}

async fn next_message(socket: &mut WebSocketStream<Stream>) -> Arrival {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Arrival::Bytes(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(frame))) => {
                let _ = socket.flush().await;
                return Arrival::Closed(frame.map_or(Close::without_code(Code(1005)), |frame| {
                    Close {
                        code: Code(frame.code.into()),
                        reason: frame.reason.to_string(),
                    }
                }));
            }
            Some(Ok(other)) => panic!("expected packets, got {other:?}"),
            Some(Err(_)) | None => return Arrival::Closed(Close::without_code(Code(1006))),
        }
    }
}

async fn upgrade(
    stream: Stream,
    version: Version,
    target: &str,
    headers: &[(&str, &str)],
) -> WebSocketStream<Stream> {
    let subprotocol = if version == Version::V3_1 {
        "mqttv3.1"
    } else {
        "mqtt"
    };
    let mut request = http::Request::get(format!("ws://localhost{target}"))
        .header("Host", "localhost")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Protocol", subprotocol);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    let upgrade = tokio_tungstenite::client_async(request, stream);
    let (socket, response) = upgrade.await.expect("an upgrade");
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], subprotocol);
    socket
}

impl Code {
    const NONE: Self = Self(0);
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.0 == Self::NONE.0 || other.0 == Self::NONE.0
    }
}

impl Eq for Code {}

impl PartialEq<u16> for Code {
    fn eq(&self, other: &u16) -> bool {
        *self == Self(*other)
    }
}

impl Close {
    /// Whether the reason has these words, as far as the transport has any.
    pub fn says(&self, words: &str) -> bool {
        self.reason.contains(words) || self.code.0 == Code::NONE.0
    }

    fn without_code(code: Code) -> Self {
        Self {
            code,
            reason: String::new(),
        }
    }
}
