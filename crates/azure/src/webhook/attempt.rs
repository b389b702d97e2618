//! One HTTP request to a handler, and its result.

use core::time::Duration;
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use super::Limits;
use crate::serverless::Answered;

/// How long a connection to a handler is kept without use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits before the second, third and fourth try.
pub(super) const RETRY_AFTER: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(5)];

/// One complete answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there was no answer, in alphabetical order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoReply {
    #[error("the connection broke before the answer was whole")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    #[error("the handler did not answer in time")]
    Late,
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the handler cannot be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
}

/// What the result of a try means for the call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The call is done.
    Done,
    /// Another try may succeed: the handler was unreachable, too late, or answered with a server
    /// error.
    Retry,
}

/// Sends requests to handlers; connections are kept and shared.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    answer_bytes_max: usize,
}

/// The system's list of certificate authorities cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system's certificate authorities cannot be read, so nothing could be called over https"
)]
pub struct NoAuthorities(#[source] std::io::Error);

/// Headers and body are two writes: the second must not wait for the acknowledgement of the first,
/// so Nagle's algorithm is off.
fn streams() -> HttpConnector {
    let mut streams = HttpConnector::new();
    streams.set_nodelay(true);
    streams.enforce_http(false);
    streams
}

impl Sender {
    /// A sender. `https` needs the system's certificate authorities; plain `http` needs nothing.
    pub(crate) fn new(limits: &Limits, https: bool) -> Result<Self, NoAuthorities> {
        let builder = HttpsConnectorBuilder::new();
        let provider = rustls::crypto::ring::default_provider();
        let builder = if https {
            builder.with_provider_and_native_roots(provider).map_err(NoAuthorities)?
        } else {
            let tls = ClientConfig::builder_with_provider(Arc::new(provider))
                .with_safe_default_protocol_versions()
                .expect("the provider speaks TLS 1.2 and 1.3")
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth();
            builder.with_tls_config(tls)
        };
        let connector = builder.https_or_http().enable_http1().wrap_connector(streams());
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(limits.concurrent_max)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let Limits { timeout, answer_bytes_max, .. } = *limits;
        Ok(Self { client, timeout, answer_bytes_max })
    }

    /// Sends one request. Redirects are answers like any other.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Reply, NoReply> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url;
        *request.headers_mut() = headers.clone();
        tokio::time::timeout(self.timeout, self.exchange(request))
            .await
            .unwrap_or(Err(NoReply::Late))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, NoReply> {
        let answer = self.client.request(request).await.map_err(NoReply::from)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, self.answer_bytes_max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                NoReply::TooLong(self.answer_bytes_max)
            } else {
                NoReply::Broken(error)
            }
        })?;
        let (status, headers) = (head.status.as_u16(), head.headers);
        Ok(Reply { status, headers, body: body.to_bytes() })
    }
}

impl From<hyper_util::client::legacy::Error> for NoReply {
    fn from(error: hyper_util::client::legacy::Error) -> Self {
        if error.is_connect() { Self::Unreachable(error) } else { Self::Broken(error.into()) }
    }
}

impl Reply {
    /// A metric label.
    pub(crate) fn outcome(&self) -> &'static str {
        match self.status {
            200..300 => "ok",
            300..400 => "redirect",
            400..500 => "refused",
            _ => "error",
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.status {
            408 | 500.. => Verdict::Retry,
            _ => Verdict::Done,
        }
    }

    pub(crate) fn into_answered(self) -> Answered {
        let media_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default();
        let media_type = media_type.trim().to_ascii_lowercase();
        Answered::Response { status: self.status, media_type, body: self.body }
    }
}

impl NoReply {
    /// A metric label.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Broken(_) => "broken",
            Self::Late => "timeout",
            Self::TooLong(_) => "too_long",
            Self::Unreachable(_) => "unreachable",
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::TooLong(_) => Verdict::Done,
            Self::Broken(_) | Self::Late | Self::Unreachable(_) => Verdict::Retry,
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn reply(status: u16, content_type: &'static str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Reply { status, headers, body: Bytes::from_static(b"430[]") }
    }

    #[test]
    fn only_timeouts_and_servers_errors_are_worth_another_try() {
        let cases = [
            (200, "ok", Verdict::Done),
            (204, "ok", Verdict::Done),
            (301, "redirect", Verdict::Done),
            (400, "refused", Verdict::Done),
            (408, "refused", Verdict::Retry),
            (429, "refused", Verdict::Done),
            (500, "error", Verdict::Retry),
            (503, "error", Verdict::Retry),
        ];
        for (status, outcome, verdict) in cases {
            let reply = reply(status, "text/plain");
            assert_eq!((reply.outcome(), reply.verdict()), (outcome, verdict), "{status}");
        }
        assert_eq!(NoReply::Late.verdict(), Verdict::Retry);
        assert_eq!(NoReply::TooLong(1).verdict(), Verdict::Done);
    }

    #[test]
    fn content_types_are_read_without_case_and_parameters() {
        for content_type in ["text/plain", "Text/Plain; charset=utf-8", " text/plain ;x"] {
            let answered = reply(200, content_type).into_answered();
            assert!(answered.payload().is_some(), "{content_type}");
        }
        assert!(reply(200, "application/json").into_answered().payload().is_none());
    }
}
