//! The address of a handler: a URL that may contain `{hub}` and `{event}`.

use core::fmt;

use hyper::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that are not encoded in a filled-in value: RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A URL with placeholders. `Debug` hides the query: it may contain a secret such as `?code=…`.
#[derive(Clone, Eq, PartialEq)]
pub struct UrlTemplate {
    text: String,
}

/// The longest template, in bytes. With the longest names filled in it is still a URL for the HTTP library.
const BYTES_MAX: usize = 8 * 1024;

/// The most placeholders in a template.
const PARAMETERS_MAX: usize = 8;

/// Why a text is no valid template, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TemplateError {
    /// The URL has `user:password@`, which would appear in logs and have no effect.
    #[error("holds a user or password, which are not sent")]
    Credentials,
    /// The URL has a `#…`, which never reaches a server.
    #[error("has a part behind `#`, which is not sent")]
    Fragment,
    /// A placeholder in the host: clients must not be able to choose the host.
    #[error("has `{{…}}` in its host")]
    ParameterInHost,
    /// An unknown placeholder: only `{hub}` and `{event}` exist.
    #[error("has a parameter other than {{hub}} and {{event}}")]
    ParameterUnknown,
    /// The scheme is neither `http` nor `https`.
    #[error("does not begin with http:// or https://")]
    Scheme,
    /// The template is too long.
    #[error("is longer than {BYTES_MAX} bytes, or has more than {PARAMETERS_MAX} parameters")]
    TooLong,
    /// The text is no URL.
    #[error("is not a URL")]
    Url,
}

impl UrlTemplate {
    /// Checks a text.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > BYTES_MAX || text.matches('{').count() > PARAMETERS_MAX {
            return Err(TemplateError::TooLong);
        }
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let rest = rest.ok_or(TemplateError::Scheme)?;
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        if authority.contains(['{', '}']) {
            return Err(TemplateError::ParameterInHost);
        }
        if authority.contains('@') {
            return Err(TemplateError::Credentials);
        }
        if text.contains('#') {
            return Err(TemplateError::Fragment);
        }
        let template = Self { text: text.to_owned() };
        let filled = template.fill("hub", "event");
        if filled.contains(['{', '}']) {
            return Err(TemplateError::ParameterUnknown);
        }
        let url: Uri = filled.parse().map_err(|_| TemplateError::Url)?;
        let port = authority.rsplit(']').next().and_then(|rest| rest.split_once(':'));
        if port.is_some() && url.port_u16().is_none() {
            return Err(TemplateError::Url);
        }
        Ok(template)
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the URL for this event stays within its path: a dot segment or an empty segment
    /// would lead elsewhere.
    pub(crate) fn holds(&self, event: &str) -> bool {
        !matches!(event, "" | "." | "..") || !self.text.contains("{event}")
    }

    /// The URL for an event.
    pub(crate) fn url(&self, hub: &str, event: &str) -> Uri {
        self.fill(hub, event).parse().expect("it was tried, and what is filled in is encoded")
    }

    fn fill(&self, hub: &str, event: &str) -> String {
        let encode = |value: &str| utf8_percent_encode(value, ENCODED).to_string();
        let mut filled = String::with_capacity(self.text.len() + hub.len() + event.len());
        let mut rest = self.text.as_str();
        // One pass, so that filled-in text is not searched for placeholders.
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let (value, after) = match rest {
                _ if rest.starts_with("{hub}") => (encode(hub), &rest[5..]),
                _ if rest.starts_with("{event}") => (encode(event), &rest[7..]),
                _ => ("{".to_owned(), &rest[1..]),
            };
            filled.push_str(&value);
            rest = after;
        }
        filled + rest
    }
}

impl fmt::Debug for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.split('?').next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_and_event_are_filled_in_and_encoded() {
        let cases = [
            ("http://h/api/{event}", "http://h/api/say%20%2F..%3F%23%7Bhub%7D"),
            (
                "https://h:8443/{hub}/x?code=a&e={event}&{hub}",
                "https://h:8443/ch%C3%A9t/x?code=a&e=say%20%2F..%3F%23%7Bhub%7D&ch%C3%A9t",
            ),
            ("http://[::1]:80", "http://[::1]/"),
        ];
        for (template, url) in cases {
            let template = UrlTemplate::parse(template).expect(template);
            let made = template.url("chét", "say /..?#{hub}").to_string();
            assert_eq!(made.replace(":80/", "/"), url);
        }
    }

    #[test]
    fn what_is_no_template() {
        let cases = [
            ("ftp://h/", TemplateError::Scheme),
            ("h/{event}", TemplateError::Scheme),
            ("", TemplateError::Scheme),
            ("http://{hub}.example.com/", TemplateError::ParameterInHost),
            ("http://h:{event}/", TemplateError::ParameterInHost),
            ("http://a:b@h/", TemplateError::Credentials),
            ("http://h/#x", TemplateError::Fragment),
            ("http://h/{Event}", TemplateError::ParameterUnknown),
            ("http://h/{event", TemplateError::ParameterUnknown),
            ("http://h/{@Microsoft.KeyVault(SecretUri=x)}", TemplateError::ParameterUnknown),
            ("http://", TemplateError::Url),
            ("http://h/a b", TemplateError::Url),
            ("http://h:99999/", TemplateError::Url),
        ];
        for (text, error) in cases {
            assert_eq!(UrlTemplate::parse(text), Err(error), "{text}");
        }
        let long = format!("http://h/{}", "x".repeat(BYTES_MAX));
        assert_eq!(UrlTemplate::parse(&long), Err(TemplateError::TooLong));
    }

    /// Clients' names fill the placeholder: 1024 bytes at most, each encoded as three.
    #[test]
    fn the_longest_names_make_a_url() {
        let prefix = format!("http://h/{}?", "{event}".repeat(PARAMETERS_MAX));
        let text = format!("{prefix}{}", "x".repeat(BYTES_MAX - prefix.len()));
        let template = UrlTemplate::parse(&text).expect("a template");
        assert!(template.url(&"h".repeat(128), &" ".repeat(1024)).to_string().len() > BYTES_MAX);
    }

    #[test]
    fn names_that_would_lead_elsewhere() {
        let holds = |text: &str, event: &str| UrlTemplate::parse(text).expect(text).holds(event);
        for event in ["", ".", ".."] {
            assert!(!holds("http://h/hooks/{event}", event), "{event:?}");
            assert!(holds("http://h/hooks/", event), "{event:?}");
        }
        assert!(holds("http://h/hooks/{event}", "../admin"), "its slash is encoded");
    }

    #[test]
    fn debug_shows_no_query() {
        let template = UrlTemplate::parse("http://h/{event}?code=secret").expect("a template");
        assert_eq!(format!("{template:?}"), "http://h/{event}");
    }
}
