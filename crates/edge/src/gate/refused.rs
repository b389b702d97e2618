//! The reasons why a stream or a request is refused because of its address.

use std::time::Duration;

/// The reason for a 403 or 429, and its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refused {
    /// The address is on the list of those that may not connect.
    #[error("this node takes no requests from your address")]
    Denied,
    /// There is a list of those that may connect, and the address is not on it.
    #[error("this node takes requests from certain addresses only, and yours is not one of them")]
    NotAllowed,
    #[error("too many connections are open from your address")]
    Streams,
    #[error("too many sessions are open from your address")]
    Sessions,
    /// The time until another one is allowed.
    #[error("too many handshakes come from your address")]
    Handshakes(Duration),
    /// The time until they are within the limit again.
    #[error("too many requests from your address have failed")]
    Failures(Duration),
    /// The time until streams are accepted again.
    #[error(
        "too many requests from your address have failed, so its connections are refused for a while"
    )]
    Banned(Duration),
}

/// Time after which something of the address may have ended.
const SOMETHING_ENDS: Duration = Duration::from_secs(5);

impl Refused {
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Denied => "address_denied",
            Self::NotAllowed => "address_not_allowed",
            Self::Streams => "address_streams_full",
            Self::Sessions => "address_sessions_full",
            Self::Handshakes(_) => "address_handshakes",
            Self::Failures(_) => "address_failures",
            Self::Banned(_) => "address_banned",
        }
    }

    /// The advice for the operator, in the log.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Denied => "it is in deny_file",
            Self::NotAllowed => "it is not in allow_file",
            Self::Streams => "address_streams_max allows more, address_limits_exempt exempts it",
            Self::Sessions => "address_sessions_max allows more, address_limits_exempt exempts it",
            Self::Handshakes(_) => {
                "address_handshakes_per_second allows more, address_limits_exempt exempts it"
            }
            Self::Failures(_) | Self::Banned(_) => {
                "address_failures_per_second allows more, address_limits_exempt exempts it"
            }
        }
    }

    /// The time after which it may be tried again; `None` when that makes no sense.
    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Denied | Self::NotAllowed => None,
            Self::Streams | Self::Sessions => Some(SOMETHING_ENDS),
            Self::Handshakes(span) | Self::Failures(span) | Self::Banned(span) => Some(span),
        }
    }

    /// The whole seconds for `Retry-After`.
    pub(crate) fn retry_after_s(self) -> Option<u16> {
        let span = self.retry_after()?;
        let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
        Some(u16::try_from(seconds).unwrap_or(u16::MAX).max(1))
    }

    /// The status of the answer: 429 where a later try may succeed, else 403.
    pub(crate) fn status(self) -> hyper::StatusCode {
        match self.retry_after() {
            Some(_) => hyper::StatusCode::TOO_MANY_REQUESTS,
            None => hyper::StatusCode::FORBIDDEN,
        }
    }
}
