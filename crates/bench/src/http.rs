//! HTTP/1.1 as the generator needs it: requests as text, answers with a `Content-Length`.

use std::net::SocketAddrV4;

use crate::client::Loss;
use crate::packet::leading_number;

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Longest body of an answer.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A server and Socket.IO's path there.
#[derive(Debug)]
pub(crate) struct Site {
    host: String,
    path: String,
}

/// What a client shows with every request but its first.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    pub(crate) sid: String,
    /// By which a balancer knows the session's server; empty when none was set.
    pub(crate) cookie: String,
}

impl Site {
    pub(crate) fn new(target: SocketAddrV4, path: &str) -> Self {
        Self { host: target.to_string(), path: path.to_owned() }
    }

    /// The HTTP upgrade: of a new session, or of one that polling has begun.
    pub(crate) fn upgrade(&self, ticket: Option<&Ticket>) -> Vec<u8> {
        let (host, path, sid, cookie) =
            (&self.host, &self.path, sid_query(ticket), cookie_line(ticket));
        // The key is constant: only browsers and caches need it to differ.
        format!(
            "GET {path}?EIO=4&transport=websocket{sid} HTTP/1.1\r\nHost: {host}\r\n{cookie}Connection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dHJ1bmtsaW5lLWJlbmNoMQ==\r\n\r\n"
        )
        .into_bytes()
    }

    /// A poll; without a sid it opens a session.
    pub(crate) fn poll(&self, ticket: Option<&Ticket>) -> Vec<u8> {
        let (host, path, sid, cookie) =
            (&self.host, &self.path, sid_query(ticket), cookie_line(ticket));
        format!("GET {path}?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: {host}\r\n{cookie}Accept: */*\r\n\r\n")
            .into_bytes()
    }

    pub(crate) fn post(&self, ticket: &Ticket, payload: &[u8]) -> Vec<u8> {
        let (host, path, sid, cookie) =
            (&self.host, &self.path, sid_query(Some(ticket)), cookie_line(Some(ticket)));
        let length = payload.len();
        let mut bytes = format!(
            "POST {path}?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: {host}\r\n{cookie}\
             Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        bytes.extend_from_slice(payload);
        bytes
    }
}

fn sid_query(ticket: Option<&Ticket>) -> String {
    ticket.map_or_else(String::new, |ticket| format!("&sid={}", ticket.sid))
}

fn cookie_line(ticket: Option<&Ticket>) -> String {
    let cookie = ticket.map(|ticket| ticket.cookie.as_str()).filter(|cookie| !cookie.is_empty());
    cookie.map_or_else(String::new, |cookie| format!("Cookie: {cookie}\r\n"))
}

/// The cookie that an answer sets, name and value; empty when it sets none.
pub(crate) fn cookie(answer: &[u8]) -> &str {
    let pair =
        header(answer, b"set-cookie").and_then(|line| line.split(|byte| *byte == b';').next());
    pair.and_then(|pair| str::from_utf8(pair).ok()).unwrap_or("")
}

/// The length of the head when it is whole and says 101.
pub(crate) fn switched(input: &[u8]) -> Result<Option<usize>, Loss> {
    match head(input)? {
        Some((101, end)) => Ok(Some(end)),
        Some((status, _)) => Err(Loss::Http(status)),
        None => Ok(None),
    }
}

/// The body of an answer that is whole and says 200, and how many bytes the answer used.
pub(crate) fn answer(input: &[u8]) -> Result<Option<(&[u8], usize)>, Loss> {
    let Some((status, start)) = head(input)? else { return Ok(None) };
    if status != 200 {
        return Err(Loss::Http(status));
    }
    // A body in chunks would be legal; servers of Socket.IO know how long their payloads are.
    let length = content_length(&input[..start]).ok_or(Loss::Protocol)?;
    if length > BODY_BYTES_MAX {
        return Err(Loss::Protocol);
    }
    Ok(input.get(start..start + length).map(|body| (body, start + length)))
}

/// Status and length of a whole head.
fn head(input: &[u8]) -> Result<Option<(u16, usize)>, Loss> {
    let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if input.len() > HEAD_BYTES_MAX { Err(Loss::Protocol) } else { Ok(None) };
    };
    let status = input.strip_prefix(b"HTTP/1.1 ").and_then(|rest| leading_number(rest).0);
    let status = status.and_then(|status| u16::try_from(status).ok()).ok_or(Loss::Protocol)?;
    Ok(Some((status, end + 4)))
}

fn content_length(head: &[u8]) -> Option<usize> {
    leading_number(header(head, b"content-length")?).0?.try_into().ok()
}

/// The value of the first header of that name.
fn header<'a>(head: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let lines = head.split(|byte| *byte == b'\n').take_while(|line| *line != b"\r");
    lines.into_iter().find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        name.eq_ignore_ascii_case(wanted).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_only_when_whole() {
        let bytes = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 2\r\n\r\nokHTTP/1.1";
        for cut in 0..bytes.len() - 8 {
            assert_eq!(answer(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(answer(bytes), Ok(Some((&b"ok"[..], bytes.len() - 8))));
    }

    #[test]
    fn a_cookie_comes_back_with_what_follows() {
        let answer =
            b"HTTP/1.1 200 OK\r\nSet-Cookie: worker=2; path=/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(cookie(answer), "worker=2");
        assert_eq!(cookie(b"HTTP/1.1 200 OK\r\n\r\nset-cookie: a=b"), "");
        let ticket = Ticket { sid: "s".into(), cookie: cookie(answer).into() };
        let site = Site::new(SocketAddrV4::new([127, 0, 0, 1].into(), 80), "/");
        for request in
            [site.poll(Some(&ticket)), site.post(&ticket, b"40"), site.upgrade(Some(&ticket))]
        {
            let text = String::from_utf8(request).unwrap();
            assert!(
                text.contains("&sid=s ") && text.contains("\r\nCookie: worker=2\r\n"),
                "{text}"
            );
        }
        assert!(!String::from_utf8(site.poll(None)).unwrap().contains("Cookie"));
    }

    #[test]
    fn answers_that_are_none_are_named() {
        for (bytes, loss) in [
            (&b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"[..], Loss::Http(400)),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Loss::Protocol),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", Loss::Protocol),
            (b"SSH-2.0\r\n\r\n", Loss::Protocol),
            (&[b'x'; HEAD_BYTES_MAX + 1], Loss::Protocol),
        ] {
            assert_eq!(answer(bytes), Err(loss));
        }
    }

    #[test]
    fn a_post_says_its_length() {
        let site = Site::new(SocketAddrV4::new([127, 0, 0, 1].into(), 80), "/socket.io/");
        let ticket = Ticket { sid: "a".into(), cookie: String::new() };
        let text = String::from_utf8(site.post(&ticket, b"40")).unwrap();
        assert!(text.starts_with("POST /socket.io/?EIO=4&transport=polling&sid=a HTTP/1.1\r\n"));
        assert!(text.ends_with("\r\nContent-Length: 2\r\n\r\n40"), "{text}");
    }
}
