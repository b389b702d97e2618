//! The bus over NATS: core subjects only, three subscriptions, nothing stored.
//!
//! One task owns the connection. The library's own reconnecting tries every known server once,
//! which covers the loss of one of several; when that fails, the task connects anew, for as long as
//! it takes, because only then the library says what went wrong.

mod cause;
mod connect;
mod pace;
mod servers;
mod session;
mod wire;

pub use servers::Servers;

use core::time::Duration;
use std::path::PathBuf;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use trunkline_mesh::{Bus, BusEvent, Destination};

use crate::Opened;
use crate::events::{self, EventSender};
use crate::figures::BusFigures;
use crate::outgoing::Outgoing;
use crate::subjects::Subjects;

/// The first pause after a failure; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a failure that stays the same is logged again.
const REMIND: Duration = Duration::from_secs(60);

/// What is needed to reach NATS.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's name, a part of every subject.
    pub cluster: String,
    /// The node's life, a part of its inboxes' subjects.
    pub incarnation: u64,
    /// The node's name, which NATS shows among its connections.
    pub node_id: String,
    /// The servers.
    pub servers: Servers,
    /// A file with a JWT and a seed, read again for every connection.
    pub credentials_file: Option<PathBuf>,
    /// The certificates of the authorities that are trusted in place of the system's. Implies TLS.
    pub ca_file: Option<PathBuf>,
    /// Where to count.
    pub figures: BusFigures,
}

/// Opens the bus. It connects in the background, and again whenever the connection is lost, until
/// the runtime ends.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn open(settings: Settings) -> Opened {
    let figures = settings.figures.clone();
    let (sender, events) = events::queue(figures.clone());
    let outgoing = Outgoing::new(figures);
    let bus = NatsBus { outgoing: outgoing.clone() };
    tokio::spawn(run(settings, sender, outgoing));
    Opened { bus: Box::new(bus), events }
}

struct NatsBus {
    outgoing: Outgoing,
}

impl Bus for NatsBus {
    fn subscribe(&mut self, number: u16) {
        self.outgoing.add_number(number);
    }

    fn publish(&mut self, to: &Destination, payload: Bytes) {
        self.outgoing.put(*to, payload);
    }
}

async fn run(settings: Settings, events: EventSender, outgoing: Outgoing) {
    let subjects = Subjects::new(&settings.cluster, settings.incarnation);
    let mut connector = connect::Connector::new(&settings);
    let mut failures = Failures::default();
    let mut on_probation = false;
    loop {
        // Whether the session has logged its end.
        let mut is_logged = false;
        let cause = match connector.connect().await {
            Ok(connected) => {
                connector.learn(&connected.client).await;
                let figures = &settings.figures;
                let session =
                    session::run(connected, &subjects, &events, &outgoing, figures, on_probation);
                let refusal = session.await;
                outgoing.set_open(false);
                is_logged = !on_probation;
                on_probation = refusal.is_some();
                if !on_probation {
                    failures = Failures::default();
                }
                refusal
            }
            Err(cause) => Some(cause),
        };
        if let Some(cause) = cause.filter(|cause| failures.is_news(cause)) {
            if !is_logged {
                tracing::warn!(servers = %settings.servers, cause, "NATS cannot be reached");
            }
            events.put(BusEvent::Disconnected { cause });
        }
        sleep(failures.pause(settings.incarnation)).await;
    }
}

/// Failures to connect, one after another.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    reported: Option<(String, Instant)>,
}

impl Failures {
    /// Whether to report this cause: it differs from the last one, or that was long ago.
    fn is_news(&mut self, cause: &str) -> bool {
        let now = Instant::now();
        let known = self
            .reported
            .as_ref()
            .is_some_and(|(last, at)| last == cause && now.duration_since(*at) < REMIND);
        if !known {
            self.reported = Some((cause.to_owned(), now));
        }
        !known
    }

    /// The pause before the next try. Nodes differ by up to a quarter, so that they do not all come
    /// at once.
    fn pause(&mut self, incarnation: u64) -> Duration {
        let pause = PAUSE_MIN.saturating_mul(1 << self.count.min(6)).min(PAUSE_MAX);
        self.count = self.count.saturating_add(1);
        pause.mul_f64(1.0 - (incarnation % 64) as f64 / 256.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cause_is_reported_once_and_then_each_minute() {
        let mut failures = Failures::default();
        assert!(failures.is_news("refused"));
        assert!(!failures.is_news("refused"));
        assert!(failures.is_news("authorization violation"));
        tokio::time::advance(REMIND).await;
        assert!(failures.is_news("authorization violation"));
    }

    #[test]
    fn pauses_grow_to_two_seconds_and_differ_among_nodes() {
        let mut failures = Failures::default();
        let pauses: Vec<_> = (0..10).map(|_| failures.pause(0).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000, 2000]);
        assert_eq!(failures.pause(63).as_millis(), 1507);
    }
}
