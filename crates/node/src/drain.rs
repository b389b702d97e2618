//! The end of a node that serves: it reports not ready, waits for balancers to notice, then closes
//! its sessions at a limited rate.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::admin::View;
use crate::audit;
use crate::config::{Config, Mode};
use crate::signals::Signals;

/// The interval in which a drain checks whether sessions are left.
const POLL: Duration = Duration::from_millis(20);
/// The edge closes its last sessions at the deadline; this is how long we wait for that afterwards.
const SLACK: Duration = Duration::from_millis(500);
/// The closing time without a balancer: no other node can take the clients, and they reconnect
/// after half a second at the earliest. By then this node must have ended, so that they find the
/// next one.
const ALONE: Duration = Duration::from_millis(400);
/// The closing time with a balancer: other nodes take over at a limited rate.
const BESIDE_OTHERS: Duration = Duration::from_secs(10);
/// The part of the time in which sessions are closed; the rest is for the last close frames.
const CLOSING: f32 = 0.9;

/// How long each phase takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Plan {
    /// The time in which the node is not ready, but still serves new clients, so that balancers
    /// notice. Zero when there are no balancers, because the node is alone.
    wait: Duration,
    /// The time over which sessions are closed evenly.
    close: Duration,
}

impl Plan {
    pub(crate) fn of(config: &Config) -> Self {
        Self::chosen(config.mode, config.settings.drain_wait, config.settings.drain)
    }

    fn chosen(mode: Mode, wait: Duration, close: Option<Duration>) -> Self {
        let close = close.unwrap_or(match (mode, wait.is_zero()) {
            (Mode::Dev, true) => Duration::ZERO,
            (Mode::Serve | Mode::Inspect, true) => ALONE,
            (_, false) => BESIDE_OTHERS,
        });
        Self { wait, close }
    }

    fn is_alone(self) -> bool {
        self.wait.is_zero()
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Drained {
    /// No session is left, the time is over, or a second signal came.
    Done,
    /// A second signal came at a terminal: the process ends at once.
    Interrupted,
}

/// Returns when no session is left, at the deadline, or at a signal.
pub(crate) async fn drain(
    view: &View,
    signal: &'static str,
    plan: Plan,
    signals: &mut Signals,
    refuse_reload: impl Fn(),
) -> Drained {
    view.draining.store(true, Ordering::Relaxed);
    let sessions = view.edge.sessions();
    let (wait_seconds, seconds) = (plan.wait.as_secs_f64(), plan.close.as_secs_f64());
    tracing::info!(
        signal,
        sessions,
        wait_seconds,
        seconds,
        "draining; a second signal ends it at once"
    );
    audit::drain(signal, "begun", sessions);
    tokio::select! {
        () = phases(view, plan) => Drained::Done,
        second = signals.next_end(refuse_reload) => {
            audit::drain(second, "cut_short", view.edge.sessions());
            tracing::warn!(signal = second, sessions = view.edge.sessions(), "a second signal cuts the drain short");
            if second == "SIGINT" { Drained::Interrupted } else { Drained::Done }
        }
    }
}

async fn phases(view: &View, plan: Plan) {
    let edge = &view.edge;
    if !plan.is_alone() {
        tokio::time::sleep(plan.wait).await;
        // The balancer sends clients that still come here to other nodes.
        edge.refuse_newcomers();
    }
    let begun = {
        // This call waits until every shard has taken the command.
        let edge = Arc::clone(edge);
        let Plan { close, .. } = plan;
        tokio::task::spawn_blocking(move || edge.begin_drain(close))
    };
    if begun.await.is_err() {
        tracing::error!("the drain could not be begun");
    }
    let emptied = async {
        while edge.sessions() > 0 {
            tokio::time::sleep(POLL).await;
        }
    };
    // A node that is alone serves returning clients while it still closes others: no other node
    // would.
    let last = async {
        tokio::time::sleep(plan.close.mul_f32(CLOSING)).await;
        edge.refuse_newcomers();
        tokio::time::sleep(plan.close.mul_f32(1.0 - CLOSING) + SLACK).await;
    };
    tokio::select! {
        () = emptied => (),
        () = last => {
            tracing::warn!(sessions = edge.sessions(), "the deadline of the drain has passed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_a_balancer_is_gone_before_its_clients_come_back() {
        let plan = |mode, wait: u64, close: Option<u64>| {
            let wait = Duration::from_secs(wait);
            Plan::chosen(mode, wait, close.map(Duration::from_secs))
        };
        let table = [
            (Mode::Serve, 0, None, ALONE),
            (Mode::Serve, 0, Some(10), Duration::from_secs(10)),
            (Mode::Serve, 5, None, BESIDE_OTHERS),
            (Mode::Serve, 5, Some(0), Duration::ZERO),
            (Mode::Dev, 0, None, Duration::ZERO),
            (Mode::Dev, 0, Some(3), Duration::from_secs(3)),
            (Mode::Dev, 5, None, BESIDE_OTHERS),
        ];
        for (mode, wait, close, expected) in table {
            let got = plan(mode, wait, close);
            assert_eq!(
                (got.close, got.is_alone()),
                (expected, wait == 0),
                "{mode:?} {wait} {close:?}"
            );
        }
    }
}
