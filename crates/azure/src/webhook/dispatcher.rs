//! Calls a hub's handlers, with bounds, retries and counts.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Uri};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::sync::mpsc::{Receiver, Sender as Channel, channel};
use tokio::task::JoinSet;
use trunkline_token::Secret;

use super::attempt::{NoReply, RETRY_AFTER, Reply, Sender, Verdict};
use super::call_permits::{CallPermits, Pending};
use super::handlers::Handlers;
use super::metrics::{Called, Metrics, Tried};
use super::permission::{self, Asked, Permission};
use super::{Limits, NoAuthorities};
use crate::cloudevents::About;
use crate::serverless::{Answered, CallKey, Event, EventKind};

/// Characters that a header cannot carry, and `%`, which would make decoding ambiguous.
const HEADER: &AsciiSet = &CONTROLS.add(b'%');

/// The names of this node and hub in events.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) hub: String,
    /// The node's host name, as handlers know it.
    pub(crate) host: String,
    pub(crate) keys: Vec<Secret>,
}

/// Calls the handlers of one hub. Dropping it ends the calls under way.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    answers: Channel<(CallKey, Answered)>,
}

#[derive(Debug)]
struct Shared {
    origin: Origin,
    handlers: Handlers,
    permissions: Vec<Permission>,
    sender: Sender,
    permits: CallPermits,
    metrics: Metrics,
}

impl Dispatcher {
    /// A dispatcher. The receiver gets the answer to every call that has a key.
    pub(crate) fn new(
        origin: Origin,
        handlers: Handlers,
        limits: Limits,
        metrics: Metrics,
    ) -> Result<(Self, Receiver<(CallKey, Answered)>), NoAuthorities> {
        let https = handlers.0.iter().any(|handler| handler.url.as_str().starts_with("https:"));
        let sender = Sender::new(&limits, https)?;
        let (answers, receiver) = channel(limits.concurrent_max.max(1));
        let shared = Shared {
            origin,
            permissions: handlers.0.iter().map(|_| Permission::new()).collect(),
            handlers,
            sender,
            permits: CallPermits::new(&limits),
            metrics,
        };
        Ok((Self { shared: Arc::new(shared), tasks: JoinSet::new(), answers }, receiver))
    }

    /// Begins a call, or returns the answer at once when there is no handler or too much is
    /// pending.
    pub(crate) fn call(&mut self, call: Option<CallKey>, event: Event) -> Option<Answered> {
        // Remove finished tasks, which would otherwise accumulate.
        while self.tasks.try_join_next().is_some() {}
        let shared = &self.shared;
        let Some(handler) = shared.handlers.pick(&event.kind) else {
            shared.count(&event.kind, "no_handler");
            return Some(Answered::NoHandler);
        };
        let Some(pending) = shared.permits.begin(&event.socket.connection) else {
            shared.count(&event.kind, "pending_full");
            return Some(Answered::Unavailable);
        };
        let counted = Counted::new(&shared.metrics);
        let (shared, answers) = (Arc::clone(shared), self.answers.clone());
        self.tasks.spawn(async move {
            let answered = shared.deliver(&pending, handler, &event).await;
            drop((pending, counted));
            if let Some(call) = call {
                // The receiver is gone only when the hub is gone.
                let _ = answers.send((call, answered)).await;
            }
        });
        None
    }
}

impl Dispatcher {
    /// Whether no call is under way.
    pub(crate) fn is_idle(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.is_empty()
    }

    /// The number of unfinished calls.
    pub(crate) fn under_way(&self) -> usize {
        self.shared.permits.pending()
    }

    /// Waits until all calls are done.
    pub(crate) async fn join(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A call, counted in the metric of unfinished calls.
struct Counted(Metrics);

impl Counted {
    fn new(metrics: &Metrics) -> Self {
        metrics.pending.inc();
        Self(metrics.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.pending.dec();
    }
}

/// The result of all tries of a call.
enum Tries {
    Answer(Reply),
    None(NoReply),
    /// The handler does not accept events.
    NotAllowed,
    /// The handler could not be asked.
    NotAsked,
}

impl Shared {
    /// Tries until there is an answer or no try is left.
    async fn deliver(&self, pending: &Pending, handler: usize, event: &Event) -> Answered {
        let begun = Instant::now();
        let mut retries = RETRY_AFTER.iter();
        loop {
            let tried = self.attempt(pending, handler, event).await;
            let outcome = tried.outcome();
            self.metrics.tries.get_or_create(&Tried { outcome }).inc();
            let wait = if tried.verdict() == Verdict::Retry { retries.next() } else { None };
            let Some(wait) = wait else {
                self.count(&event.kind, outcome);
                self.metrics.seconds.observe(begun.elapsed().as_secs_f64());
                return tried.into_answered();
            };
            let hub = &self.origin.hub;
            let seconds = wait.as_secs();
            tracing::debug!(hub, handler, outcome, seconds, "a handler is tried again");
            tokio::time::sleep(*wait).await;
        }
    }

    async fn attempt(&self, pending: &Pending, handler: usize, event: &Event) -> Tries {
        let _turn = pending.permit().await;
        match self.permissions[handler].get(async || self.ask(handler).await).await {
            Asked::Granted => (),
            Asked::Refused => return Tries::NotAllowed,
            Asked::Unknown => return Tries::NotAsked,
        }
        let url = self.url(handler, event.kind.name());
        let headers = self.headers(event);
        let body = Bytes::from(event.body.clone());
        match self.sender.send(Method::POST, url, &headers, body).await {
            Ok(reply) => Tries::Answer(reply),
            Err(error) => Tries::None(error),
        }
    }

    /// Asks for permission as CloudEvents defines it, by `OPTIONS`, or by `GET` where `OPTIONS`
    /// does not work.
    async fn ask(&self, handler: usize) -> Asked {
        let mut asked = self.ask_by(handler, Method::OPTIONS).await;
        if let Ok(reply) = &asked
            && reply.status == 404
        {
            asked = self.ask_by(handler, Method::GET).await;
        }
        let (asked, outcome) = match asked {
            Ok(reply) if permission::granted(&reply, &self.origin.host) => {
                (Asked::Granted, "granted")
            }
            Ok(reply) if reply.verdict() == Verdict::Retry => (Asked::Unknown, "error"),
            Ok(_) => (Asked::Refused, "refused"),
            Err(error) => (Asked::Unknown, error.outcome()),
        };
        self.metrics.permissions.get_or_create(&Tried { outcome }).inc();
        let (hub, url) = (&self.origin.hub, &self.handlers.0[handler].url);
        match asked {
            Asked::Granted => tracing::info!(hub, ?url, "an event handler wants events"),
            Asked::Refused | Asked::Unknown => tracing::warn!(
                hub,
                ?url,
                outcome,
                host = self.origin.host,
                "an event handler gets nothing: it has to answer OPTIONS with 2xx and \
                 WebHook-Allowed-Origin: * (or this host)"
            ),
        }
        asked
    }

    async fn ask_by(&self, handler: usize, method: Method) -> Result<Reply, NoReply> {
        let mut headers = HeaderMap::new();
        put(&mut headers, "webhook-request-origin", &self.origin.host);
        self.sender.send(method, self.url(handler, "validate"), &headers, Bytes::new()).await
    }

    fn url(&self, handler: usize, event: &str) -> Uri {
        self.handlers.0[handler].url.url(&self.origin.hub, event)
    }

    fn headers(&self, event: &Event) -> HeaderMap {
        let socket = &event.socket;
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let about = About {
            hub: &self.origin.hub,
            origin: &self.origin.host,
            keys: &self.origin.keys,
            connection: &socket.connection.connection,
            user: socket.connection.user.as_deref(),
            number: event.number,
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
            event_type: event.kind.ce_type(),
            event_name: event.kind.name(),
            content_type: event.kind.content_type(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in about.headers() {
            put(&mut headers, name, &value);
        }
        put(&mut headers, "ce-namespace", &socket.namespace);
        put(&mut headers, "ce-socketId", &socket.id);
        headers.insert(USER_AGENT, HeaderValue::from_static("trunkline"));
        headers
    }

    fn count(&self, kind: &EventKind, outcome: &'static str) {
        let event = match kind {
            EventKind::Connect => "connect",
            EventKind::Connected => "connected",
            EventKind::Disconnected => "disconnected",
            EventKind::User(_) => "user",
        };
        self.metrics.calls.get_or_create(&Called { event, outcome }).inc();
    }
}

impl Tries {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Answer(reply) => reply.outcome(),
            Self::None(error) => error.outcome(),
            Self::NotAllowed => "not_allowed",
            Self::NotAsked => "not_asked",
        }
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Answer(reply) => reply.verdict(),
            Self::None(error) => error.verdict(),
            Self::NotAllowed => Verdict::Done,
            Self::NotAsked => Verdict::Retry,
        }
    }

    fn into_answered(self) -> Answered {
        match self {
            Self::Answer(reply) => reply.into_answered(),
            Self::None(_) | Self::NotAllowed | Self::NotAsked => Answered::Unavailable,
        }
    }
}

/// Adds a header; characters that a header cannot carry are percent-encoded, as CloudEvents
/// defines.
fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = utf8_percent_encode(value, HEADER).to_string();
    let name = HeaderName::try_from(name).expect("names are written here, and are tokens");
    let value = HeaderValue::try_from(value).expect("what no header can carry is encoded");
    headers.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_can_stand_in_a_header() {
        let cases = [
            ("say hi", "say hi"),
            ("100%", "100%25"),
            ("a\r\nce-userId: admin", "a%0D%0Ace-userId: admin"),
            ("\u{7f}é", "%7F%C3%A9"),
        ];
        for (text, expected) in cases {
            let mut headers = HeaderMap::new();
            put(&mut headers, "ce-eventName", text);
            assert_eq!(headers["ce-eventname"], expected);
        }
    }
}
