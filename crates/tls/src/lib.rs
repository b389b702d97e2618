//! TLS for the ports of a node: certificates and keys from PEM files, checked before they are used,
//! behind one cell that can be exchanged while the node runs.
//!
//! This crate does no I/O but reading these files. The ports themselves run the handshakes.

mod cell;
mod load;
mod names;
mod pem;
mod validity;

pub use cell::Certificates;
pub use load::{Certificate, Fault, Loaded, Pair, TlsSettings, TlsVersion, Warning, load};
pub use rustls;

/// The byte with which each TLS handshake begins: the type of its first record.
pub const HANDSHAKE_RECORD: u8 = 0x16;

/// Whether a stream that begins with these bytes speaks TLS: a record of a handshake, of any
/// version. One byte is enough to guess; no line of text begins with it.
#[must_use]
pub fn is_client_hello(first: &[u8]) -> bool {
    match *first {
        [] => false,
        [kind] => kind == HANDSHAKE_RECORD,
        [kind, major, ..] => kind == HANDSHAKE_RECORD && major == 3,
    }
}

/// The alert with which a port without TLS answers a `ClientHello`: `handshake_failure`, fatal, in
/// a record that every version can read.
pub const NO_TLS_HERE: &[u8] = &[0x15, 3, 1, 0, 2, 2, 40];

/// The alert for a stream that a port with TLS cannot serve now: `internal_error`, fatal.
pub const INTERNAL_ERROR: &[u8] = &[0x15, 3, 1, 0, 2, 2, 80];

/// The alert for a stream that a port with TLS does not serve because of its address: `access_denied`,
/// fatal.
pub const ACCESS_DENIED: &[u8] = &[0x15, 3, 1, 0, 2, 2, 49];

/// The answer to a request without TLS on a port with TLS.
#[must_use]
pub fn speak_tls_here() -> String {
    let body = concat!(
        r#"{"error":"tls_required","message":"this port speaks TLS: "#,
        r#"use https:// or wss:// in the address"}"#
    );
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}
