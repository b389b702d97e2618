//! A hub's webhooks, which run next to its task.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::{Config, HubConfig};
use crate::metrics::Metrics;
use crate::serverless::{self, Answered, CallKey, Event};
use crate::webhook::{Dispatcher, Handlers, Limits, NoAuthorities, Origin};

/// How long calls that are under way may take when the node stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The settings of a hub that webhooks serve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Serverless {
    /// The handlers; not empty.
    pub handlers: Handlers,
    /// The bounds of calls.
    pub limits: Limits,
    /// Events of one socket that may wait for the event before them.
    pub socket_events_max: usize,
    /// Bytes of events of all sockets that may wait.
    pub waiting_bytes_max: usize,
}

impl Serverless {
    pub(super) fn settings(&self) -> serverless::Settings {
        serverless::Settings {
            socket_events_max: self.socket_events_max,
            waiting_bytes_max: self.waiting_bytes_max,
            ..serverless::Settings::default()
        }
    }
}

/// The calls of one hub.
#[derive(Debug)]
pub(super) struct Webhooks {
    dispatcher: Dispatcher,
    answers: Receiver<(CallKey, Answered)>,
}

impl Webhooks {
    /// Prepares the calls of a hub; `None`: the hub has no handlers.
    pub(super) fn new(
        config: &Config,
        hub: &HubConfig,
        metrics: &Metrics,
    ) -> Result<Option<Self>, NoAuthorities> {
        let Some(serverless) = &hub.serverless else { return Ok(None) };
        let origin =
            Origin { hub: hub.name.clone(), host: config.origin.clone(), keys: hub.keys.clone() };
        let (handlers, limits) = (serverless.handlers.clone(), serverless.limits.clone());
        let (dispatcher, answers) =
            Dispatcher::new(origin, handlers, limits, metrics.webhooks.clone())?;
        Ok(Some(Self { dispatcher, answers }))
    }

    /// Begins a call, or returns the answer if no call is needed.
    pub(super) fn call(&mut self, call: Option<CallKey>, event: Event) -> Option<Answered> {
        self.dispatcher.call(call, event)
    }

    /// The next answer, when there is one.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(CallKey, Answered)> {
        match self.answers.poll_recv(cx) {
            Poll::Ready(Some(answer)) => Poll::Ready(answer),
            // The end cannot come: the dispatcher in the same struct holds the sender.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Whether no call is under way and no answer waits.
    pub(super) fn is_idle(&mut self) -> bool {
        self.dispatcher.is_idle() && self.answers.is_empty()
    }

    /// Waits for the calls under way, for a limited time. Their answers are dropped: no client is left
    /// to receive them.
    pub(super) async fn drain(mut self) {
        self.answers.close();
        let calls = self.dispatcher.under_way();
        if tokio::time::timeout(DRAIN_MAX, self.dispatcher.join()).await.is_err() {
            tracing::warn!(
                calls,
                "the node stops before its event handlers have received all events"
            );
        }
    }
}
