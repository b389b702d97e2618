//! A stream that owes something before a shard can serve it: a small state machine.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use trunkline_tls::{Certificates, is_client_hello, rustls, speak_tls_here};

use super::StreamPermit;
use super::last_words::say;
use super::listener::Port;
use super::proxy_header::ProxyHeader;
use super::refusing::{Speech, refuse_address};
use crate::peer::Peer;
use crate::socket::{HandshakeError, Socket, Tls};

/// A stream that is being greeted. Each step takes exactly its own bytes off the stream.
#[derive(Debug)]
pub(super) struct Greeting {
    stream: Stream,
    /// Who is at the other end, as known so far.
    pub(super) from: Peer,
    pub(super) permit: StreamPermit,
    /// The header of a proxy, until it has arrived.
    proxy: Option<ProxyHeader>,
    /// What the stream is offered, until its handshake begins.
    tls: Option<Certificates>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<Tls>),
    /// For the moment in which one becomes the other.
    Changing,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// Bytes are missing, or the stream accepts none now.
    Waits,
    /// The step is over.
    Done,
    /// The stream is to be closed; a slug of the reason.
    Refused(&'static str),
}

impl Greeting {
    pub(super) fn new(
        port: &Port,
        (stream, from): (TcpStream, Peer),
        permit: StreamPermit,
        owes_proxy_header: bool,
    ) -> Self {
        let proxy = owes_proxy_header.then_some(ProxyHeader);
        Self { stream: Stream::Plain(stream), from, permit, proxy, tls: port.tls.clone() }
    }

    /// Goes as far as the available bytes allow.
    pub(super) fn advance(&mut self) -> Progress {
        if let (Some(header), Stream::Plain(stream)) = (&mut self.proxy, &self.stream) {
            match header.advance(stream, &mut self.from, self.permit.streams()) {
                Progress::Done => {
                    self.proxy = None;
                    let client = self.from.client().ip;
                    if let Err(why) = self.permit.count_for(client) {
                        let speech = Speech::of(self.tls.as_ref());
                        refuse_address((stream, speech), client, why, self.permit.streams());
                        return Progress::Refused(why.slug());
                    }
                }
                unfinished @ (Progress::Waits | Progress::Refused(_)) => return unfinished,
            }
        }
        if let Some(certificates) = &self.tls {
            match begin_tls(&mut self.stream, certificates) {
                Progress::Done => self.tls = None,
                unfinished @ (Progress::Waits | Progress::Refused(_)) => return unfinished,
            }
        }
        match &self.stream {
            Stream::Tls(tls) => match tls.shake_hands() {
                Ok(true) => {
                    self.from.secure = true;
                    Progress::Done
                }
                Ok(false) => Progress::Waits,
                Err(error) => {
                    tracing::debug!(client = %self.from.client(), %error, "TLS handshake failed");
                    tls.give_up();
                    Progress::Refused(cause_of(&error))
                }
            },
            Stream::Plain(_) | Stream::Changing => Progress::Done,
        }
    }

    /// Whether the TLS handshake continued an earlier session; `None` without one.
    pub(super) fn is_resumed(&self) -> Option<bool> {
        match &self.stream {
            Stream::Tls(tls) => tls.is_resumed(),
            Stream::Plain(_) | Stream::Changing => None,
        }
    }

    /// The descriptor to watch.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.stream {
            Stream::Plain(stream) => Some(stream.as_fd()),
            Stream::Tls(tls) => Some(tls.as_fd()),
            Stream::Changing => None,
        }
    }

    /// The parts that a shard needs.
    pub(super) fn into_parts(self) -> Option<(Socket, Peer, StreamPermit)> {
        let socket = match self.stream {
            Stream::Plain(stream) => Socket::from(stream),
            Stream::Tls(tls) => Socket::Tls(tls),
            Stream::Changing => return None,
        };
        Some((socket, self.from, self.permit))
    }
}

/// Begins the handshake once the first bytes show that there is one. Until then a stream costs
/// nothing but its descriptor.
fn begin_tls(stream: &mut Stream, certificates: &Certificates) -> Progress {
    let Stream::Plain(plain) = &*stream else { return Progress::Done };
    let mut first = [0; 3];
    match plain.peek(&mut first) {
        Ok(0) => return Progress::Refused("tls_left"),
        Ok(count) if !is_client_hello(&first[..count]) => {
            say(plain, speak_tls_here().as_bytes());
            return Progress::Refused("tls_required");
        }
        Ok(_) => (),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waits,
        Err(_) => return Progress::Refused("tls_left"),
    }
    if let Stream::Plain(plain) = std::mem::replace(stream, Stream::Changing) {
        match Tls::new(plain.into(), certificates.config()) {
            Ok(tls) => *stream = Stream::Tls(Box::new(tls)),
            Err(error) => {
                tracing::error!(%error, "no TLS handshake can begin");
                return Progress::Refused("tls_other");
            }
        }
    }
    Progress::Done
}

/// The causes of failed handshakes.
fn cause_of(error: &HandshakeError) -> &'static str {
    use rustls::Error;
    let error = match error {
        HandshakeError::Left | HandshakeError::Io(_) => return "tls_left",
        HandshakeError::TooLong => return "tls_malformed",
        HandshakeError::Tls(error) => error,
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors is open")]
    match error {
        // The client has refused: it does not trust the certificate, or expected another name.
        Error::AlertReceived(_) => "tls_refused_by_client",
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => "tls_incompatible",
        Error::NoCertificatesPresented
        | Error::InvalidCertificate(_)
        | Error::InvalidCertRevocationList(_) => "tls_client_certificate",
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::DecryptError
        | Error::PeerSentOversizedRecord => "tls_malformed",
        _ => "tls_other",
    }
}
