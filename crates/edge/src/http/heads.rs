//! Follows where the heads of requests begin and end in the bytes of a stream, without parsing
//! them.
//!
//! hyper accepts a bare line feed as the end of a line, as RFC 9112 allows. A proxy in front may
//! not, and then the two see different requests in the same bytes. Node.js refuses it, and so does
//! this module. It also makes two deadlines possible for which hyper has only one: for the rest of
//! a head, and for the next request of a connection that is kept alive.
//!
//! It finds two more things that hyper would refuse and Node.js accepts: bytes of a URL that should
//! be percent-encoded, and heads with more lines than hyper has room for by default.

use std::time::Instant;

use memchr::memchr;

/// Bytes kept of a line: enough for the headers that give the length of a body.
const LINE_BYTES_KEPT: usize = 64;
/// The number of headers that hyper has room for by default.
const HEADERS_MAX: u32 = 100;

/// The error when a line of a request's head ends in a line feed without a carriage return.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a line of the request's head ends in a bare line feed")]
pub(super) struct BareLineFeed;

/// The position in the stream.
#[derive(Debug, Default)]
pub(super) struct Heads {
    place: Place,
    /// The length of the body, as far as the current head has given it.
    body: Body,
    /// The time at which the first byte of the current head arrived.
    begun: Option<Instant>,
    /// The part of the current line that arrived in earlier reads, cut to [`LINE_BYTES_KEPT`].
    line: Vec<u8>,
    /// Set when the last read ended with a carriage return.
    after_return: bool,
    broken: bool,
    /// Complete lines of the current head.
    lines: u32,
    /// Set in the first line of a head, after the method.
    in_target: bool,
    seen: Seen,
}

/// What hyper would refuse of the bytes given last, as positions in them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Seen {
    /// Bytes of requests' targets that a URI must not have.
    pub(super) raw: Vec<usize>,
    /// Where the first header begins for which hyper has no room.
    pub(super) many: Option<usize>,
}

/// Whether a URI must not have this byte unencoded although Node.js accepts it.
pub(super) fn is_raw(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`')
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Place {
    /// In a head, or at the place where the next one begins.
    #[default]
    Head,
    /// In a body of which this many bytes are still to come.
    Body(u64),
    /// Before the size of a chunk, see RFC 9112, section 7.1.
    ChunkSize,
    /// In a chunk of which this many bytes are still to come.
    Chunk(u64),
    /// After a chunk, before the end of its line.
    ChunkEnd,
    /// After the last chunk.
    Trailers,
    /// In bytes that belong, or may belong, to another protocol, until the request has been
    /// answered.
    Unknown,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Body {
    #[default]
    None,
    Bytes(u64),
    Chunks,
    Unknown,
}

/// Bytes in the form that hyper accepts, in two parts.
#[derive(Debug)]
pub(super) struct Escaped {
    pub(super) before: Vec<u8>,
    pub(super) after: Vec<u8>,
}

/// Percent-encodes the bytes at these positions. The second part begins at `split`.
pub(super) fn escape(bytes: &[u8], raw: &[usize], split: usize) -> Escaped {
    let mut parts = Escaped { before: Vec::with_capacity(split), after: Vec::new() };
    let mut raw = raw.iter().copied().peekable();
    for (index, byte) in bytes.iter().copied().enumerate() {
        let part = if index < split { &mut parts.before } else { &mut parts.after };
        if raw.next_if_eq(&index).is_none() {
            part.push(byte);
            continue;
        }
        part.push(b'%');
        part.extend([byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
    }
    parts
}

impl Heads {
    /// The time at which the first byte of an incomplete head arrived.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// Whether a line ended in a bare line feed.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a new value would serve as well: no byte of the next request has arrived.
    pub(super) fn is_at_start(&self) -> bool {
        let Self { place, body, begun, line, after_return, broken, lines, in_target, seen } = self;
        (*place, *body) == (Place::Head, Body::None)
            && (*begun, *lines) == (None, 0)
            && !(*after_return || *broken || *in_target)
            && line.is_empty()
            && *seen == Seen::default()
    }

    /// Notes that the request was answered and that the stream continues with HTTP.
    pub(super) fn handle_answered(&mut self) {
        if self.place == Place::Unknown {
            self.place = Place::Head;
        }
    }

    /// Takes what hyper would refuse of the bytes given last.
    pub(super) fn take_seen(&mut self) -> Seen {
        std::mem::take(&mut self.seen)
    }

    /// Follows the bytes that the stream has brought.
    pub(super) fn handle_bytes(&mut self, mut bytes: &[u8]) -> Result<(), BareLineFeed> {
        let count = bytes.len();
        while !bytes.is_empty() {
            match self.place {
                Place::Unknown => return Ok(()),
                Place::Body(left) => {
                    let (rest, left) = skip(bytes, left);
                    bytes = rest;
                    self.place = if left == 0 { Place::Head } else { Place::Body(left) };
                }
                Place::Chunk(left) => {
                    let (rest, left) = skip(bytes, left);
                    bytes = rest;
                    self.place = if left == 0 { Place::ChunkEnd } else { Place::Chunk(left) };
                }
                Place::Head | Place::ChunkSize | Place::ChunkEnd | Place::Trailers => {
                    bytes = self.take_line(bytes, count - bytes.len())?;
                }
            }
        }
        Ok(())
    }

    /// Reads one line, or the available part of it; returns the bytes after it. `at` is its
    /// position in the bytes given.
    fn take_line<'a>(&mut self, bytes: &'a [u8], at: usize) -> Result<&'a [u8], BareLineFeed> {
        if self.begun.is_none() && self.place == Place::Head {
            self.begun = Some(Instant::now());
        }
        let end = memchr(b'\n', bytes);
        if self.place == Place::Head {
            self.look(&bytes[..end.unwrap_or(bytes.len())], at);
        }
        let Some(end) = end else {
            self.keep(bytes);
            self.after_return = bytes.last() == Some(&b'\r');
            return Ok(&[]);
        };
        let after_return = end.checked_sub(1).map_or(self.after_return, |at| bytes[at] == b'\r');
        if !after_return {
            self.broken = true;
            return Err(BareLineFeed);
        }
        self.after_return = false;
        let piece = &bytes[..end.saturating_sub(1)];
        if self.line.is_empty() {
            self.end_line(piece);
        } else {
            self.keep(piece);
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.end_line(&line);
        }
        Ok(&bytes[end + 1..])
    }

    /// Notes what hyper would refuse in a line of a head, or in a part of one.
    fn look(&mut self, piece: &[u8], at: usize) {
        if self.lines > HEADERS_MAX {
            let begins = self.line.is_empty() && !matches!(piece, [] | [b'\r', ..]);
            if begins && self.seen.many.is_none() {
                self.seen.many = Some(at);
            }
            return;
        }
        if self.lines > 0 {
            return;
        }
        let mut from = 0;
        if !self.in_target {
            let Some(space) = piece.iter().position(|byte| *byte == b' ') else { return };
            (self.in_target, from) = (true, space);
        }
        if !piece[from..].iter().copied().any(is_raw) {
            return;
        }
        let raw = (from..piece.len()).filter(|index| is_raw(piece[*index]));
        self.seen.raw.extend(raw.map(|index| at + index));
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = LINE_BYTES_KEPT.saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// Handles a complete line, without its end.
    fn end_line(&mut self, line: &[u8]) {
        match self.place {
            Place::Head if !line.is_empty() => {
                self.in_target = false;
                self.lines = self.lines.saturating_add(1);
                self.note_header(line);
            }
            Place::Head => self.end_head(),
            Place::ChunkSize => {
                let digits = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next();
                let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
                self.place = match digits.map(|digits| u64::from_str_radix(digits, 16)) {
                    Some(Ok(0)) => Place::Trailers,
                    Some(Ok(count)) => Place::Chunk(count),
                    // hyper refuses it.
                    Some(Err(_)) | None => Place::Unknown,
                };
            }
            Place::ChunkEnd => self.place = Place::ChunkSize,
            Place::Trailers if line.is_empty() => self.place = Place::Head,
            Place::Trailers | Place::Body(_) | Place::Chunk(_) | Place::Unknown => (),
        }
    }

    /// Ends a head. Like hyper, ignores an empty line before a request: it makes a head without
    /// content.
    fn end_head(&mut self) {
        self.begun = None;
        self.lines = 0;
        self.place = match std::mem::take(&mut self.body) {
            Body::None | Body::Bytes(0) => Place::Head,
            Body::Bytes(count) => Place::Body(count),
            Body::Chunks => Place::ChunkSize,
            Body::Unknown => Place::Unknown,
        };
    }

    fn note_header(&mut self, line: &[u8]) {
        let is = |name: &str| {
            line.get(..name.len()).is_some_and(|got| got.eq_ignore_ascii_case(name.as_bytes()))
        };
        if is("upgrade:") {
            self.body = Body::Unknown;
        } else if is("transfer-encoding:") && self.body != Body::Unknown {
            self.body = Body::Chunks;
        } else if is("content-length:") && matches!(self.body, Body::None) {
            let count = str::from_utf8(&line["content-length:".len()..]).ok();
            // hyper refuses a value that is not a number, and two that differ.
            self.body = count
                .and_then(|count| count.trim().parse().ok())
                .map_or(Body::Unknown, Body::Bytes);
        }
    }
}

/// Skips up to `left` bytes: returns those after them, and how many are still to be skipped.
fn skip(bytes: &[u8], left: u64) -> (&[u8], u64) {
    let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (&bytes[skipped..], left - skipped as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &str = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// Handles the bytes in one piece, and byte by byte.
    fn both_ways(bytes: &str) -> (Result<(), BareLineFeed>, Heads) {
        let mut whole = Heads::default();
        let verdict = whole.handle_bytes(bytes.as_bytes());
        let mut pieces = Heads::default();
        let each = bytes.as_bytes().chunks(1).try_for_each(|byte| pieces.handle_bytes(byte));
        assert_eq!(verdict, each, "{bytes:?}");
        if verdict.is_ok() {
            assert_eq!(whole.place, pieces.place, "{bytes:?}");
            assert_eq!(whole.begun.is_some(), pieces.begun.is_some(), "{bytes:?}");
        }
        (verdict, whole)
    }

    #[test]
    fn a_bare_line_feed_in_any_head_is_found() {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\n\n\n";
        for bad in [
            "\n".to_owned(),
            "GET / HTTP/1.1\nHost: a\r\n\r\n".into(),
            "GET / HTTP/1.1\r\nHost: a\n\r\n".into(),
            "GET / HTTP/1.1\r\nHost: a\r\n\n".into(),
            format!("{GET}GET / HTTP/1.1\n"),
            format!("{post}GET / HTTP/1.1\n"),
            format!("{post}{post}\n"),
            format!("{CHUNKED}2\r\n\n\n\r\n0\r\n\r\nGET / HTTP/1.1\n"),
            format!("{CHUNKED}0\r\nx: y\r\n\r\n{GET}\n"),
            format!("{CHUNKED}1\n"),
        ] {
            let (verdict, heads) = both_ways(&bad);
            assert_eq!(verdict, Err(BareLineFeed), "{bad:?}");
            assert!(heads.is_broken());
        }
    }

    #[test]
    fn line_feeds_of_bodies_and_other_protocols_are_none_of_a_head() {
        for good in [
            GET.to_owned(),
            format!("\r\n{GET}{GET}"),
            "POST / HTTP/1.1\r\ncontent-length:  4 \r\n\r\na\nb\n".into(),
            format!("{CHUNKED}2;x=y\r\n\n\n\r\n1F \r\n{}\r\n0\r\n\r\n{GET}", "\n".repeat(31)),
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\n\n".into(),
        ] {
            assert_eq!(both_ways(&good).0, Ok(()), "{good:?}");
        }
    }

    #[test]
    fn after_an_answer_heads_are_looked_at_again() {
        let mut heads = Heads::default();
        let asks = "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n";
        assert_eq!(heads.handle_bytes(asks.as_bytes()), Ok(()));
        heads.handle_answered();
        assert_eq!(heads.handle_bytes(b"GET / HTTP/1.1\n"), Err(BareLineFeed));
    }

    /// The raw bytes, and the first header beyond hyper's room, of bytes given in one piece; checks
    /// that byte by byte is the same.
    fn seen(bytes: &str) -> (String, Option<usize>) {
        let mut whole = Heads::default();
        whole.handle_bytes(bytes.as_bytes()).expect("fine");
        let mut pieces = Heads::default();
        let (mut raw, mut many) = (Vec::new(), None);
        for (index, byte) in bytes.bytes().enumerate() {
            pieces.handle_bytes(&[byte]).expect("fine");
            let seen = pieces.take_seen();
            raw.extend(seen.raw.iter().map(|_| index));
            many = many.or(seen.many.map(|_| index));
        }
        let seen = whole.take_seen();
        assert_eq!(seen, Seen { raw, many }, "{bytes:?}");
        assert_eq!(whole.take_seen(), Seen::default());
        let raw = seen.raw.iter().map(|at| char::from(bytes.as_bytes()[*at])).collect();
        (raw, seen.many)
    }

    #[test]
    fn raw_bytes_of_targets_are_seen_and_no_others() {
        let head = "G<T /\"a<b>?`\u{7f} HTTP/1.1\r\nx: \"<>\r\nupgrade: \"\r\n\r\n\"<>";
        assert_eq!(seen(head).0, "\"<>`");
        let post = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n \"<>\n";
        assert_eq!(seen(post).0, "");
        assert_eq!(
            seen(&format!("{post}GET /< HTTP/1.1\r\n\r\n{CHUNKED}3\r\n \"\"\r\n0\r\n\r\n")).0,
            "<"
        );
    }

    #[test]
    fn raw_bytes_are_percent_encoded() {
        let parts = escape(b"a\">`b<", &[1, 2, 3], 3);
        assert_eq!((&parts.before[..], &parts.after[..]), (&b"a%22%3E"[..], &b"%60b<"[..]));
    }

    #[test]
    fn the_header_that_hyper_has_no_room_for_is_seen_where_it_begins() {
        let head = |headers: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(headers));
        assert_eq!(seen(&head(100)).1, None);
        assert_eq!(seen(&head(100).repeat(3)).1, None);
        let first = head(101);
        let at = first.len() - "a: b\r\n\r\n".len();
        assert_eq!(seen(&first).1, Some(at));
        assert_eq!(seen(&format!("{}{}", head(100), head(500))).1, Some(head(100).len() + at));
    }

    #[test]
    fn fresh_ones_will_do_between_requests_and_nowhere_else() {
        assert!(Heads::default().is_at_start());
        let post = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na\nb";
        for request in [GET, post, CHUNKED, "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"] {
            let mut heads = Heads::default();
            for byte in request.as_bytes().chunks(1) {
                heads.handle_bytes(byte).expect("fine");
                let at_end = heads.place == Place::Head && heads.begun.is_none();
                assert_eq!(heads.is_at_start(), at_end, "{request:?}");
            }
            assert_eq!(heads.is_at_start(), request == GET || request == post, "{request:?}");
        }
    }

    #[test]
    fn a_head_has_begun_from_its_first_byte_to_its_last() {
        let mut heads = Heads::default();
        assert_eq!(heads.begun(), None);
        heads.handle_bytes(b"G").expect("fine");
        let begun = heads.begun();
        assert!(begun.is_some());
        heads.handle_bytes(&GET.as_bytes()[1..GET.len() - 1]).expect("fine");
        assert_eq!(heads.begun(), begun);
        heads.handle_bytes(b"\n").expect("fine");
        assert_eq!(heads.begun(), None);
    }
}
