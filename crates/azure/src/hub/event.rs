//! Events as the HTTP requests that app servers expect: CloudEvents headers and a body.

use std::fmt::Write as _;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use trunkline_trunk::ClientRequest;

use super::client::Client;
use super::{Now, Settings};
use crate::tunnel::{Headers, Request};

/// The kinds of events that the SDK handles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Connect,
    Disconnected,
    Message,
}

impl Kind {
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

/// One event of a client. `ack_id` is the app server's next number.
pub(super) fn request(
    settings: &Settings,
    now: Now,
    client: &mut Client,
    kind: Kind,
    content: Bytes,
    ack_id: u64,
) -> Request {
    client.events += 1;
    let hub = &settings.name;
    let mut headers = Headers::new();
    let mut put = |name: &str, value: String| headers.insert(name.to_owned(), vec![value]);
    put("content-type", kind.content_type().to_owned());
    put("webhook-request-origin", settings.origin.clone());
    put("ce-awpsversion", "1.0".to_owned());
    put("ce-specversion", "1.0".to_owned());
    put("ce-type", kind.event_type().to_owned());
    put("ce-source", format!("/hubs/{hub}/client/{}", client.id));
    put("ce-id", client.events.to_string());
    put("ce-time", rfc3339(now.unix_ms));
    put("ce-hub", hub.clone());
    put("ce-connectionId", client.id.to_string());
    put("ce-eventName", kind.name().to_owned());
    put("ce-signature", signature(&settings.keys, &client.id));
    if let Some(user) = &client.user {
        put("ce-userId", user.to_string());
    }
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

/// `sha256=<hex>` for each key, so that receivers can verify with either of two.
fn signature(keys: &[Vec<u8>], connection_id: &str) -> String {
    let signatures = keys.iter().map(|key| {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
        mac.update(connection_id.as_bytes());
        let mut text = "sha256=".to_owned();
        for byte in mac.finalize().into_bytes() {
            // Writing to a text does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    });
    signatures.collect::<Vec<_>>().join(",")
}

/// The body of a connect event. Header values are texts, as Node.js has them: the SDK gives them to the app untouched.
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
    // The SDK has no place for the client's address: here an app can find it.
    let forwarded = match headers.get("x-forwarded-for").and_then(Value::as_str) {
        Some(earlier) => format!("{earlier}, {}", request.address),
        None => request.address.to_string(),
    };
    headers.insert("x-forwarded-for".to_owned(), forwarded.into());
    headers
}

/// `2026-11-26T01:02:03.004Z`
fn rfc3339(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // Days are counted from 1 March of the year 0, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_798_761_599_000, "2026-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(unix_ms), text);
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn signatures_of_every_key() {
        let known = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let keys = vec![b"Jefe".to_vec()];
        assert_eq!(signature(&keys, "what do ya want for nothing?"), known);
        let keys = vec![b"Jefe".to_vec(), b"other".to_vec()];
        let both = signature(&keys, "what do ya want for nothing?");
        assert!(both.starts_with(&format!("{known},sha256=")));
    }

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
