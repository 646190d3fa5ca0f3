//! The floor: a bare epoll server that writes the bytes that come in to everybody who wants them.
//!
//! What it costs is the system calls: no broker on the same sockets can cost less. It knows of MQTT what its one client,
//! this generator, makes it see: it grants everything, never looks into a PUBLISH but into the first of a connection, and
//! passes on whole WebSocket messages, all that came in one turn as one. What is retained it keeps in one piece, for
//! whoever asks for everything. It keeps no promise of MQTT.

mod connection;

use connection::{Connection, Heard};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io::{self, Read};
use std::net::SocketAddr;

const LISTENER: Token = Token(usize::MAX);
const READ_BYTES: usize = 1 << 20;
/// Room in front of a turn's bytes for the header of their frame.
const HEADER_BYTES: usize = 10;

struct Floor {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    /// Places that nobody has.
    free: Vec<usize>,
    /// Who subscribed to what.
    subscriptions: Vec<(Vec<u8>, usize)>,
    channels: Vec<Channel>,
    by_targets: HashMap<(Vec<usize>, bool), usize>,
    /// All retained messages, behind the room for a header.
    retained: Vec<u8>,
    room: Vec<u8>,
}

/// What came in this turn for the same receivers.
struct Channel {
    targets: Vec<usize>,
    /// Each packet goes to one of the targets in turn.
    is_shared: bool,
    turn: usize,
    bytes: Vec<u8>,
}

/// Serves until it is killed.
pub(crate) fn serve(bind: SocketAddr) -> io::Result<()> {
    let (poll, mut listener) = (Poll::new()?, TcpListener::bind(bind)?);
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor {
        poll,
        listener,
        connections: Vec::new(),
        free: Vec::new(),
        subscriptions: Vec::new(),
        channels: Vec::new(),
        by_targets: HashMap::new(),
        retained: vec![0; HEADER_BYTES],
        room: vec![0; READ_BYTES],
    };
    let mut events = Events::with_capacity(1024);
    loop {
        match floor.poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept()?,
                Token(index) => {
                    if event.is_writable() {
                        floor.write_on(index);
                    }
                    if event.is_readable() {
                        floor.read(index);
                    }
                }
            }
        }
        floor.flush();
    }
}

impl Floor {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.connections.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(index), interest)?;
            self.connections
                .resize_with(self.connections.len().max(index + 1), || None);
            self.connections[index] = Some(Connection::new(stream));
        }
    }

    fn write_on(&mut self, index: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(index) {
            connection.write_on();
        }
    }

    fn read(&mut self, index: usize) {
        let mut room = std::mem::take(&mut self.room);
        while let Some(Some(connection)) = self.connections.get_mut(index) {
            match connection.stream.read(&mut room) {
                Ok(0) => self.close(index),
                Ok(read_bytes) => {
                    self.hear(index, &room[..read_bytes]);
                    // A short read has emptied the socket.
                    if read_bytes < room.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.close(index),
            }
        }
        self.room = room;
    }

    fn hear(&mut self, index: usize, read: &[u8]) {
        let Some(Some(connection)) = self.connections.get_mut(index) else {
            return;
        };
        let (channels, retained) = (&mut self.channels, &mut self.retained);
        let (mut is_kept, mut is_over) = (false, false);
        let mut news = Vec::new();
        connection.hear(read, |channel, heard| match (heard, channel) {
            (Heard::Publishes(bytes), Some(channel)) => {
                channels[channel].bytes.extend_from_slice(bytes);
            }
            (Heard::Publishes(bytes), None) => news.push((topic(bytes), Some(bytes.to_vec()))),
            (Heard::Retained(bytes), _) => is_kept |= keep(bytes, retained),
            (Heard::Subscribe(filter), _) => news.push((filter.to_vec(), None)),
            (Heard::Disconnect, _) => is_over = true,
        });
        if is_over {
            return self.close(index);
        }
        if is_kept {
            connection.write(&[0x82, 4, 0x40, 2, 0, 1]);
        }
        for (topic, first) in news {
            match first {
                None if topic == b"#" => self.replay(index),
                None => self.subscriptions.push((topic, index)),
                Some(bytes) => {
                    let channel = self.channel(&topic);
                    self.channels[channel].bytes.extend_from_slice(&bytes);
                    if let Some(Some(connection)) = self.connections.get_mut(index) {
                        connection.channel = Some(channel);
                    }
                }
            }
        }
    }

    /// Its place is the next one's, and what it wanted nobody does any more; who has published keeps its channel.
    fn close(&mut self, index: usize) {
        self.connections[index] = None;
        self.free.push(index);
        self.subscriptions
            .retain(|(_, subscriber)| *subscriber != index);
    }

    fn replay(&mut self, index: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(index) {
            connection.write(connection::frame(&mut self.retained));
        }
    }

    /// The channel to everybody with a filter for this topic.
    fn channel(&mut self, topic: &[u8]) -> usize {
        let shared = |filter: &[u8]| filter.starts_with(b"$share/");
        let wants = |filter: &[u8]| filter == topic || filter.ends_with(b"bench/+");
        let wanting = self
            .subscriptions
            .iter()
            .filter(|(filter, _)| wants(filter));
        let is_shared = wanting.clone().any(|(filter, _)| shared(filter));
        let targets: Vec<usize> = wanting.map(|(_, index)| *index).collect();
        let next = self.channels.len();
        let channel = *self
            .by_targets
            .entry((targets.clone(), is_shared))
            .or_insert(next);
        if channel == next {
            self.channels.push(Channel {
                targets,
                is_shared,
                turn: 0,
                bytes: vec![0; HEADER_BYTES],
            });
        }
        channel
    }

    /// Writes what the turn has brought, once to each receiver.
    fn flush(&mut self) {
        for channel in &mut self.channels {
            if channel.bytes.len() == HEADER_BYTES {
                continue;
            }
            if channel.is_shared {
                channel.share(&mut self.connections);
            } else {
                let frame = connection::frame(&mut channel.bytes);
                for target in &channel.targets {
                    if let Some(Some(connection)) = self.connections.get_mut(*target) {
                        connection.write(frame);
                    }
                }
            }
            channel.bytes.truncate(HEADER_BYTES);
        }
    }
}

impl Channel {
    /// Deals the packets out.
    fn share(&mut self, connections: &mut [Option<Connection>]) {
        let mut hands: Vec<Vec<u8>> = vec![vec![0; HEADER_BYTES]; self.targets.len()];
        let mut rest = &self.bytes[HEADER_BYTES..];
        while let Some((_, _, after)) = crate::packets::split(rest) {
            let packet = &rest[..rest.len() - after.len()];
            hands[self.turn].extend_from_slice(packet);
            self.turn = (self.turn + 1) % self.targets.len();
            rest = after;
        }
        for (hand, target) in hands.iter_mut().zip(&self.targets) {
            if let (true, Some(Some(connection))) =
                (hand.len() > HEADER_BYTES, connections.get_mut(*target))
            {
                connection.write(connection::frame(hand));
            }
        }
    }
}

/// Keeps what is retained; returns whether the last of it came, which is sent a second time to be acknowledged.
fn keep(bytes: &[u8], retained: &mut Vec<u8>) -> bool {
    let mut rest = bytes;
    while let Some((first, _, after)) = crate::packets::split(rest) {
        if first & 0x06 != 0 {
            return true;
        }
        retained.extend_from_slice(&rest[..rest.len() - after.len()]);
        rest = after;
    }
    false
}

/// The topic of the first PUBLISH.
fn topic(bytes: &[u8]) -> Vec<u8> {
    let packet = crate::packets::split(bytes);
    let topic = packet.and_then(|(_, body, _)| body.get(2..2 + usize::from(*body.get(1)?)));
    topic.unwrap_or_default().to_vec()
}
