//! The parts of a client's query that Engine.IO uses.

use trunkline_engineio::Protocol;

use super::jsonp;

#[derive(Default)]
pub(super) struct Query {
    pub(super) eio: String,
    /// The transport. Missing and empty differ: the context of `connection_error` shows it.
    pub(super) transport: Option<String>,
    pub(super) sid: String,
    /// Whether the client cannot take bytes: then binary data is sent as base64.
    pub(super) base64_only: bool,
    /// The digits of the callback's number, for a client that polls with scripts.
    pub(super) jsonp: Option<String>,
    /// The client's token, signed by a holder of a key.
    pub(super) access_token: Option<String>,
}

impl Query {
    /// Parses a query. If a name occurs twice, the last value counts, as in npm engine.io.
    pub(super) fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "b64" => parsed.base64_only = !value.is_empty(),
                "j" => parsed.jsonp = Some(jsonp::callback_index(&value)),
                _ => (),
            }
            let field = match &*name {
                "EIO" => &mut parsed.eio,
                "transport" => parsed.transport.get_or_insert_default(),
                "sid" => &mut parsed.sid,
                "access_token" => parsed.access_token.get_or_insert_default(),
                _ => continue,
            };
            *field = value.into_owned();
        }
        parsed
    }

    /// The protocol version: everything except `EIO=4` is version 3.
    pub(super) fn protocol(&self) -> Protocol {
        if self.eio == "4" { Protocol::V4 } else { Protocol::V3 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_the_rest_is_ignored() {
        let query = Query::parse("EIO=3&transport=polling&t=abc&EIO=4&sid=a%2Bb&x");
        assert_eq!((query.eio.as_str(), query.transport.as_deref()), ("4", Some("polling")));
        assert_eq!(query.sid, "a+b");
        assert_eq!(query.protocol(), Protocol::V4);
        assert_eq!(Query::parse("").protocol(), Protocol::V3);
    }
}
