//! What to tell an operator when NATS cannot be reached.

use core::error::Error;

use async_nats::{ConnectError, ConnectErrorKind};

/// A sentence about the error, with what to look at.
pub(super) fn of(error: &ConnectError) -> String {
    let detail = innermost(error);
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => format!(
            "NATS refuses this node ({detail}); see nats_credentials_file, or the user in `nats`"
        ),
        ConnectErrorKind::Dns => format!("a name in `nats` has no address ({detail})"),
        ConnectErrorKind::TimedOut => "NATS takes the connection and does not answer".into(),
        ConnectErrorKind::Tls => tls(&detail),
        ConnectErrorKind::Io if is_about_tls(&detail) => tls(&detail),
        ConnectErrorKind::Io | ConnectErrorKind::ServerParse | ConnectErrorKind::MaxReconnects => {
            detail
        }
    }
}

fn tls(detail: &str) -> String {
    format!("no TLS with NATS ({detail}); nats_ca_file names the authority that is trusted")
}

/// Errors of TLS come as errors of input and output; only their texts differ.
fn is_about_tls(detail: &str) -> bool {
    let detail = detail.to_ascii_lowercase();
    ["certificate", "tls", "handshake", "alert", "corrupt message"]
        .iter()
        .any(|word| detail.contains(word))
}

/// The text of the error that caused all others.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    text.strip_prefix("nats: ").map_or(text.clone(), str::to_owned)
}
