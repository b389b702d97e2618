//! HTTP/1.1 as the generator needs it: requests as text, answers with a `Content-Length`.

use std::net::SocketAddrV4;

use crate::manner::Manner;
use crate::packet::leading_number;
use crate::session::Loss;

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Longest body of an answer.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A server, and the HTTP identity of the clients there.
#[derive(Debug)]
pub(crate) struct Site {
    host: String,
    pub(crate) manner: Manner,
}

/// What a client sends with every request except its first.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    pub(crate) sid: String,
    /// The cookie by which a balancer knows the session's server; empty when none was set.
    pub(crate) cookie: String,
}

impl Site {
    pub(crate) fn new(target: SocketAddrV4, manner: &Manner) -> Self {
        let host = manner.host.clone().unwrap_or_else(|| target.to_string());
        Self { host, manner: manner.clone() }
    }

    /// Request line and headers up to those of the request's own kind.
    fn begin(&self, method: &str, transport: &str, ticket: Option<&Ticket>) -> String {
        let Manner { path, query, headers, cookie, .. } = &self.manner;
        let sid = ticket.map_or_else(String::new, |ticket| format!("&sid={}", ticket.sid));
        let balancers = ticket.map_or("", |ticket| &ticket.cookie);
        let cookies = [cookie.as_str(), balancers].into_iter().filter(|one| !one.is_empty());
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        let cookie_line =
            if cookies.is_empty() { cookies } else { format!("Cookie: {cookies}\r\n") };
        let host = &self.host;
        format!(
            "{method} {path}?EIO=4&transport={transport}{query}{sid} HTTP/1.1\r\nHost: {host}\r\n{headers}{cookie_line}"
        )
    }

    /// The HTTP upgrade: of a new session, or of one that polling has begun.
    pub(crate) fn upgrade(&self, ticket: Option<&Ticket>) -> Vec<u8> {
        let mut text = self.begin("GET", "websocket", ticket);
        // The key is constant: only browsers and caches need it to differ.
        text.push_str(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dHJ1bmtsaW5lLWJlbmNoMQ==\r\n\r\n",
        );
        text.into_bytes()
    }

    /// A poll; without a sid it opens a session.
    pub(crate) fn poll(&self, ticket: Option<&Ticket>) -> Vec<u8> {
        let mut text = self.begin("GET", "polling", ticket);
        text.push_str("Accept: */*\r\n\r\n");
        text.into_bytes()
    }

    pub(crate) fn post(&self, ticket: &Ticket, payload: &[u8]) -> Vec<u8> {
        let length = payload.len();
        let mut text = self.begin("POST", "polling", Some(ticket));
        text.push_str(&format!(
            "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {length}\r\n\r\n"
        ));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(payload);
        bytes
    }
}

/// The cookie that an answer sets, name and value; empty when it sets none.
pub(crate) fn cookie(answer: &[u8]) -> &str {
    let pair =
        header(answer, b"set-cookie").and_then(|line| line.split(|byte| *byte == b';').next());
    pair.and_then(|pair| str::from_utf8(pair).ok()).unwrap_or("")
}

/// The length of a complete head with status 101.
pub(crate) fn switched(input: &[u8]) -> Result<Option<usize>, Loss> {
    match head(input)? {
        Some((101, end)) => Ok(Some(end)),
        Some((status, _)) => Err(Loss::Http(status)),
        None => Ok(None),
    }
}

/// The body of a complete answer with status 200, and the answer's length.
pub(crate) fn answer(input: &[u8]) -> Result<Option<(&[u8], usize)>, Loss> {
    let Some((status, start)) = head(input)? else { return Ok(None) };
    if status != 200 {
        return Err(Loss::Http(status));
    }
    // A chunked body would be legal, but Socket.IO servers send the length of their payloads.
    let length = content_length(&input[..start]).ok_or(Loss::Protocol)?;
    if length > BODY_BYTES_MAX {
        return Err(Loss::Protocol);
    }
    Ok(input.get(start..start + length).map(|body| (body, start + length)))
}

/// Whether an answer of any status has arrived completely, as far as its length is known.
pub(crate) fn is_whole(input: &[u8]) -> bool {
    let Ok(Some((_, start))) = head(input) else { return false };
    content_length(&input[..start]).is_none_or(|length| input.len() >= start + length)
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
        let site = Site::new(SocketAddrV4::new([127, 0, 0, 1].into(), 80), &Manner::default());
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
    fn what_the_user_says_is_in_every_request() {
        let mut manner = Manner { path: "/chat/".into(), ..Manner::default() };
        manner.add_query("room=1").unwrap();
        for header in ["X-Own: y", "Cookie: id=7", "Host: chat.example"] {
            manner.add_header(header).unwrap();
        }
        let site = Site::new(SocketAddrV4::new([127, 0, 0, 1].into(), 80), &manner);
        let ticket = Ticket { sid: "s".into(), cookie: "worker=2".into() };
        for request in
            [site.poll(Some(&ticket)), site.post(&ticket, b"40"), site.upgrade(Some(&ticket))]
        {
            let text = String::from_utf8(request).unwrap();
            let (line, rest) = text.split_once("\r\n").unwrap();
            assert!(line.contains(" /chat/?EIO=4&transport=") && line.contains("&room=1&sid=s "));
            assert!(
                rest.starts_with("Host: chat.example\r\nX-Own: y\r\nCookie: id=7; worker=2\r\n")
            );
        }
        assert!(String::from_utf8(site.poll(None)).unwrap().contains("\r\nCookie: id=7\r\n"));
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
        let site = Site::new(SocketAddrV4::new([127, 0, 0, 1].into(), 80), &Manner::default());
        let ticket = Ticket { sid: "a".into(), cookie: String::new() };
        let text = String::from_utf8(site.post(&ticket, b"40")).unwrap();
        assert!(text.starts_with("POST /socket.io/?EIO=4&transport=polling&sid=a HTTP/1.1\r\n"));
        assert!(text.ends_with("\r\nContent-Length: 2\r\n\r\n40"), "{text}");
    }
}
