//! A single blocking client, for a question to the app outside of any measured load.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use crate::client::Client;
use crate::error::BenchError;
use crate::http::Site;
use crate::manner::Manner;
use crate::out::{Framing, Out};
use crate::reason;
use crate::session::Message;
use crate::transport::Transport;

const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Joins, emits `event`, waits for its acknowledgement and leaves.
pub(crate) fn call(target: SocketAddrV4, manner: &Manner, event: &str) -> Result<(), BenchError> {
    let asked = converse(target, manner, event);
    if let Err(BenchError::NobodyJoined(loss)) = asked {
        let reason = reason::ask(target, manner, Transport::WebSocket);
        return Err(BenchError::NobodyJoined(reason.unwrap_or(loss)));
    }
    asked
}

fn converse(target: SocketAddrV4, manner: &Manner, event: &str) -> Result<(), BenchError> {
    let mut stream = TcpStream::connect_timeout(&target.into(), ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let mut out = Out::new(Framing::WebSocket, &manner.prefix);
    let site = Rc::new(Site::new(target, manner));
    let mut client =
        Client::start(Transport::WebSocket, &site, manner.auth_with(Vec::new()), &mut out.bytes);
    let quoted = serde_json::to_string(event)?;
    let mut answered = false;
    let mut buffer = [0; 4_096];
    while !answered {
        stream.write_all(&out.bytes)?;
        out.bytes.clear();
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        client
            .handle_bytes(&buffer[..length], &mut out, &mut |message, out| match message {
                Message::Joined(_) => out.emit(Some(0), &[quoted.as_bytes()]),
                Message::Ack { .. } => answered = true,
                Message::Early(_) | Message::Event(_) | Message::Ping => (),
            })
            .map_err(|loss| BenchError::NobodyJoined(loss.to_string()))?;
    }
    Ok(())
}
