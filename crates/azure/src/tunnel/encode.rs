//! Encodes messages into frames: a length in four bytes, little endian, and a MessagePack array of
//! type, JSON and content.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::message::{Message, number};

/// One whole frame, which goes into one WebSocket message.
pub(crate) fn encode(message: &Message) -> Bytes {
    let (number, mut json, content) = parts(message);
    // The app server's side reads the type here.
    json["Type"] = number.into();
    json["TracingId"] = Value::Null;
    let json = json.to_string();
    let mut frame = BytesMut::with_capacity(json.len() + content.map_or(0, Bytes::len) + 24);
    frame.put_u32_le(0);
    let mut body = frame.writer();
    // Writing to memory does not fail.
    let _ = rmp::encode::write_array_len(&mut body, 3);
    let _ = rmp::encode::write_uint(&mut body, number);
    let _ = rmp::encode::write_str(&mut body, &json);
    match content {
        Some(content) => drop(rmp::encode::write_bin(&mut body, content)),
        None => drop(rmp::encode::write_nil(&mut body)),
    }
    let mut frame = body.into_inner();
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame.freeze()
}

fn parts(message: &Message) -> (u64, Value, Option<&Bytes>) {
    match message {
        Message::Request(request) => (number::REQUEST, value(request), Some(&request.content)),
        Message::Response(response) => (number::RESPONSE, value(response), Some(&response.content)),
        Message::Status { message } => (number::STATUS, json!({ "Message": message }), None),
        Message::Close { message } => (number::CLOSE, json!({ "Message": message }), None),
        Message::Reconnect { target, endpoint, message } => {
            (number::RECONNECT, elsewhere(target, endpoint, message), None)
        }
        Message::Rebalance { target, endpoint, message } => {
            (number::REBALANCE, elsewhere(target, endpoint, message), None)
        }
        Message::Connected { connection_id } => {
            let json =
                json!({ "ConnectionId": connection_id, "UserId": null, "ReconnectionToken": null });
            (number::CONNECTED, json, None)
        }
    }
}

fn value(part: &impl serde::Serialize) -> Value {
    serde_json::to_value(part).expect("texts, numbers and lists are JSON")
}

fn elsewhere(target: &str, endpoint: &str, message: &str) -> Value {
    json!({ "TargetId": target, "Endpoint": endpoint, "Message": message })
}
