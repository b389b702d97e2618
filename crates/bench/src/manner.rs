//! The identity of the clients: Socket.IO's path, further query parameters and headers, the
//! namespace, and the content of the connect packet. The same for all clients of a run.

use serde::{Deserialize, Serialize};

use crate::error::BenchError;

/// Headers that are the generator's own business, in lower case.
const OWN_HEADERS: [&str; 7] = [
    "connection",
    "content-length",
    "content-type",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "transfer-encoding",
    "upgrade",
];

/// The identity of every client of a run, ready for requests and packets.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manner {
    pub(crate) path: String,
    /// `&name=value` for each, escaped.
    pub(crate) query: String,
    /// Whole header lines but `Cookie` and `Host`.
    pub(crate) headers: String,
    /// The app's cookies, as one value; empty without.
    pub(crate) cookie: String,
    /// The `Host` header, in place of the address that is connected to.
    pub(crate) host: Option<String>,
    /// The text between a packet's type and its data: `/chat,`, or nothing for the main namespace.
    pub(crate) prefix: String,
    /// A JSON object, or nothing.
    pub(crate) auth: String,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            path: "/socket.io/".into(),
            query: String::new(),
            headers: String::new(),
            cookie: String::new(),
            host: None,
            prefix: String::new(),
            auth: String::new(),
        }
    }
}

impl Manner {
    /// `NAME=VALUE`.
    pub(crate) fn add_query(&mut self, text: &str) -> Result<(), BenchError> {
        let (name, value) =
            text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                BenchError::Argument(format!("--query wants NAME=VALUE, not `{text}`"))
            })?;
        if ["EIO", "transport", "sid"].contains(&name) {
            return Err(BenchError::Argument(format!("--query {name} is the generator's own")));
        }
        self.query.push('&');
        escape(name, &mut self.query);
        self.query.push('=');
        escape(value, &mut self.query);
        Ok(())
    }

    /// `Name: value`.
    pub(crate) fn add_header(&mut self, text: &str) -> Result<(), BenchError> {
        let bad = |why: &str| BenchError::Argument(format!("--header `{text}`: {why}"));
        let (name, value) = text.split_once(':').ok_or_else(|| bad("it wants \"Name: value\""))?;
        let value = value.trim();
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(bad("this is no header's name"));
        }
        if value.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(bad("a value is one line"));
        }
        let lower = name.to_ascii_lowercase();
        if OWN_HEADERS.contains(&lower.as_str()) {
            return Err(bad("this one is the generator's own"));
        }
        match lower.as_str() {
            "cookie" if self.cookie.is_empty() => self.cookie = value.into(),
            "cookie" => self.cookie = format!("{}; {value}", self.cookie),
            "host" => self.host = Some(value.into()),
            _ => self.headers.push_str(&format!("{name}: {value}\r\n")),
        }
        Ok(())
    }

    /// `/name`; `/` is the main one.
    pub(crate) fn set_namespace(&mut self, name: &str) -> Result<(), BenchError> {
        if name.contains([',', '"']) || name.chars().any(char::is_control) {
            return Err(BenchError::Argument(format!("--namespace `{name}`: no namespace's name")));
        }
        let name = name.trim_start_matches('/');
        self.prefix = if name.is_empty() { String::new() } else { format!("/{name},") };
        Ok(())
    }

    /// A JSON object.
    pub(crate) fn set_auth(&mut self, text: &str) -> Result<(), BenchError> {
        let value: Result<serde_json::Map<String, serde_json::Value>, _> =
            serde_json::from_str(text);
        let value = value.map_err(|error| {
            BenchError::Argument(format!(
                "--auth wants a JSON object, as in '{{\"token\":\"…\"}}': {error}"
            ))
        })?;
        self.auth = serde_json::Value::Object(value).to_string();
        Ok(())
    }

    /// The data of a connect packet, together with the scenario's own.
    pub(crate) fn auth_with(&self, own: Vec<u8>) -> Vec<u8> {
        if self.auth.is_empty() {
            return own;
        }
        let parse = |text: &[u8]| serde_json::from_slice::<serde_json::Map<_, _>>(text);
        match (parse(self.auth.as_bytes()), parse(&own)) {
            (Ok(mut all), Ok(own)) => {
                all.extend(own);
                serde_json::Value::Object(all).to_string().into_bytes()
            }
            _ => self.auth.clone().into_bytes(),
        }
    }
}

/// Percent-encodes all that is not unreserved (RFC 3986).
fn escape(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte));
            }
            _ => into.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_ready_to_be_sent() {
        let mut manner = Manner::default();
        manner.add_query("room=a b&c").unwrap();
        manner.add_query("empty=").unwrap();
        assert_eq!(manner.query, "&room=a%20b%26c&empty=");
        for header in
            ["X-A: 1", "Cookie: a=b", "cookie:c=d", "Host: example.org", "Authorization:Bearer x"]
        {
            manner.add_header(header).unwrap();
        }
        assert_eq!(manner.headers, "X-A: 1\r\nAuthorization: Bearer x\r\n");
        assert_eq!(
            (manner.cookie.as_str(), manner.host.as_deref()),
            ("a=b; c=d", Some("example.org"))
        );
        for (name, prefix) in [("/chat", "/chat,"), ("chat", "/chat,"), ("/", ""), ("", "")] {
            manner.set_namespace(name).unwrap();
            assert_eq!(manner.prefix, prefix);
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let mut manner = Manner::default();
        for text in ["", "name", "=value", "sid=x", "EIO=3"] {
            assert!(manner.add_query(text).is_err(), "{text}");
        }
        for text in
            ["", "name", ": value", "a b: c", "A: b\r\nC: d", "Upgrade: x", "content-length: 3"]
        {
            assert!(manner.add_header(text).is_err(), "{text}");
        }
        for text in ["", "token", "[1]", "\"text\"", "{"] {
            assert!(manner.set_auth(text).is_err(), "{text}");
        }
        assert!(manner.set_namespace("/a,b").is_err());
        assert_eq!(manner, Manner::default());
    }

    #[test]
    fn a_scenarios_own_words_stand_beside_the_users() {
        let mut manner = Manner::default();
        let own = br#"{"pid":"p"}"#.to_vec();
        assert_eq!(manner.auth_with(own.clone()), own);
        manner.set_auth(r#"{ "token": "t" }"#).unwrap();
        assert_eq!(manner.auth_with(Vec::new()), br#"{"token":"t"}"#);
        assert_eq!(manner.auth_with(own), br#"{"pid":"p","token":"t"}"#);
    }
}
