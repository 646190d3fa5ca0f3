//! What rustls knows of one connection, driven by bytes alone: what came goes in, what it opens to and what is to be
//! sent come out.
//!
//! rustls is used through its unbuffered interface, since the other one keeps a buffer for every connection, which
//! grows and shrinks with every large record. What must hold: between two calls all that could be done with what came
//! is done, and `incomplete` is exactly what rustls has not let go of; every call hands it that.

use super::scratch::Sealed;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError};
use rustls::unbuffered::{UnbufferedStatus, WriteTraffic};
use std::io;
use std::sync::Arc;

/// The most that one record carries.
pub(super) const PLAIN_BYTES_MAX: usize = 1 << 14;
/// The longest record: a header, and what sealing adds at most.
pub(super) const SEALED_BYTES_MAX: usize = PLAIN_BYTES_MAX + 5 + 256;

/// ```text
///  Open --close--> Closing
///    \---fault---> Failed
/// ```
/// Closing goes to Failed as well. That the peer has closed says nothing about our own direction.
enum State {
    Open,
    /// Our close_notify is on its way, and nothing behind it.
    Closing,
    /// Whatever comes is not looked at any more.
    Failed(rustls::Error),
}

/// TLS of one connection, on the side of the server.
pub(super) struct Session {
    tls: UnbufferedServerConnection,
    incomplete: Vec<u8>,
    state: State,
    is_closed_by_peer: bool,
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: UnbufferedServerConnection::new(config)?,
            incomplete: Vec::new(),
            state: State::Open,
            is_closed_by_peer: false,
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    pub(super) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.peer_certificates()
    }

    /// Whether the peer has said that nothing follows.
    pub(super) fn is_closed_by_peer(&self) -> bool {
        self.is_closed_by_peer
    }

    /// Why nothing works any more, if so.
    pub(super) fn fault(&self) -> Option<&rustls::Error> {
        match &self.state {
            State::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// How much room [`receive`](Self::receive) needs before what came.
    pub(super) fn incomplete_bytes(&self) -> usize {
        self.incomplete.len()
    }

    /// Takes what came: `incoming` is room for [`incomplete_bytes`](Self::incomplete_bytes), and behind it what came. Hands
    /// out what it opens to, and puts into `sealed` what is to be sent because of it, the alert that tells of an error
    /// included.
    pub(super) fn receive(
        &mut self,
        incoming: &mut [u8],
        sealed: &mut Sealed,
        open: impl FnMut(&[u8]),
    ) -> Result<(), rustls::Error> {
        incoming[..self.incomplete.len()].copy_from_slice(&self.incomplete);
        match self.advance(incoming, sealed, open) {
            // What follows the end means nothing.
            Ok(_) if self.is_closed_by_peer => self.incomplete = Vec::new(),
            Ok(used_bytes) => self.incomplete = incoming[used_bytes..].to_vec(),
            Err(error) => {
                self.incomplete = Vec::new();
                self.state = State::Failed(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Seals one record, for which `sealed` has room.
    ///
    /// # Errors
    /// Those of rustls; and nothing can be sealed after the end.
    pub(super) fn seal(&mut self, plain: &[u8], sealed: &mut Sealed) -> io::Result<()> {
        match self.state {
            State::Open => self.write(sealed, |traffic, room| traffic.encrypt(plain, room)),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Tells the peer that nothing follows; only once.
    ///
    /// # Errors
    /// Those of rustls.
    pub(super) fn close(&mut self, sealed: &mut Sealed) -> io::Result<()> {
        let State::Open = self.state else {
            return Ok(());
        };
        self.state = State::Closing;
        self.write(sealed, |traffic, room| traffic.queue_close_notify(room))
    }

    /// Does what can be done with `incoming`; returns how much of it is done with.
    fn advance(
        &mut self,
        incoming: &mut [u8],
        sealed: &mut Sealed,
        mut open: impl FnMut(&[u8]),
    ) -> Result<usize, rustls::Error> {
        let mut used_bytes = 0;
        loop {
            let rest = &mut incoming[used_bytes..];
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(rest);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        open(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, sealed),
                // It will be: what was sealed leaves in order.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.is_closed_by_peer = true,
                Ok(_) => is_done = true,
                Err(error) => {
                    self.take_alert(&mut incoming[used_bytes + discard..], sealed);
                    return Err(error);
                }
            }
            used_bytes += discard;
            if is_done {
                return Ok(used_bytes);
            }
        }
    }

    /// After an error: what rustls has to say of it. To go on any further would mean to look at `incoming` again.
    fn take_alert(&mut self, incoming: &mut [u8], sealed: &mut Sealed) {
        while self.tls.wants_write() {
            match self.tls.process_tls_records(incoming).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, sealed),
                _ => return,
            }
        }
    }

    fn write(
        &mut self,
        sealed: &mut Sealed,
        mut act: impl FnMut(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        let status = self.tls.process_tls_records(&mut self.incomplete);
        debug_assert_eq!(status.discard, 0, "what came was not done with");
        let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        loop {
            match act(&mut traffic, sealed.spare()) {
                Ok(bytes) => {
                    sealed.advance(bytes);
                    return Ok(());
                }
                Err(EncryptError::InsufficientSize(needed)) => sealed.grow(needed.required_size),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, sealed: &mut Sealed) {
    loop {
        match data.encode(sealed.spare()) {
            Ok(bytes) => return sealed.advance(bytes),
            Err(EncodeError::InsufficientSize(needed)) => sealed.grow(needed.required_size),
            Err(EncodeError::AlreadyEncoded) => return,
        }
    }
}
