//! What a shard keeps of a session in case its app server is lost: the handshake's request, and the
//! last state of each socket. Only for hubs with connection state recovery, and only if the app
//! server takes part.
//!
//! A million sessions have a million of these, so they are compact: one piece of bytes for the
//! request, with numbers of the shard's [`Interner`] for what many requests have in common, and one
//! for each socket.

use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_engineio::TransportKind;
use trunkline_switchboard::NamespaceKey;
use trunkline_switchboard::recovery::SourceKey;
use trunkline_trunk::{ClientRequest, Header, Origin, StandingFlags, Str, Transport};

use super::command::Command;
use super::interner::Interner;
use super::operating::Operated;

/// The longest request that is kept. A session with a longer one is closed when its app server is
/// lost.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// The longest state of a socket that is kept.
const STATE_BYTES_MAX: usize = 64 * 1024;
/// The most bytes that are kept for one session: its request and the states of its sockets.
const BYTES_MAX: usize = 256 * 1024;

/// Headers whose values are hardly ever the same for two clients.
const PERSONAL: &[&str] = &[
    "authorization",
    "cf-connecting-ip",
    "cf-ray",
    "cookie",
    "forwarded",
    "sec-websocket-key",
    "traceparent",
    "x-amzn-trace-id",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-real-ip",
    "x-request-id",
];
/// A stay at an app server that is not longer is a short one: a session that brings its app server
/// down with the first thing that happens there does so sooner.
const SHORT_STAY: Duration = Duration::from_secs(10);
/// The short stays in a row, each ended by the loss of its app server, after which the session is
/// taken for the cause. One may be chance: another session of that app server, or its machine.
const SHORT_STAYS_MAX: u8 = 2;
/// In the place of the number of a pair: both texts follow.
const INLINE: u32 = 0;
/// The first number of a shared pair; those before it are `INLINE` and the personal headers.
const SHARED: u32 = 64;

/// What is kept of one session.
#[derive(Debug)]
pub(crate) struct Keepsake {
    request: Box<[u8]>,
    sockets: Vec<KeptSocket>,
    /// What the app server said last about the session.
    pub(super) standing: StandingFlags,
    /// Set when the client has said something that nobody has read.
    pub(super) eager: bool,
    stay: Stay,
    /// Set from the moment at which nothing goes to the old app server until the new one has
    /// accepted.
    pub(super) journey: Option<Box<Journey>>,
}

const _: () = assert!(size_of::<Keepsake>() <= 56);

/// How the session has fared with the app servers that took it over. Small, because every session
/// has one.
#[derive(Clone, Copy, Debug, Default)]
struct Stay {
    /// Set when the present app server is not the first one.
    adopted: bool,
    /// The last app servers that were lost soon after they had taken the session over.
    losses: u8,
    /// The time at which the present one did, in whole seconds, which begin again after 18 hours.
    since: u16,
}

/// The last state of one socket.
#[derive(Debug)]
struct KeptSocket {
    nsp: NamespaceKey,
    /// Socket id, private id, state.
    bytes: Box<[u8]>,
}

/// A session's way from one app server to the next.
#[derive(Debug)]
pub(crate) struct Journey {
    pub(super) origin: Origin,
    /// The time at which it left its last app server, or was asked to.
    pub(super) since: Timestamp,
    /// The last app server; `None` while the session is still there.
    pub(super) past: Option<Past>,
    /// The time at which the next app server was asked.
    pub(super) asked_at: Timestamp,
    /// Set when the next app server has said something about the session: it has seen the question.
    pub(super) seen: bool,
    /// The transport that the next app server knows of.
    pub(super) told: Option<TransportKind>,
    /// Posts that have begun: their bodies stay unread in the clients' streams.
    pub(super) parked: Vec<Command>,
    /// Operations of app servers that the next one has to carry out.
    pub(super) operations: Vec<Operated>,
}

/// What has to be known of a session's last app server to keep its sockets for their return.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    pub(super) source: SourceKey,
    pub(super) keep: Duration,
}

impl Journey {
    pub(super) fn new(origin: Origin, since: Timestamp) -> Self {
        Self {
            origin,
            since,
            past: None,
            asked_at: since,
            seen: false,
            told: None,
            parked: Vec::new(),
            operations: Vec::new(),
        }
    }
}

/// A socket as its app server last described it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SocketState<'k> {
    pub(super) socket: &'k str,
    pub(super) pid: &'k str,
    pub(super) state: &'k [u8],
}

impl Keepsake {
    /// Keeps a request; `None` when it is too long.
    pub(super) fn new(request: &ClientRequest, interner: &mut Interner) -> Option<Self> {
        Some(Self {
            request: pack(request, interner)?,
            sockets: Vec::new(),
            standing: StandingFlags::default(),
            eager: false,
            stay: Stay::default(),
            journey: None,
        })
    }

    /// Ends its uses of shared pairs. Call it for every keepsake before it is dropped.
    pub(super) fn release(&self, interner: &mut Interner) {
        each_shared(&self.request, |number| interner.release(number));
    }

    /// The request as the client sent it.
    pub(super) fn request(&self, interner: &Interner) -> ClientRequest {
        unpack(&self.request, |number| interner.get(number))
    }

    /// Puts other claims of a token in the place of those in the request.
    pub(super) fn set_claims(&mut self, claims: Str, interner: &mut Interner) {
        // Held first: pairs that both have stay. A request that is too long stays as it was.
        if let Some(packed) = pack(&ClientRequest { claims, ..self.request(interner) }, interner) {
            self.release(interner);
            self.request = packed;
        }
    }

    /// Keeps the state of a socket in the place of its last one. A state that is empty or too long
    /// leaves none. False when it is too long, by itself or with all the others.
    pub(super) fn set_state(&mut self, nsp: NamespaceKey, socket: SocketState<'_>) -> bool {
        self.sockets.retain(|one| one.nsp != nsp || one.parts().socket != socket.socket);
        if socket.state.is_empty() {
            return true;
        }
        let length = socket.socket.len() + socket.pid.len() + socket.state.len() + 2 * 5;
        if socket.state.len() > STATE_BYTES_MAX || self.bytes() + length > BYTES_MAX {
            return false;
        }
        let mut bytes = Vec::with_capacity(length);
        put_text(&mut bytes, socket.socket);
        put_text(&mut bytes, socket.pid);
        bytes.extend_from_slice(socket.state);
        self.sockets.reserve_exact(1);
        self.sockets.push(KeptSocket { nsp, bytes: bytes.into_boxed_slice() });
        true
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.request.len() + self.sockets.iter().map(|one| one.bytes.len()).sum::<usize>()
    }

    /// The last state of a socket.
    pub(super) fn state(&self, nsp: NamespaceKey, socket: &str) -> Option<SocketState<'_>> {
        let of_nsp = self.sockets.iter().filter(|one| one.nsp == nsp);
        of_nsp.map(KeptSocket::parts).find(|one| one.socket == socket)
    }

    /// Takes the last state of a socket out.
    pub(super) fn take_state(
        &mut self,
        nsp: NamespaceKey,
        socket: &str,
    ) -> Option<(Str, bytes::Bytes)> {
        let kept = self.state(nsp, socket)?;
        let taken = (own(kept.pid), bytes::Bytes::copy_from_slice(kept.state));
        self.retain(nsp, |other| other != socket);
        Some(taken)
    }

    /// Forgets the sockets of a namespace that `is_there` does not know.
    pub(super) fn retain(&mut self, nsp: NamespaceKey, is_there: impl Fn(&str) -> bool) {
        self.sockets.retain(|one| one.nsp != nsp || is_there(one.parts().socket));
    }

    /// Forgets the sockets that `is_there` does not know.
    pub(super) fn retain_all(&mut self, is_there: impl Fn(NamespaceKey, &str) -> bool) {
        self.sockets.retain(|one| is_there(one.nsp, one.parts().socket));
    }

    /// Notes that an app server has taken the session over.
    pub(super) fn begin_stay(&mut self, now: Timestamp) {
        let Stay { losses, .. } = self.stay;
        self.stay = Stay { adopted: true, losses, since: seconds(now) };
    }

    /// Notes that the session leaves its app server, because that is lost or hands it over. True
    /// when it has brought down too many.
    pub(super) fn end_stay(&mut self, now: Timestamp, is_lost: bool) -> bool {
        let Stay { adopted, since, losses } = self.stay;
        let lasted = Duration::from_secs(seconds(now).wrapping_sub(since).into());
        self.stay.losses = match adopted && lasted <= SHORT_STAY {
            true => losses + u8::from(is_lost),
            false => 0,
        };
        self.stay.losses >= SHORT_STAYS_MAX
    }

    /// Whether the session's last app server is gone, or about to be.
    pub(super) fn is_between(&self) -> bool {
        self.journey.is_some()
    }

    /// Whether the app server that was asked to take the session over has seen the question.
    pub(super) fn is_seen(&self) -> bool {
        self.journey.as_ref().is_some_and(|journey| journey.seen)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn uses(&self) -> usize {
        let mut uses = 0;
        each_shared(&self.request, |_| uses += 1);
        uses
    }
}

fn seconds(now: Timestamp) -> u16 {
    let seconds = now.as_micros() / 1_000_000 % (u64::from(u16::MAX) + 1);
    u16::try_from(seconds).unwrap_or_default()
}

impl KeptSocket {
    fn parts(&self) -> SocketState<'_> {
        let mut rest = Packed(&self.bytes);
        SocketState { socket: rest.text(), pid: rest.text(), state: rest.0 }
    }
}

fn pack(request: &ClientRequest, interner: &mut Interner) -> Option<Box<[u8]>> {
    let ClientRequest { transport, secure, address, port, method, url, headers, claims } = request;
    let of_header = |header: &Header| header.name.as_bytes().len() + header.value.as_bytes().len();
    let texts = [address, method, url, claims].map(|text| text.as_bytes().len());
    let bytes = texts.iter().sum::<usize>() + headers.iter().map(of_header).sum::<usize>();
    if bytes > REQUEST_BYTES_MAX {
        return None;
    }
    let mut packed = Vec::with_capacity(bytes / 2);
    packed.extend([transport.to_wire(), u8::from(*secure)]);
    put_text(&mut packed, address);
    put_number(&mut packed, u32::from(*port));
    put_text(&mut packed, claims);
    // The URL of a client that polls has a time in it.
    let shared = (*transport == Transport::WebSocket).then(|| interner.hold(method, url)).flatten();
    put_pair(&mut packed, (method, url), shared);
    put_number(&mut packed, u32::try_from(headers.len()).unwrap_or(u32::MAX));
    for Header { name, value } in headers {
        let (name, value) = (name.as_str(), value.as_str());
        if let Ok(place) = PERSONAL.binary_search(&name) {
            put_number(&mut packed, u32::try_from(place).unwrap_or(u32::MAX) + 1);
            put_text(&mut packed, value);
        } else {
            let shared = interner.hold(name, value);
            put_pair(&mut packed, (name, value), shared);
        }
    }
    Some(packed.into_boxed_slice())
}

/// The numbers of the shared pairs of a packed request, without reading the rest.
fn each_shared(packed: &[u8], mut each: impl FnMut(u32)) {
    let mut rest = Packed(packed);
    rest.skip(2);
    rest.skip_text();
    let _port = rest.number();
    rest.skip_text();
    rest.skip_pair(&mut each);
    for _ in 0..rest.number() {
        rest.skip_pair(&mut each);
    }
}

/// Reads a packed request; `shared` gives the pair of a number.
fn unpack<'s>(packed: &[u8], mut shared: impl FnMut(u32) -> (&'s str, &'s str)) -> ClientRequest {
    let mut rest = Packed(packed);
    let transport = Transport::from_wire(rest.byte()).unwrap_or(Transport::Polling);
    let secure = rest.byte() != 0;
    let address = own(rest.text());
    let port = u16::try_from(rest.number()).unwrap_or_default();
    let claims = own(rest.text());
    let (method, url) = rest.pair(&mut shared);
    let count = rest.number();
    let headers = (0..count).map(|_| {
        let (name, value) = rest.pair(&mut shared);
        Header { name, value }
    });
    let headers = headers.collect();
    ClientRequest { transport, secure, address, port, method, url, headers, claims }
}

fn own(text: &str) -> Str {
    Str::from(String::from(text))
}

fn put_number(packed: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        packed.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    packed.push(number.to_le_bytes()[0]);
}

fn put_text(packed: &mut Vec<u8>, text: &str) {
    put_number(packed, u32::try_from(text.len()).unwrap_or(u32::MAX));
    packed.extend_from_slice(text.as_bytes());
}

fn put_pair(packed: &mut Vec<u8>, (first, second): (&str, &str), shared: Option<u32>) {
    match shared {
        Some(number) => put_number(packed, SHARED + number),
        None => {
            put_number(packed, INLINE);
            put_text(packed, first);
            put_text(packed, second);
        }
    }
}

/// The rest of packed bytes, which this file has written.
struct Packed<'p>(&'p [u8]);

impl<'p> Packed<'p> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u32 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u32::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 28 {
                return number;
            }
        }
    }

    fn bytes(&mut self, length: usize) -> &'p [u8] {
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn text(&mut self) -> &'p str {
        let length = self.number() as usize;
        std::str::from_utf8(self.bytes(length)).unwrap_or_default()
    }

    fn skip(&mut self, bytes: usize) {
        let _skipped = self.bytes(bytes);
    }

    fn skip_text(&mut self) {
        let length = self.number() as usize;
        self.skip(length);
    }

    fn skip_pair(&mut self, shared: &mut impl FnMut(u32)) {
        let number = self.number();
        if number >= SHARED {
            return shared(number - SHARED);
        }
        if number == INLINE {
            self.skip_text();
        }
        self.skip_text();
    }

    fn pair<'s>(&mut self, shared: &mut impl FnMut(u32) -> (&'s str, &'s str)) -> (Str, Str) {
        let number = self.number();
        if number >= SHARED {
            let (first, second) = shared(number - SHARED);
            return (own(first), own(second));
        }
        let name = number.checked_sub(1).and_then(|place| PERSONAL.get(place as usize));
        match name {
            Some(name) => (Str::from_static(name), own(self.text())),
            None => (own(self.text()), own(self.text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cookie: &str) -> ClientRequest {
        let header =
            |(name, value): (&str, &str)| Header { name: name.into(), value: value.into() };
        let headers = [
            ("host", "chat.example.com"),
            ("cookie", cookie),
            ("accept-language", "de-DE,de;q=0.9"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("x-own", ""),
        ];
        ClientRequest {
            transport: Transport::WebSocket,
            secure: true,
            address: "2001:db8::7".into(),
            port: 65_535,
            method: "GET".into(),
            url: "/socket.io/?EIO=4&transport=websocket".into(),
            headers: headers.map(header).into(),
            claims: r#"{"sub":"ä"}"#.into(),
        }
    }

    #[test]
    fn a_request_comes_back_as_it_was_and_shares_what_others_have_too() {
        assert!(PERSONAL.is_sorted() && PERSONAL.len() < SHARED as usize);
        let mut interner = Interner::default();
        let first = Keepsake::new(&request("a=1"), &mut interner).unwrap();
        let second = Keepsake::new(&request("b=2"), &mut interner).unwrap();
        assert_eq!(first.request(&interner), request("a=1"));
        assert_eq!(second.request(&interner), request("b=2"));
        assert!(first.request.len() < 90, "{}", first.request.len());
        assert_eq!((interner.uses(), first.uses()), (8, 4));
        first.release(&mut interner);
        assert_eq!(second.request(&interner), request("b=2"));
        second.release(&mut interner);
        assert_eq!(interner.uses(), 0);
    }

    #[test]
    fn a_request_that_is_too_long_is_not_kept() {
        let mut interner = Interner::default();
        let long = request(&"x".repeat(REQUEST_BYTES_MAX));
        assert!(Keepsake::new(&long, &mut interner).is_none());
        assert_eq!(interner.uses(), 0, "nothing of it is");
    }

    #[test]
    fn a_socket_has_one_state_the_last_one() {
        let mut interner = Interner::default();
        let mut keepsake = Keepsake::new(&request(""), &mut interner).unwrap();
        let nsp = NamespaceKey::DEFAULT;
        let state = |socket, state| SocketState { socket, pid: "pid", state };
        keepsake.set_state(nsp, state("s", b"one"));
        keepsake.set_state(nsp, state("t", b"other"));
        keepsake.set_state(nsp, state("s", b"two"));
        assert_eq!(keepsake.state(nsp, "s"), Some(state("s", b"two")));
        keepsake.set_state(nsp, state("s", b""));
        assert_eq!(keepsake.state(nsp, "s"), None, "the app has none any longer");
        assert_eq!(keepsake.state(nsp, "t"), Some(state("t", b"other")));
        let long = vec![0; STATE_BYTES_MAX + 1];
        keepsake.set_state(nsp, SocketState { socket: "s", pid: "pid", state: &long });
        assert_eq!(keepsake.state(nsp, "s"), None, "the one before it would be a lie");
        keepsake.retain(nsp, |socket| socket == "s");
        assert_eq!(keepsake.state(nsp, "t"), None);
    }
}
