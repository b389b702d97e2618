//! Follows where the heads of requests begin and end in what a stream brings, without parsing them.
//!
//! hyper takes a bare line feed for the end of a line, as RFC 9112 allows; a proxy in front may not, and then the two
//! see different requests in the same bytes. Node.js refuses it, and so does this. It also gives the two deadlines
//! that hyper has as one: for the rest of a head, and for the next request of a connection that is kept alive.

use std::time::Instant;

/// Enough of a line for the headers that say how long a body is.
const LINE_BYTES_KEPT: usize = 64;

/// A line of a request's head ends in a line feed without a carriage return before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a line of the request's head ends in a bare line feed")]
pub(super) struct BareLineFeed;

/// The place in the stream.
#[derive(Debug, Default)]
pub(super) struct Heads {
    place: Place,
    /// What the head at hand says of its body.
    body: Body,
    /// When the first byte of the head at hand came.
    begun: Option<Instant>,
    /// The line at hand as far as it came in earlier reads, cut to [`LINE_BYTES_KEPT`].
    line: Vec<u8>,
    /// What the last read ended with.
    after_return: bool,
    broken: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Place {
    /// In a head, or where the next one will begin.
    #[default]
    Head,
    /// In a body of which so many bytes are to come.
    Body(u64),
    /// Before the size of a chunk, see RFC 9112, section 7.1.
    ChunkSize,
    /// In a chunk of which so many bytes are to come.
    Chunk(u64),
    /// Behind a chunk, before the end of its line.
    ChunkEnd,
    /// Behind the last chunk.
    Trailers,
    /// In another protocol, or what may be one: until the request has been answered.
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

impl Heads {
    /// When the first byte of a head came whose last one has not come yet.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// Whether a line ended in a bare line feed.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The request has been answered, and goes on in HTTP.
    pub(super) fn handle_answered(&mut self) {
        if self.place == Place::Unknown {
            self.place = Place::Head;
        }
    }

    /// The stream has brought these bytes.
    pub(super) fn handle_bytes(&mut self, mut bytes: &[u8]) -> Result<(), BareLineFeed> {
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
                    bytes = self.take_line(bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Takes one line, or the piece of it that is there; returns what follows.
    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], BareLineFeed> {
        if self.begun.is_none() && self.place == Place::Head {
            self.begun = Some(Instant::now());
        }
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
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

    fn keep(&mut self, piece: &[u8]) {
        let room = LINE_BYTES_KEPT.saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// A whole line, without its end.
    fn end_line(&mut self, line: &[u8]) {
        match self.place {
            Place::Head if !line.is_empty() => self.note_header(line),
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

    /// An empty line before a request is passed over here as by hyper: it makes a head that says nothing.
    fn end_head(&mut self) {
        self.begun = None;
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
            // hyper refuses what is no number, and two that differ.
            self.body = count
                .and_then(|count| count.trim().parse().ok())
                .map_or(Body::Unknown, Body::Bytes);
        }
    }
}

/// The bytes beyond `left`, and how many of those are still to come.
fn skip(bytes: &[u8], left: u64) -> (&[u8], u64) {
    let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (&bytes[skipped..], left - skipped as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &str = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// In one piece, and byte by byte.
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
