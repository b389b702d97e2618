//! Decodes frames into messages.

use bytes::Bytes;
use rmp::Marker;
use rmp::decode::{RmpRead, read_array_len, read_int, read_marker};
use serde::Deserialize;
use serde_json::Value;

use super::message::{Message, Request, Response, number};

/// One variant per rule of the frame's format, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a tunnel frame whose content is neither bytes nor nil")]
    Content,
    #[error("a tunnel frame whose JSON cannot be read as a message of its type")]
    Json,
    #[error("a tunnel frame whose length is not that of its WebSocket message")]
    Length,
    #[error("a tunnel frame that is no MessagePack array of type, text and content")]
    Shape,
    #[error("a tunnel frame that ends early")]
    Truncated,
    #[error("a tunnel frame of an unknown type")]
    TypeUnknown,
}

impl FrameError {
    /// A metric label.
    pub(crate) const fn slug(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Json => "json",
            Self::Length => "length",
            Self::Shape => "shape",
            Self::Truncated => "truncated",
            Self::TypeUnknown => "type_unknown",
        }
    }
}

/// Reads the one frame of a WebSocket message.
pub(crate) fn decode(frame: &[u8]) -> Result<Message, FrameError> {
    let (length, body) = frame.split_first_chunk::<4>().ok_or(FrameError::Truncated)?;
    if u32::from_le_bytes(*length) as usize != body.len() {
        return Err(FrameError::Length);
    }
    let mut rest = body;
    if read_array_len(&mut rest).map_err(|_| FrameError::Shape)? != 3 {
        return Err(FrameError::Shape);
    }
    let number: u64 = read_int(&mut rest).map_err(|_| FrameError::Shape)?;
    let json = read_text(&mut rest)?;
    let content = read_content(&mut rest)?;
    if !rest.is_empty() {
        return Err(FrameError::Length);
    }
    message(number, json, content)
}

fn read_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, FrameError> {
    let length = rmp::decode::read_str_len(rest).map_err(|_| FrameError::Shape)?;
    std::str::from_utf8(take(rest, length)?).map_err(|_| FrameError::Json)
}

fn read_content(rest: &mut &[u8]) -> Result<Bytes, FrameError> {
    let marker = read_marker(rest).map_err(|_| FrameError::Truncated)?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other type holds bytes")]
    let length = match marker {
        Marker::Null => return Ok(Bytes::new()),
        Marker::Bin8 => rest.read_data_u8().map(u32::from),
        Marker::Bin16 => rest.read_data_u16().map(u32::from),
        Marker::Bin32 => rest.read_data_u32(),
        _ => return Err(FrameError::Content),
    };
    let length = length.map_err(|_| FrameError::Truncated)?;
    take(rest, length).map(Bytes::copy_from_slice)
}

fn take<'a>(rest: &mut &'a [u8], length: u32) -> Result<&'a [u8], FrameError> {
    let (taken, after) = rest.split_at_checked(length as usize).ok_or(FrameError::Truncated)?;
    *rest = after;
    Ok(taken)
}

fn message(number: u64, json: &str, content: Bytes) -> Result<Message, FrameError> {
    Ok(match number {
        number::REQUEST => Message::Request(Request { content, ..read(json)? }),
        number::RESPONSE => Message::Response(Response { content, ..read(json)? }),
        number::STATUS => Message::Status { message: text(json, "Message")? },
        number::CLOSE => Message::Close { message: text(json, "Message")? },
        number::RECONNECT => Message::Reconnect {
            target: text(json, "TargetId")?,
            endpoint: text(json, "Endpoint")?,
            message: text(json, "Message")?,
        },
        number::REBALANCE => Message::Rebalance {
            target: text(json, "TargetId")?,
            endpoint: text(json, "Endpoint")?,
            message: text(json, "Message")?,
        },
        number::CONNECTED => Message::Connected { connection_id: text(json, "ConnectionId")? },
        _ => return Err(FrameError::TypeUnknown),
    })
}

fn read<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, FrameError> {
    serde_json::from_str(json).map_err(|_| FrameError::Json)
}

/// A field that is a text; empty when it is missing or null.
fn text(json: &str, field: &str) -> Result<String, FrameError> {
    match read::<Value>(json)? {
        Value::Object(mut fields) => match fields.remove(field) {
            Some(Value::String(text)) => Ok(text),
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(FrameError::Json)
            }
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(FrameError::Json)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back() {
        let headers = [("content-type".to_owned(), vec!["text/plain".to_owned()])].into();
        let request = Request {
            ack_id: 7,
            http_method: "POST".into(),
            url: "https://host/eventhandler/".into(),
            headers: Some(headers),
            content: Bytes::from_static(b"42[\"x\"]"),
            ..Request::default()
        };
        let response = Response {
            ack_id: u64::MAX >> 11,
            status_code: 202,
            not_completed: true,
            content: Bytes::from(vec![0; 70_000]),
            ..Response::default()
        };
        let moved = ("t".to_owned(), "e".to_owned(), "m".to_owned());
        let (target, endpoint, message) = moved;
        let messages = [
            Message::Request(request),
            Message::Response(response),
            Message::Status { message: "ok".into() },
            Message::Close { message: String::new() },
            Message::Reconnect {
                target: target.clone(),
                endpoint: endpoint.clone(),
                message: message.clone(),
            },
            Message::Rebalance { target, endpoint, message },
            Message::Connected { connection_id: "c".into() },
        ];
        for message in messages {
            assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }

    /// The bytes of a status message, from the documentation of the protocol.
    #[test]
    fn a_status_message_on_the_wire() {
        let frame = encode(&Message::Status { message: "ka".into() });
        assert_eq!(frame[..7], [0x2f, 0, 0, 0, 0x93, 0x05, 0xd9]);
        assert_eq!(frame.last(), Some(&0xc0));
        assert_eq!(frame.len(), 4 + 0x2f);
    }

    /// A request as the npm package writes it: without nulls, and with the type inside too.
    #[test]
    fn a_request_of_the_sdk() {
        let json = r#"{"AckId":1,"LocalRouting":true,"ChannelName":"","HttpMethod":"POST","Url":"https://host/api/hubs/H/:send?api-version=2023-07-01","Headers":{"Content-Type":["text/plain"]},"Type":1}"#;
        let mut body = Vec::new();
        rmp::encode::write_array_len(&mut body, 3).expect("memory");
        rmp::encode::write_uint(&mut body, 1).expect("memory");
        rmp::encode::write_str(&mut body, json).expect("memory");
        rmp::encode::write_bin(&mut body, b"42[\"a\"]").expect("memory");
        let mut frame = u32::try_from(body.len()).expect("short").to_le_bytes().to_vec();
        frame.extend(body);
        let Ok(Message::Request(request)) = decode(&frame) else { panic!("a request") };
        assert_eq!(request.ack_id, 1);
        assert_eq!(&request.content[..], b"42[\"a\"]");
    }

    #[test]
    fn each_broken_rule_has_its_name() {
        let good = encode(&Message::Status { message: "ka".into() });
        let mut long = good.to_vec();
        long.push(0);
        let framed = |body: &[u8]| {
            let mut frame = u32::try_from(body.len()).expect("short").to_le_bytes().to_vec();
            frame.extend(body);
            frame
        };
        let table: &[(Vec<u8>, FrameError)] = &[
            (vec![], FrameError::Truncated),
            (vec![1, 0, 0], FrameError::Truncated),
            (good[..good.len() - 1].to_vec(), FrameError::Length),
            (long, FrameError::Length),
            (framed(&[0x92, 5, 0xc0]), FrameError::Shape),
            (framed(b"\x05"), FrameError::Shape),
            (framed(b"\x93\x05\xa2{}"), FrameError::Truncated),
            (framed(b"\x93\x05\xa4{}"), FrameError::Truncated),
            (framed(b"\x93\x05\xa2{}\x01"), FrameError::Content),
            (framed(b"\x93\x05\xa1{\xc0"), FrameError::Json),
            (framed(b"\x93\x01\xa2{}\xc0"), FrameError::Json),
            (framed(b"\x93\x05\xa2[]\xc0"), FrameError::Json),
            (framed(b"\x93\x04\xa2{}\xc0"), FrameError::TypeUnknown),
            (framed(b"\x93\x05\xa2{}\xc0\xc0"), FrameError::Length),
        ];
        for (frame, expected) in table {
            assert_eq!(decode(frame), Err(*expected), "{frame:02x?}");
        }
    }
}
