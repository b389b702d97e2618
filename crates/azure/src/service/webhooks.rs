//! A hub's webhooks beside its task.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::{Config, HubConfig};
use crate::metrics::Metrics;
use crate::serverless::{self, Answered, CallKey, Event};
use crate::webhook::{Dispatcher, Handlers, Limits, NoAuthorities, Origin};

/// How long calls that are under way may take when the node stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// What a hub that webhooks serve is made with.
#[derive(Clone, Debug)]
pub struct Serverless {
    /// Not empty.
    pub handlers: Handlers,
    /// The bounds of calls.
    pub limits: Limits,
    /// Events of one socket that wait for the one before.
    pub socket_events_max: usize,
    /// Bytes of events that wait, of all sockets together.
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
    /// None: the hub has no handlers.
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

    /// Begins a call; an answer that needs no call comes back.
    pub(super) fn call(&mut self, call: Option<CallKey>, event: Event) -> Option<Answered> {
        self.dispatcher.call(call, event)
    }

    /// The next answer.
    pub(super) async fn next(&mut self) -> (CallKey, Answered) {
        match self.answers.recv().await {
            Some(answer) => answer,
            // The dispatcher beside it holds the other end.
            None => std::future::pending().await,
        }
    }

    /// Waits for what is under way, but not for ever.
    pub(super) async fn drain(mut self) {
        self.answers.close();
        let calls = self.dispatcher.under_way();
        if tokio::time::timeout(DRAIN_MAX, self.dispatcher.join()).await.is_err() {
            tracing::warn!(calls, "the node stops before its event handlers have heard all");
        }
    }
}
