//! A session as bytes, on its way to another node: all that goes on there, and nothing that only this
//! process has.
//!
//! Numbers have the form that the trunk protocol gives them, with up to 64 bits. Texts and lists have
//! their length before them.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use trunkline_clock::Timestamp;
use trunkline_engineio::{BadSnapshot, Snapshot};
use trunkline_switchboard::recovery::Cut;
use trunkline_token::{KeyMark, TextMark};
use trunkline_trunk::{ClientRequest, CloseCode, Header, StandingFlags, Str, Transport};

use super::tokens::Token as ClientToken;
use crate::hub::{Hub, UserSessions};

/// The version of the bytes of a session without a token. A reader refuses versions that it does not
/// know.
const VERSION: u8 = 1;
/// The same, and at the end what the token says.
const VERSION_WITH_TOKEN: u8 = 3;

/// The longest time until a session ends with its token: some thirty years.
const TOKEN_LIFE_MAX: Duration = Duration::from_secs(1_000_000_000);

/// A session that moves.
#[derive(Clone, Debug)]
pub(super) struct Export {
    pub(super) engine: Snapshot,
    /// The session id, if the app made it.
    pub(super) custom_sid: Option<Box<str>>,
    /// Headers for every HTTP answer.
    pub(super) lasting: Vec<Header>,
    /// The client's messages that its app server has not got.
    pub(super) held: Vec<(bool, Bytes)>,
    /// The handshake's request, if it is kept.
    pub(super) request: Option<ClientRequest>,
    pub(super) standing: StandingFlags,
    /// Set when the app has closed the session: the reason.
    pub(super) closed: Option<CloseCode>,
    pub(super) sockets: Vec<MovedSocket>,
    /// For each app server, the number of the last broadcast that the session has had.
    pub(super) cut: Cut,
    /// What the client's token says.
    pub(super) token: Option<MovedToken>,
}

/// What a token says of a session that moves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct MovedToken {
    key: Option<KeyMark>,
    /// How long until the session ends with it: the clocks of two nodes have nothing in common.
    ends_in: Option<Duration>,
    user: Option<TextMark>,
    id: Option<TextMark>,
    signed_s: u64,
}

impl MovedToken {
    pub(super) fn of(token: &ClientToken, now: Timestamp) -> Self {
        let ClientToken { key, ends, user, id, signed_s, place: _, is_revoked: _ } = token;
        let ends_in = ends.map(|at| at.since(now));
        Self { key: *key, ends_in, user: *user, id: *id, signed_s: *signed_s }
    }

    /// The same at the node to which the session has come.
    pub(super) fn at(self, now: Timestamp, hub: &Arc<Hub>) -> ClientToken {
        let Self { key, ends_in, user, id, signed_s } = self;
        let limit = hub.rules().user_sessions;
        // It is there already: nobody refuses it for being one too many.
        let limit = UserSessions { refuses: false, ..limit };
        let counted = user.filter(|_| limit.max > 0);
        ClientToken {
            key,
            ends: ends_in.map(|left| now + left),
            user,
            id,
            signed_s,
            place: counted.and_then(|user| hub.enter_user(user, limit)),
            is_revoked: false,
        }
    }
}

/// A socket of a session that moves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct MovedSocket {
    pub(super) nsp: Box<str>,
    pub(super) id: Box<str>,
    /// Its rooms, without the one that has its id as its name.
    pub(super) rooms: Vec<Box<str>>,
    pub(super) in_own_room: bool,
    /// The offset of the last packet that it has received, see `Recovery::last_offset`.
    pub(super) last: Option<Box<str>>,
    /// Its private id and its last State.
    pub(super) kept: Option<(Box<str>, Bytes)>,
}

/// The bytes are not a session that this version can read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum BadExport {
    #[error("bytes are left over")]
    LeftOver,
    #[error("the Engine.IO session cannot be read")]
    Snapshot(#[from] BadSnapshot),
    #[error("the bytes end too soon")]
    Truncated,
    #[error("a field has a value without a meaning")]
    Undefined,
    #[error("version {0} of an exported session cannot be read")]
    Version(u8),
}

impl Export {
    pub(super) fn encode(&self) -> Bytes {
        let mut to = vec![if self.token.is_some() { VERSION_WITH_TOKEN } else { VERSION }];
        put_bytes(&mut to, &self.engine.encode());
        put_option(&mut to, self.custom_sid.as_ref(), |to, sid| put_text(to, sid));
        put_headers(&mut to, &self.lasting);
        put_list(&mut to, &self.held, |to, (binary, bytes)| {
            to.push(u8::from(*binary));
            put_bytes(to, bytes);
        });
        put_option(&mut to, self.request.as_ref(), put_request);
        to.push(self.standing.to_wire());
        put_option(&mut to, self.closed.as_ref(), |to, code| to.push(code.0));
        put_list(&mut to, &self.sockets, |to, socket| {
            put_text(to, &socket.nsp);
            put_text(to, &socket.id);
            put_list(to, &socket.rooms, |to, room| put_text(to, room));
            to.push(u8::from(socket.in_own_room));
            put_option(to, socket.last.as_ref(), |to, last| put_text(to, last));
            put_option(to, socket.kept.as_ref(), |to, (pid, state)| {
                put_text(to, pid);
                put_bytes(to, state);
            });
        });
        put_list(&mut to, &self.cut.0, |to, (server, number)| {
            put_text(to, server);
            put_number(to, *number);
        });
        if let Some(token) = &self.token {
            put_token(&mut to, token);
        }
        Bytes::from(to)
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, BadExport> {
        let mut from = Unread(bytes);
        let has_token = match from.byte()? {
            VERSION => false,
            VERSION_WITH_TOKEN => true,
            other => return Err(BadExport::Version(other)),
        };
        let export = Self {
            engine: Snapshot::decode(from.bytes()?)?,
            custom_sid: from.option(Unread::text)?,
            lasting: from.list(2, Unread::header)?,
            held: from.list(2, |from| Ok((from.flag()?, from.bytes()?)))?,
            request: from.option(Unread::request)?,
            standing: StandingFlags::from_wire(from.byte()?).ok_or(BadExport::Undefined)?,
            closed: from.option(|from| from.byte().map(CloseCode))?,
            sockets: from.list(6, Unread::socket)?,
            cut: Cut(from.list(2, |from| Ok((from.text()?, from.number()?)))?),
            token: has_token.then(|| from.token()).transpose()?,
        };
        if from.0.has_remaining() { Err(BadExport::LeftOver) } else { Ok(export) }
    }
}

fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    put_bytes(to, text.as_bytes());
}

fn put_option<T>(to: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    to.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(to, value);
    }
}

fn put_list<T>(to: &mut Vec<u8>, list: &[T], mut put: impl FnMut(&mut Vec<u8>, &T)) {
    put_number(to, list.len() as u64);
    for one in list {
        put(to, one);
    }
}

fn put_headers(to: &mut Vec<u8>, headers: &[Header]) {
    put_list(to, headers, |to, header| {
        put_text(to, &header.name);
        put_text(to, &header.value);
    });
}

fn put_token(to: &mut Vec<u8>, token: &MovedToken) {
    let MovedToken { key, ends_in, user, id, signed_s } = token;
    put_option(to, key.as_ref(), |to, key| to.extend(key.to_bytes()));
    put_option(to, ends_in.as_ref(), |to, left| {
        put_number(to, u64::try_from(left.min(&TOKEN_LIFE_MAX).as_micros()).unwrap_or_default());
    });
    for mark in [user, id] {
        put_option(to, mark.as_ref(), |to, mark| to.extend(mark.to_bytes()));
    }
    put_number(to, *signed_s);
}

fn put_request(to: &mut Vec<u8>, request: &ClientRequest) {
    let ClientRequest { transport, secure, address, port, method, url, headers, claims } = request;
    to.extend([transport.to_wire(), u8::from(*secure)]);
    put_number(to, u64::from(*port));
    for text in [address, method, url, claims] {
        put_text(to, text);
    }
    put_headers(to, headers);
}

/// The bytes that are not read yet.
struct Unread(Bytes);

impl Unread {
    fn byte(&mut self) -> Result<u8, BadExport> {
        if self.0.has_remaining() { Ok(self.0.get_u8()) } else { Err(BadExport::Truncated) }
    }

    fn flag(&mut self) -> Result<bool, BadExport> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadExport::Undefined),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadExport> {
        let array = *self.0.first_chunk().ok_or(BadExport::Truncated)?;
        self.0.advance(N);
        Ok(array)
    }

    fn token(&mut self) -> Result<MovedToken, BadExport> {
        let key = self.option(|from| from.array().map(KeyMark::from_bytes))?;
        let ends_in = self.option(|from| from.number().map(Duration::from_micros))?;
        if ends_in.is_some_and(|left| left > TOKEN_LIFE_MAX) {
            return Err(BadExport::Undefined);
        }
        let user = self.option(|from| from.array().map(TextMark::from_bytes))?;
        let id = self.option(|from| from.array().map(TextMark::from_bytes))?;
        Ok(MovedToken { key, ends_in, user, id, signed_s: self.number()? })
    }

    /// A number in its shortest form.
    fn number(&mut self) -> Result<u64, BadExport> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(BadExport::Undefined);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(BadExport::Undefined)
    }

    fn bytes(&mut self) -> Result<Bytes, BadExport> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if length > self.0.len() {
            return Err(BadExport::Truncated);
        }
        Ok(self.0.split_to(length))
    }

    fn text(&mut self) -> Result<Box<str>, BadExport> {
        let bytes = self.bytes()?;
        std::str::from_utf8(&bytes).map(Box::from).map_err(|_| BadExport::Undefined)
    }

    fn own(&mut self) -> Result<Str, BadExport> {
        self.text().map(|text| Str::from(String::from(text)))
    }

    fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, BadExport>,
    ) -> Result<Option<T>, BadExport> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// A list whose entries have at least this many bytes each.
    fn list<T>(
        &mut self,
        bytes_min: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, BadExport>,
    ) -> Result<Vec<T>, BadExport> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > self.0.len() / bytes_min {
            return Err(BadExport::Truncated);
        }
        (0..count).map(|_| read(self)).collect()
    }

    fn header(&mut self) -> Result<Header, BadExport> {
        Ok(Header { name: self.own()?, value: self.own()? })
    }

    fn request(&mut self) -> Result<ClientRequest, BadExport> {
        let transport = Transport::from_wire(self.byte()?).ok_or(BadExport::Undefined)?;
        let secure = self.flag()?;
        let port = u16::try_from(self.number()?).map_err(|_| BadExport::Undefined)?;
        let (address, method, url, claims) = (self.own()?, self.own()?, self.own()?, self.own()?);
        let headers = self.list(2, Self::header)?;
        Ok(ClientRequest { transport, secure, address, port, method, url, headers, claims })
    }

    fn socket(&mut self) -> Result<MovedSocket, BadExport> {
        Ok(MovedSocket {
            nsp: self.text()?,
            id: self.text()?,
            rooms: self.list(1, Self::text)?,
            in_own_room: self.flag()?,
            last: self.option(Self::text)?,
            kept: self.option(|from| Ok((from.text()?, from.bytes()?)))?,
        })
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod tests {
    use super::*;

    /// Reads any bytes. What can be read is what would be written.
    pub(crate) fn decode(bytes: &[u8]) {
        if let Ok(export) = Export::decode(Bytes::copy_from_slice(bytes)) {
            assert_eq!(&export.encode()[..], bytes);
        }
    }

    #[cfg(test)]
    mod of_exports {
        use std::rc::Rc;

        use rand::rngs::StdRng;
        use rand::{Rng, SeedableRng};
        use trunkline_engineio::{Config, Protocol, Session, TransportKind};

        use super::*;

        fn export() -> Export {
            let now = Timestamp::from_micros(1);
            let (config, polling) = (Rc::new(Config::default()), TransportKind::Polling);
            let session = Session::new(now, config, Protocol::V4, polling, "sid");
            let header = Header { name: "x-own".into(), value: "é".into() };
            let request = ClientRequest {
                transport: Transport::Polling,
                secure: true,
                address: "2001:db8::7".into(),
                port: u16::MAX,
                method: "GET".into(),
                url: "/socket.io/?EIO=4".into(),
                headers: vec![header.clone()],
                claims: "{}".into(),
            };
            let socket = MovedSocket {
                nsp: "/".into(),
                id: "s".into(),
                rooms: vec!["a".into(), "".into()],
                in_own_room: true,
                last: Some("o1".into()),
                kept: Some(("pid".into(), Bytes::from_static(b"\0state"))),
            };
            let bare = MovedSocket { last: None, kept: None, in_own_room: false, ..socket.clone() };
            Export {
                engine: session.export(now).expect("it is open"),
                custom_sid: Some("made by the app".into()),
                lasting: vec![header],
                held: vec![(false, Bytes::from_static(b"text")), (true, Bytes::new())],
                request: Some(request),
                standing: StandingFlags { owes: true, ..StandingFlags::default() },
                closed: Some(CloseCode(200)),
                sockets: vec![socket, bare],
                cut: Cut(vec![("p".into(), u64::MAX), ("q".into(), 0)]),
                token: None,
            }
        }

        fn with_token() -> Export {
            let token = MovedToken {
                key: Some(KeyMark::from_bytes(*b"8 bytes!")),
                ends_in: Some(Duration::from_secs(300)),
                user: Some(TextMark::of("anna")),
                id: None,
                signed_s: 1_700_000_000,
            };
            Export { token: Some(token), ..export() }
        }

        #[test]
        fn what_is_written_reads_back() {
            for (export, again) in [(export(), export()), (with_token(), with_token())] {
                let bytes = again.encode();
                let back = Export::decode(bytes.clone()).expect("our own bytes");
                assert_eq!((&back.sockets, &back.cut), (&export.sockets, &export.cut));
                assert_eq!((back.request, back.lasting), (export.request, export.lasting));
                assert_eq!((back.held, back.closed), (export.held, export.closed));
                assert_eq!((back.standing, back.custom_sid), (export.standing, export.custom_sid));
                assert_eq!(back.token, export.token);
                decode(&bytes);
            }
        }

        #[test]
        fn bytes_that_are_no_session_are_refused() {
            let mut rng = StdRng::seed_from_u64(7);
            for good in [export().encode(), with_token().encode()] {
                for end in 0..good.len() {
                    assert!(Export::decode(good.slice(..end)).is_err(), "{end} bytes");
                }
                let read = |bytes: Vec<u8>| Export::decode(Bytes::from(bytes)).map(|_| ());
                assert_eq!(read([&good[..], &[0]].concat()), Err(BadExport::LeftOver));
                assert_eq!(read([&[9], &good[1..]].concat()), Err(BadExport::Version(9)));
                for _ in 0..20_000 {
                    let mut bytes = good.to_vec();
                    for _ in 0..rng.random_range(1..4) {
                        let place = rng.random_range(0..bytes.len());
                        bytes[place] = rng.random();
                    }
                    decode(&bytes);
                }
            }
        }
    }
}
