//! Events in the form of the HTTP requests that app servers expect: CloudEvents headers and a body.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use trunkline_trunk::ClientRequest;

use super::client::Client;
use super::{Now, Settings};
use crate::cloudevents::About;
use crate::tunnel::{Headers, Request};

/// The events that Azure's SDK handles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TunnelEvent {
    Connect,
    Disconnected,
    Message,
}

impl TunnelEvent {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnected => "disconnected",
            Self::Message => "message",
        }
    }

    const fn event_type(self) -> &'static str {
        match self {
            Self::Connect => "azure.webpubsub.sys.connect",
            Self::Disconnected => "azure.webpubsub.sys.disconnected",
            Self::Message => "azure.webpubsub.user.message",
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Connect | Self::Disconnected => "application/json; charset=utf-8",
            Self::Message => "text/plain",
        }
    }
}

/// The request for one event of a client. `ack_id` is the app server's next number.
pub(super) fn request(
    settings: &Settings,
    now: Now,
    client: &mut Client,
    kind: TunnelEvent,
    content: Bytes,
    ack_id: u64,
) -> Request {
    client.events += 1;
    let about = About {
        hub: &settings.name,
        origin: &settings.origin,
        keys: &settings.keys,
        connection: &client.id,
        user: client.user.as_deref(),
        number: client.events,
        unix_ms: now.unix_ms,
        event_type: kind.event_type(),
        event_name: kind.name(),
        content_type: kind.content_type(),
    };
    let headers = about.headers().into_iter();
    let headers: Headers = headers.map(|(name, value)| (name.to_owned(), vec![value])).collect();
    Request {
        ack_id,
        local_routing: false,
        channel_name: None,
        http_method: "POST".to_owned(),
        url: format!("http://{}/eventhandler/", settings.origin),
        headers: Some(headers),
        content,
    }
}

/// The body of a connect event. Header values are texts, as in Node.js: the SDK passes them to the
/// app unchanged.
pub(super) fn connect_body(request: &ClientRequest, claims: &Map<String, Value>) -> Bytes {
    let claims: Map<String, Value> =
        claims.iter().map(|(name, value)| (name.clone(), texts(value))).collect();
    let query = request.url.split_once('?').map_or("", |(_, query)| query);
    let mut queries: Map<String, Value> = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "access_token" {
            continue;
        }
        let values = queries.entry(name.into_owned()).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(value.into_owned().into());
        }
    }
    let body = json!({
        "claims": claims,
        "query": queries,
        "headers": headers(request),
        "subprotocols": [],
        "clientCertificates": [],
    });
    Bytes::from(body.to_string())
}

/// A claim as a list of texts.
fn texts(value: &Value) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            json!([text(value)])
        }
    }
}

fn headers(request: &ClientRequest) -> Map<String, Value> {
    let mut headers: Map<String, Value> = Map::new();
    for header in &request.headers {
        if header.name == "authorization" {
            continue;
        }
        let between = if header.name == "cookie" { "; " } else { ", " };
        let joined = match headers.get(&*header.name).and_then(Value::as_str) {
            Some(earlier) => format!("{earlier}{between}{}", header.value),
            None => header.value.to_string(),
        };
        headers.insert(header.name.to_string(), joined.into());
    }
    // The SDK has no field for the client's address; an app can find it in this header.
    let forwarded = match headers.get("x-forwarded-for").and_then(Value::as_str) {
        Some(earlier) => format!("{earlier}, {}", request.address),
        None => request.address.to_string(),
    };
    headers.insert("x-forwarded-for".to_owned(), forwarded.into());
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_lists_of_texts() {
        for (claim, expected) in [
            (json!("a"), json!(["a"])),
            (json!(["a", "b"]), json!(["a", "b"])),
            (json!(7), json!(["7"])),
            (json!({"a": 1}), json!(["{\"a\":1}"])),
        ] {
            assert_eq!(texts(&claim), expected);
        }
    }
}
