//! A handler's answer, and the part that the client receives.

use bytes::Bytes;

/// The end of a call, once all tries are used up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answered {
    /// No handler is configured for the event.
    NoHandler,
    /// A handler answered. A status that deserves another try comes here only when all tries are
    /// used up.
    Response {
        status: u16,
        /// The content type, in lower case and without parameters.
        media_type: String,
        body: Bytes,
    },
    /// No answer: the handler was unreachable, too late, its answer was too long, or the queue was
    /// full.
    Unavailable,
}

/// The longest refusal that a client receives, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

impl Answered {
    pub(crate) fn accepts(&self) -> bool {
        match self {
            Self::NoHandler => true,
            Self::Response { status, .. } => (200..300).contains(status),
            Self::Unavailable => false,
        }
    }

    /// The data of a `CONNECT_ERROR` packet: an object with `message`, and `data` if the handler gave some.
    pub(crate) fn refusal(&self) -> String {
        let (status, media_type, body) = match self {
            Self::NoHandler | Self::Unavailable => return message("service unavailable"),
            Self::Response { status, media_type, body } => (*status, &**media_type, body),
        };
        let given = match (status, media_type) {
            (400..500, "application/json") => json_refusal(body),
            (400..500, "text/plain") => text_refusal(body),
            _ => None,
        };
        given.unwrap_or_else(|| {
            message(match status {
                401 => "unauthorized",
                403 => "forbidden",
                400..500 => "connection refused",
                _ => "service unavailable",
            })
        })
    }

    /// The payload that the client receives unchanged: one Engine.IO payload.
    pub(crate) fn payload(&self) -> Option<Bytes> {
        let Self::Response { status: 200, media_type, body } = self else { return None };
        (media_type == "text/plain" && !body.is_empty()).then(|| body.clone())
    }
}

fn message(text: &str) -> String {
    format!("{{\"message\":{}}}", trunkline_socketio::quote(text))
}

fn text_refusal(body: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(body).ok()?.trim();
    (!text.is_empty() && text.len() <= MESSAGE_BYTES_MAX).then(|| message(text))
}

/// Reads an object with a text `message`; of the other members only `data` goes to the client, as
/// `err.data`.
fn json_refusal(body: &[u8]) -> Option<String> {
    if body.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    let given: serde_json::Value = serde_json::from_slice(body).ok()?;
    let mut refusal = message(given.get("message")?.as_str()?);
    if let Some(data) = given.get("data") {
        refusal.pop();
        refusal = format!("{refusal},\"data\":{data}}}");
    }
    Some(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, media_type: &str, body: &'static str) -> Answered {
        Answered::Response { status, media_type: media_type.into(), body: body.into() }
    }

    #[test]
    fn refusals_say_what_the_handler_said() {
        let long = Box::leak("x".repeat(MESSAGE_BYTES_MAX + 1).into_boxed_str());
        let cases = [
            (response(401, "", ""), r#"{"message":"unauthorized"}"#),
            (response(403, "text/html", "<p>no</p>"), r#"{"message":"forbidden"}"#),
            (response(404, "text/plain", " "), r#"{"message":"connection refused"}"#),
            (response(400, "text/plain", " \"no\" \n"), r#"{"message":"\"no\""}"#),
            (response(400, "text/plain", long), r#"{"message":"connection refused"}"#),
            (
                response(403, "application/json", r#"{"message":"no","data":{"a":[1]},"x":1}"#),
                r#"{"message":"no","data":{"a":[1]}}"#,
            ),
            (response(403, "application/json", r#"{"message":1}"#), r#"{"message":"forbidden"}"#),
            (response(403, "application/json", "{"), r#"{"message":"forbidden"}"#),
            (response(500, "text/plain", "trace of stack"), r#"{"message":"service unavailable"}"#),
            (response(302, "text/plain", "moved"), r#"{"message":"service unavailable"}"#),
            (Answered::Unavailable, r#"{"message":"service unavailable"}"#),
        ];
        for (answered, refusal) in cases {
            assert!(!answered.accepts());
            assert_eq!(answered.refusal(), refusal, "{answered:?}");
        }
    }

    #[test]
    fn only_plain_text_of_a_200_goes_to_the_client() {
        let cases = [
            (response(200, "text/plain", "430[]"), Some("430[]")),
            (response(200, "text/plain", ""), None),
            (response(200, "application/json", "{}"), None),
            (response(204, "text/plain", "430[]"), None),
            (response(500, "text/plain", "430[]"), None),
            (Answered::NoHandler, None),
            (Answered::Unavailable, None),
        ];
        for (answered, payload) in cases {
            assert_eq!(answered.payload(), payload.map(Bytes::from), "{answered:?}");
        }
    }
}
