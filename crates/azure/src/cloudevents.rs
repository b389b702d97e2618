//! The headers of every event, for a tunnel or for a webhook.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use trunkline_token::Secret;

/// The facts that the headers carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) hub: &'a str,
    /// The host name of this node, as configured.
    pub(crate) origin: &'a str,
    /// The hub's keys; each one signs the connection id.
    pub(crate) keys: &'a [Secret],
    pub(crate) connection: &'a str,
    pub(crate) user: Option<&'a str>,
    /// The number of the event on its connection.
    pub(crate) number: u64,
    pub(crate) unix_ms: u64,
    pub(crate) event_type: &'static str,
    pub(crate) event_name: &'a str,
    pub(crate) content_type: &'static str,
}

impl About<'_> {
    /// The headers as names and values.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", self.content_type.to_owned()),
            ("webhook-request-origin", self.origin.to_owned()),
            ("ce-awpsversion", "1.0".to_owned()),
            ("ce-specversion", "1.0".to_owned()),
            ("ce-type", self.event_type.to_owned()),
            ("ce-source", format!("/hubs/{}/client/{}", self.hub, self.connection)),
            ("ce-id", self.number.to_string()),
            ("ce-time", rfc3339(self.unix_ms)),
            ("ce-hub", self.hub.to_owned()),
            ("ce-connectionId", self.connection.to_owned()),
            ("ce-eventName", self.event_name.to_owned()),
            ("ce-signature", signature(self.keys, self.connection)),
        ];
        headers.extend(self.user.map(|user| ("ce-userId", user.to_owned())));
        headers
    }
}

/// `sha256=<hex>` for each key, so that receivers can verify with either of two.
fn signature(keys: &[Secret], connection_id: &str) -> String {
    let signatures = keys.iter().map(|key| {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes keys of every length");
        mac.update(connection_id.as_bytes());
        let mut text = "sha256=".to_owned();
        for byte in mac.finalize().into_bytes() {
            // Writing to a `String` does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    });
    signatures.collect::<Vec<_>>().join(",")
}

/// `2026-11-26T01:02:03.004Z`
fn rfc3339(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // Days are counted from 1 March of the year 0, so that a leap day is the last day of its year.
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
        let keys = vec![Secret::new("Jefe")];
        assert_eq!(signature(&keys, "what do ya want for nothing?"), known);
        let keys = vec![Secret::new("Jefe"), Secret::new("other")];
        let both = signature(&keys, "what do ya want for nothing?");
        assert!(both.starts_with(&format!("{known},sha256=")));
    }
}
