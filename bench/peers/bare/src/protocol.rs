//! The parts of HTTP, WebSocket, Engine.IO 4 and Socket.IO 5 that the ledger's generator uses,
//! without any checks.

use std::ops::Range;

/// The key is the generator's constant one, so its answer is constant too: no SHA-1, no Base64.
pub(crate) const UPGRADED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: 6RVYhl3bQHvNpzmAzEcPBVHwUQg=\r\n\r\n";
/// Every WebSocket session has the same id; a polling session has the number of its connection as
/// id.
pub(crate) fn open(sid: usize) -> Vec<u8> {
    let open = format!(
        r#"0{{"sid":"{sid}","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
    );
    open.into_bytes()
}

pub(crate) const JOINED: &[u8] = br#"40{"sid":"bare"}"#;
pub(crate) const PING: &[u8] = b"\x81\x012";

/// The request of a client over HTTP.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Request {
    Upgrade,
    /// A GET without a session.
    Handshake,
    /// A GET within a session.
    Poll,
    /// A POST within the session of this number.
    Post(usize),
}

/// The request at the beginning of the input, and the length of it with its body; `None` until it
/// is complete.
pub(crate) fn request(input: &[u8]) -> Option<(Request, usize)> {
    let head = find(input, b"\r\n\r\n")? + 4;
    let line = &input[..find(input, b"\r\n")?];
    if line.starts_with(b"POST") {
        let body = header_number(&input[..head], b"content-length: ");
        let at = find(line, b"sid=").map_or(0, |at| at + 4);
        let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let sid = number(&line[at..at + digits]) as usize;
        return (input.len() >= head + body).then_some((Request::Post(sid), head + body));
    }
    let request = if find(line, b"transport=websocket").is_some() {
        Request::Upgrade
    } else if find(line, b"sid=").is_some() {
        Request::Poll
    } else {
        Request::Handshake
    };
    Some((request, head))
}

/// Appends an answer to a request.
pub(crate) fn answer(out: &mut Vec<u8>, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}

/// The first complete frame of a client, unmasked in place: its opcode, its payload and its length.
pub(crate) fn take_frame(input: &mut [u8]) -> Option<(u8, Range<usize>, usize)> {
    let [first, second, ..] = *input else { return None };
    let (length, start) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*input.get(2..)?.first_chunk()?)), 8),
        127 => (u64::from_be_bytes(*input.get(2..)?.first_chunk()?) as usize, 14),
        short => (usize::from(short), 6),
    };
    let payload = start..start + length;
    let key: [u8; 4] = *input.get(start - 4..start)?.first_chunk()?;
    unmask(input.get_mut(payload.clone())?, key);
    Some((first & 0x0f, payload.clone(), payload.end))
}

/// Unmasks eight bytes at a time.
fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let value = chunk.first_chunk_mut::<8>().expect("a chunk has eight bytes");
        *value = (u64::from_ne_bytes(*value) ^ wide).to_ne_bytes();
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends one text frame whose payload is all `parts`.
pub(crate) fn text_frame(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(0x81);
    if length < 126 {
        out.push(length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// The request in a client's text message.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Wish<'a> {
    Join,
    /// Acknowledge `id` with the rest of the array, including its closing bracket.
    Echo {
        id: &'a [u8],
        rest: &'a [u8],
    },
    /// Acknowledge `id` with anything.
    Done {
        id: &'a [u8],
    },
    Broadcast(Broadcast<'a>),
    Nothing,
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Broadcast<'a> {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) at: &'a [u8],
    pub(crate) bytes: usize,
}

pub(crate) fn wish(text: &[u8]) -> Wish<'_> {
    if text == b"40" {
        return Wish::Join;
    }
    let Some(event) = text.strip_prefix(b"42") else { return Wish::Nothing };
    let digits = event.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (id, array) = event.split_at(digits);
    if let Some(rest) = array.strip_prefix(br#"["echo","#) {
        return Wish::Echo { id, rest };
    }
    match array.strip_prefix(br#"["broadcast","#).and_then(broadcast) {
        Some(broadcast) => Wish::Broadcast(broadcast),
        None if digits > 0 => Wish::Done { id },
        None => Wish::Nothing,
    }
}

/// `first,count,"at",bytes]`
fn broadcast(text: &[u8]) -> Option<Broadcast<'_>> {
    let mut parts = text.strip_suffix(b"]")?.split(|byte| *byte == b',');
    let mut next = || parts.next();
    let (first, count) = (number(next()?), number(next()?));
    let at = next()?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(Broadcast { first, count, at, bytes: number(next()?) as usize })
}

impl Broadcast<'_> {
    /// Appends the frames that every client receives.
    pub(crate) fn frames(&self, out: &mut Vec<u8>) {
        for sequence in self.first..self.first + self.count {
            let mut text = sequence.to_string().into_bytes();
            text.push(b':');
            text.extend_from_slice(self.at);
            text.push(b':');
            text.resize(text.len().max(self.bytes), b'x');
            text_frame(out, &[br#"42["b",""#, &text, br#""]"#]);
        }
    }
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit.wrapping_sub(b'0')))
}

fn header_number(head: &[u8], name: &[u8]) -> usize {
    let lower = head.to_ascii_lowercase();
    let Some(at) = find(&lower, name) else { return 0 };
    let digits = lower[at + name.len()..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    number(&lower[at + name.len()..][..digits]) as usize
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_and_only_when_whole() {
        for (text, expected) in [
            ("GET /?EIO=4&transport=websocket HTTP/1.1\r\n\r\n", Some(Request::Upgrade)),
            ("GET /?EIO=4&transport=polling HTTP/1.1\r\n\r\n", Some(Request::Handshake)),
            ("GET /?transport=polling&sid=x HTTP/1.1\r\n\r\n", Some(Request::Poll)),
            ("POST /?sid=7 HTTP/1.1\r\nContent-Length: 2\r\n\r\n40", Some(Request::Post(7))),
            ("POST /?sid=7 HTTP/1.1\r\nContent-Length: 2\r\n\r\n4", None),
            ("GET / HTTP/1.1\r\n", None),
        ] {
            let found = request(text.as_bytes());
            assert_eq!(found, expected.map(|request| (request, text.len())), "{text}");
        }
    }

    #[test]
    fn frames_of_every_length_are_taken_whole() {
        for length in [0, 5, 125, 126, 65_535, 65_536] {
            let mut masked = Vec::new();
            text_frame(&mut masked, &[&vec![b'x' ^ 7; length]]);
            masked[1] |= 0x80;
            let header = masked.len() - length;
            masked.splice(header..header, [7; 4]);
            let end = masked.len() - 1;
            assert_eq!(take_frame(&mut masked[..end].to_vec()), None);
            let (opcode, payload, used) = take_frame(&mut masked).expect("it is whole");
            assert_eq!((opcode, payload.len(), used), (1, length, masked.len()));
            assert!(masked[payload].iter().all(|byte| *byte == b'x'));
        }
    }

    #[test]
    fn wishes_are_understood() {
        assert_eq!(wish(b"40"), Wish::Join);
        assert_eq!(wish(br#"4217["echo","a"]"#), Wish::Echo { id: b"17", rest: br#""a"]"# });
        assert_eq!(wish(br#"420["gc"]"#), Wish::Done { id: b"0" });
        assert_eq!(wish(b"3"), Wish::Nothing);
        let asked = Broadcast { first: 3, count: 2, at: b"99", bytes: 8 };
        assert_eq!(wish(br#"42["broadcast",3,2,"99",8]"#), Wish::Broadcast(asked));
    }

    #[test]
    fn a_broadcast_is_one_frame_for_each_message() {
        let mut out = Vec::new();
        Broadcast { first: 9, count: 2, at: b"5", bytes: 7 }.frames(&mut out);
        assert_eq!(out, b"\x81\x1142[\"b\",\"9:5:xxx\"]\x81\x1142[\"b\",\"10:5:xx\"]");
    }
}
