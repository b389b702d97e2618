//! The server's own reason why no client can connect: one more client connects step by step and
//! keeps what it receives.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use crate::frame::{self, Opcode};
use crate::http::{self, Site, Ticket};
use crate::manner::Manner;
use crate::out::{Framing, Out, SEPARATOR};
use crate::packet::{self, Packet};
use crate::session::Handshake;
use crate::transport::Transport;

const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The most bytes that are read from the server.
const BYTES_MAX: usize = 64 << 10;
/// The most characters that are shown.
const SHOWN_CHARS_MAX: usize = 500;
/// Polls until the namespace has answered.
const POLLS_MAX: usize = 8;

/// The server's reason; `None` when this client could connect, or received no reason.
pub(crate) fn ask(target: SocketAddrV4, manner: &Manner, transport: Transport) -> Option<String> {
    let asked = match transport {
        Transport::WebSocket => over_websocket(target, manner),
        Transport::Polling | Transport::Upgrade => over_polling(target, manner),
    };
    match asked {
        Ok(reason) => reason,
        Err(error) if is_silence(&error) => {
            Some(format!("{target} says nothing within {} s", ANSWER_MAX.as_secs()))
        }
        Err(error) => Some(format!("{target}: {error}")),
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn over_websocket(target: SocketAddrV4, manner: &Manner) -> io::Result<Option<String>> {
    let site = Site::new(target, manner);
    let mut stream = connect(target)?;
    stream.write_all(&site.upgrade(None))?;
    let mut input = Vec::new();
    let head = loop {
        read_more(&mut stream, &mut input)?;
        match http::switched(&input) {
            Ok(Some(head)) => break head,
            Ok(None) => (),
            Err(_) => return Ok(Some(answer_text(&mut stream, input))),
        }
    };
    input.drain(..head);
    let mut out = Out::new(Framing::WebSocket, &manner.prefix);
    loop {
        let decoded = frame::decode(&input).map_err(io::Error::other)?;
        let Some((frame, used)) = decoded else {
            read_more(&mut stream, &mut input)?;
            continue;
        };
        if frame.opcode == Opcode::Close {
            let code =
                frame.payload.first_chunk::<2>().map_or(1005, |code| u16::from_be_bytes(*code));
            let words = String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default());
            return Ok(Some(short(&format!("the server closes the WebSocket: {code} {words}"))));
        }
        match step(frame.payload, manner, &mut out) {
            Step::On => (),
            Step::End(reason) => return Ok(reason),
        }
        input.drain(..used);
        stream.write_all(&out.bytes)?;
        out.bytes.clear();
    }
}

fn over_polling(target: SocketAddrV4, manner: &Manner) -> io::Result<Option<String>> {
    let site = Site::new(target, manner);
    let mut ticket: Option<Ticket> = None;
    for _ in 0..POLLS_MAX {
        let (input, body) = match exchange(target, &site.poll(ticket.as_ref()))? {
            Ok(answer) => answer,
            Err(reason) => return Ok(Some(reason)),
        };
        let mut out = Out::new(Framing::Payload, &manner.prefix);
        for text in body.split(|byte| *byte == SEPARATOR) {
            if let (None, Some(Packet::Open(json))) =
                (&ticket, packet::decode(text, &manner.prefix))
                && let Ok(Handshake { sid, .. }) = serde_json::from_slice(json)
            {
                ticket = Some(Ticket { sid, cookie: http::cookie(&input).to_owned() });
            }
            match step(text, manner, &mut out) {
                Step::On => (),
                Step::End(reason) => return Ok(reason),
            }
        }
        let Some(ticket) = &ticket else {
            return Ok(Some(format!("no Engine.IO 4: {}", short(&String::from_utf8_lossy(&body)))));
        };
        if !out.bytes.is_empty()
            && let Err(reason) = exchange(target, &site.post(ticket, &out.bytes))?
        {
            return Ok(Some(reason));
        }
    }
    Ok(None)
}

enum Step {
    On,
    End(Option<String>),
}

/// One packet of the server's; the answer to it is in `out`.
fn step(text: &[u8], manner: &Manner, out: &mut Out) -> Step {
    let said =
        |what: &str| Step::End(Some(short(&format!("{what}: {}", String::from_utf8_lossy(text)))));
    match packet::decode(text, &manner.prefix) {
        Some(Packet::Open(_)) => {
            let auth = manner.auth_with(Vec::new());
            out.packet(&[b"40", manner.prefix.as_bytes(), &auth]);
            Step::On
        }
        Some(Packet::Ping) => {
            out.packet(&[b"3"]);
            Step::On
        }
        Some(Packet::ConnectRefused(body)) => {
            let words = String::from_utf8_lossy(body);
            Step::End(Some(short(&format!("the namespace refuses its clients: {words}"))))
        }
        Some(Packet::Connected(_)) => Step::End(None),
        Some(Packet::Close) => said("the server closes the session"),
        Some(Packet::Disconnected) => said("the server disconnects the socket"),
        Some(Packet::Ack { .. } | Packet::Event(_) | Packet::Other) => Step::On,
        None => said("no Engine.IO 4"),
    }
}

/// An answer of 200, the whole of it and its body; or in words what else came.
type Exchanged = Result<(Vec<u8>, Vec<u8>), String>;

fn exchange(target: SocketAddrV4, request: &[u8]) -> io::Result<Exchanged> {
    let mut stream = connect(target)?;
    stream.write_all(request)?;
    let mut input = Vec::new();
    loop {
        read_more(&mut stream, &mut input)?;
        match http::answer(&input) {
            Ok(Some((body, _))) => {
                let body = body.to_vec();
                return Ok(Ok((input, body)));
            }
            Ok(None) => (),
            Err(_) => return Ok(Err(answer_text(&mut stream, input))),
        }
    }
}

fn connect(target: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&target.into(), ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}

/// An end before the answer is an error, too.
fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4_096];
    let length = stream.read(&mut buffer)?;
    if length == 0 || input.len() > BYTES_MAX {
        let why = "the server ends the stream without an answer that a client could read";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
    }
    input.extend_from_slice(&buffer[..length]);
    Ok(())
}

/// Status line and body of an answer that is a refusal; what is missing of the body is read, for a moment.
fn answer_text(stream: &mut TcpStream, mut input: Vec<u8>) -> String {
    const BODY_MAX: Duration = Duration::from_millis(500);
    // The head is what counts; a body that does not come is left out.
    let _ = stream.set_read_timeout(Some(BODY_MAX));
    while !http::is_whole(&input) && read_more(stream, &mut input).is_ok() {}
    let text = String::from_utf8_lossy(&input);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.lines().next().unwrap_or_default();
    let status = status.strip_prefix("HTTP/1.1 ").unwrap_or(status);
    short(&format!("HTTP {status}: {}", body.trim()))
}

/// One line that fits on a terminal; control characters of the server's are not for it.
fn short(text: &str) -> String {
    let clean = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    clean.take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers each of its streams with the next of `answers`, whatever is asked.
    fn server(answers: Vec<Vec<u8>>) -> SocketAddrV4 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4_096];
                assert!(stream.read(&mut request).unwrap() > 0);
                stream.write_all(&answer).unwrap();
            }
        });
        SocketAddrV4::new([127, 0, 0, 1].into(), port)
    }

    fn ok(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    const OPEN: &str = r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let body = r#"{"code":"no_app_server","message":"start one"}"#;
        let length = body.len();
        let answer =
            format!("HTTP/1.1 503 Service Unavailable\r\nContent-Length: {length}\r\n\r\n{body}");
        for transport in [Transport::WebSocket, Transport::Polling] {
            let target = server(vec![answer.clone().into_bytes()]);
            let reason = ask(target, &Manner::default(), transport).unwrap();
            assert_eq!(reason, format!("HTTP 503 Service Unavailable: {body}"));
        }
    }

    #[test]
    fn a_namespaces_refusal_is_told() {
        let refused = "44/chat,{\"message\":\"not you\"}";
        let manner = Manner { prefix: "/chat,".into(), ..Manner::default() };
        let target = server(vec![ok(OPEN), ok("ok"), ok(refused)]);
        let reason = ask(target, &manner, Transport::Polling).unwrap();
        assert_eq!(reason, "the namespace refuses its clients: {\"message\":\"not you\"}");

        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        for text in [OPEN, refused] {
            bytes.extend([0x81, text.len() as u8]);
            bytes.extend(text.as_bytes());
        }
        let reason = ask(server(vec![bytes]), &manner, Transport::WebSocket).unwrap();
        assert_eq!(reason, "the namespace refuses its clients: {\"message\":\"not you\"}");
    }

    #[test]
    fn nobody_there_and_something_else_there_are_told() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let target = SocketAddrV4::new([127, 0, 0, 1].into(), nobody);
        let reason = ask(target, &Manner::default(), Transport::WebSocket).unwrap();
        assert!(reason.contains("refused"), "{reason}");
        let target = server(vec![ok("<html>hello</html>")]);
        let reason = ask(target, &Manner::default(), Transport::Polling).unwrap();
        assert!(reason.starts_with("no Engine.IO 4: <html>"), "{reason}");
        assert_eq!(short("a\u{1b}[2Jb\n"), "a [2Jb ");
    }

    #[test]
    fn a_client_that_gets_in_has_no_reason() {
        let target = server(vec![ok(OPEN), ok("ok"), ok("40{\"sid\":\"b\"}")]);
        assert_eq!(ask(target, &Manner::default(), Transport::Polling), None);
    }
}
