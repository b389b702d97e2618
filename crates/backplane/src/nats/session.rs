//! A connection to NATS while it lasts.

use core::future::{Future as _, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;

use async_nats::{Client, Event, Message, StatusCode, Subscriber};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep_until};
use trunkline_mesh::BusEvent;

use super::connect::Connected;
use super::pace::Pace;
use super::wire::Wire;
use crate::events::EventSender;
use crate::figures::BusFigures;
use crate::outgoing::Outgoing;
use crate::subjects::{self, Subjects};

/// Inboxes that may wait for the receiving half.
const INBOXES_MAX: usize = 16;

/// What one source may bring before the others have their turn. All together stay within what tokio lets
/// a task take at once (128); a source that comes after that would never be looked at.
const TURN: usize = 32;

/// After a refusal, the time without another one after which NATS counts as reached.
const PROBATION: Duration = Duration::from_secs(1);

/// The cause of an end of which this node knows nothing more.
const CONNECTION_LOST: &str =
    "the connection broke, or NATS hangs, or has cut this node off: see its log";

/// Serves the connection until it ends. Returns why NATS refuses what this node needs, if it does.
/// `on_probation`: it has refused the connection before.
pub(super) async fn run(
    connected: Connected,
    subjects: &Subjects,
    events: &EventSender,
    outgoing: &Outgoing,
    figures: &BusFigures,
    on_probation: bool,
) -> Option<String> {
    let Connected { client, changes } = connected;
    let subscribed =
        tokio::try_join!(client.subscribe(subjects.beats()), client.subscribe(subjects.answers()));
    // An error: the connection has ended already.
    let (beats, answers) = subscribed.ok()?;
    let (new_inboxes, inboxes) = mpsc::channel(INBOXES_MAX);
    let wire = Wire::new(client.clone(), subjects.clone(), figures.clone());
    outgoing.set_direct(Some(Box::new(wire.clone())));
    let sending = Sending { client: &client, subjects, outgoing, wire };
    let announce_at = on_probation.then(|| Instant::now() + PROBATION);
    let mut receiving = Receiving {
        client: &client,
        events,
        outgoing,
        figures,
        is_open: false,
        announce_at,
        pace: Pace::new(Instant::now()),
        complaint: None,
        refusal: None,
    };
    receiving.opened();
    let sources = Sources { beats, answers, changes, new_inboxes: inboxes, inboxes: Vec::new() };
    tokio::select! {
        () = sending.run(new_inboxes) => {}
        () = receiving.run(sources) => {}
    }
    outgoing.set_direct(None);
    let refusal = receiving.refusal.take();
    receiving.closed(refusal.as_deref().unwrap_or("the connection to NATS has ended"));
    refusal
}

/// The half that gives datagrams to NATS, as far as they have to wait.
struct Sending<'a> {
    client: &'a Client,
    subjects: &'a Subjects,
    outgoing: &'a Outgoing,
    wire: Wire,
}

impl Sending<'_> {
    async fn run(mut self, new_inboxes: Sender<Subscriber>) {
        let mut numbers = Vec::new();
        let mut work = self.outgoing.take();
        loop {
            for number in work.numbers {
                if numbers.contains(&number) {
                    continue;
                }
                let Ok(inbox) = self.client.subscribe(self.subjects.inbox(number)).await else {
                    return;
                };
                numbers.push(number);
                if new_inboxes.send(inbox).await.is_err() {
                    return;
                }
            }
            for (to, payload) in work.datagrams {
                if !self.wire.publish(&to, payload).await {
                    return;
                }
            }
            work = self.outgoing.next().await;
        }
    }
}

/// What a connection brings.
struct Sources {
    beats: Subscriber,
    answers: Subscriber,
    changes: Receiver<Event>,
    new_inboxes: Receiver<Subscriber>,
    inboxes: Vec<Subscriber>,
}

/// What a source may have after its turn.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Left {
    Nothing,
    /// More may be there; nobody has been asked to wake the task for it.
    More,
    Ended,
}

impl Left {
    fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

/// Takes at most a turn of what is there.
fn turn<S: Stream + Unpin>(
    cx: &mut Context<'_>,
    source: &mut S,
    mut take: impl FnMut(S::Item),
) -> Left {
    for _ in 0..TURN {
        match source.poll_next_unpin(cx) {
            Poll::Ready(Some(item)) => take(item),
            Poll::Ready(None) => return Left::Ended,
            Poll::Pending => return Left::Nothing,
        }
    }
    Left::More
}

/// The half that takes what comes.
struct Receiving<'a> {
    client: &'a Client,
    events: &'a EventSender,
    outgoing: &'a Outgoing,
    figures: &'a BusFigures,
    is_open: bool,
    /// When to say that NATS is reached; `None`: that was said.
    announce_at: Option<Instant>,
    pace: Pace,
    /// What NATS complained of; it usually closes the connection next.
    complaint: Option<String>,
    /// Why the connection is of no use.
    refusal: Option<String>,
}

impl Receiving<'_> {
    async fn run(&mut self, mut sources: Sources) {
        let mut announce = pin!(sleep_until(self.announce_at.unwrap_or_else(Instant::now)));
        let mut look = pin!(sleep_until(self.pace.due()));
        poll_fn(|cx| {
            if self.announce_at.is_some() && announce.as_mut().poll(cx).is_ready() {
                self.announce();
            }
            while look.as_mut().poll(cx).is_ready() {
                self.pace.look(Instant::now());
                look.as_mut().reset(self.pace.due());
            }
            self.take(cx, &mut sources)
        })
        .await;
    }

    /// Takes a turn of each source, and is called again at once while one has more. Ready when the connection
    /// ends, or is of no use. Beats come before the rest: however much that is, it does not make the peers
    /// seem silent. They come in turns: anybody on NATS can publish beats, and the rest must not starve.
    fn take(&mut self, cx: &mut Context<'_>, sources: &mut Sources) -> Poll<()> {
        while let Poll::Ready(change) = sources.changes.poll_recv(cx) {
            let Some(change) = change else { return Poll::Ready(()) };
            self.change(change);
        }
        let beats = turn(cx, &mut sources.beats, |message| self.beat(message));
        let answers = turn(cx, &mut sources.answers, |message| self.answer(&message));
        while let Poll::Ready(Some(inbox)) = sources.new_inboxes.poll_recv(cx) {
            sources.inboxes.push(inbox);
        }
        let mut left = beats.and(answers);
        for inbox in &mut sources.inboxes {
            left = left.and(turn(cx, inbox, |message| self.datagram(message)));
        }
        // The one that was first is last in the next turn.
        if !sources.inboxes.is_empty() {
            sources.inboxes.rotate_left(1);
        }
        if self.refusal.is_some() || left == Left::Ended {
            return Poll::Ready(());
        }
        if left == Left::More {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn beat(&self, message: Message) {
        self.put(BusEvent::Datagram { lane: None, payload: message.payload });
    }

    fn datagram(&self, message: Message) {
        if let Some(lane) = subjects::lane(&message.subject) {
            self.put(BusEvent::Datagram { lane: Some(lane), payload: message.payload });
        }
    }

    /// Takes NATS's answer that nobody listens. Others on NATS can publish the same, so the mesh takes
    /// it for a suspicion only.
    fn answer(&self, message: &Message) {
        let absent = subjects::absent(&message.subject);
        let from_nats = message.status == Some(StatusCode::NO_RESPONDERS);
        if let Some((number, incarnation)) = absent.filter(|_| from_nats) {
            self.events.put(BusEvent::Unreachable { number, incarnation });
        }
    }

    fn put(&self, event: BusEvent) {
        if let BusEvent::Datagram { payload, .. } = &event {
            let numbers = self.figures.numbers();
            numbers.received.add(1);
            numbers.received_bytes.add(payload.len() as u64);
        }
        self.events.put(event);
    }

    fn change(&mut self, change: Event) {
        match change {
            Event::Connected => self.opened(),
            Event::Disconnected => {
                let cause = self.complaint.take().or_else(|| self.cut_off());
                self.closed(cause.as_deref().unwrap_or(CONNECTION_LOST));
            }
            Event::SlowConsumer(_) => {
                self.pace.dropped(Instant::now());
                self.figures.numbers().dropped_receiving.add(1);
                self.events.put(BusEvent::Overflowed);
            }
            Event::ServerError(error) => self.complaint(&error.to_string()),
            // The library goes on, or ends and closes its channels.
            Event::ClientError(_) | Event::LameDuckMode | Event::Draining | Event::Closed => {}
        }
    }

    /// Whether the connection has ended because this node did not keep up.
    fn cut_off(&mut self) -> Option<String> {
        let cause = self.pace.cause_of_end(Instant::now())?;
        self.figures.numbers().cut_off.add(1);
        Some(cause)
    }

    /// Takes an error that NATS reports on an open connection.
    fn complaint(&mut self, error: &str) {
        let error = error.strip_prefix("nats: ").unwrap_or(error);
        if error.to_ascii_lowercase().contains("permissions violation") {
            // Without one of its subjects the node would take itself for alone.
            self.refusal.get_or_insert_with(|| {
                format!(
                    "NATS does not permit this node what it needs ({error}); see its user's permissions"
                )
            });
        } else if self.complaint.as_deref() != Some(error) {
            tracing::warn!(error, "NATS complains about this node");
            self.complaint = Some(error.to_owned());
        }
    }

    fn opened(&mut self) {
        if core::mem::replace(&mut self.is_open, true) {
            return;
        }
        self.figures.numbers().connected.add(1);
        self.outgoing.set_open(true);
        if self.announce_at.is_none() {
            self.announce();
        }
        let payload_max = self.client.max_payload();
        self.events.put(BusEvent::Connected { payload_max });
    }

    fn announce(&mut self) {
        self.announce_at = None;
        let info = self.client.server_info();
        tracing::info!(server = info.server_name, version = info.version, "NATS is reached");
    }

    fn closed(&mut self, cause: &str) {
        if core::mem::replace(&mut self.is_open, false) {
            self.outgoing.set_open(false);
            if self.announce_at.is_none() {
                tracing::warn!(cause, "NATS is away");
            }
            self.events.put(BusEvent::Disconnected { cause: cause.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use futures_util::stream;

    use super::*;

    #[test]
    fn a_source_that_never_runs_dry_gets_a_turn_and_no_more() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut taken = 0;
        assert_eq!(turn(&mut cx, &mut stream::repeat(()), |()| taken += 1), Left::More);
        assert_eq!(taken, TURN);
    }

    #[test]
    fn what_a_source_has_left_is_known() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut taken = Vec::new();
        let mut waits = stream::iter([1, 2]).chain(stream::pending());
        assert_eq!(turn(&mut cx, &mut waits, |item| taken.push(item)), Left::Nothing);
        let mut ends = stream::iter([3]);
        assert_eq!(turn(&mut cx, &mut ends, |item| taken.push(item)), Left::Ended);
        assert_eq!(taken, [1, 2, 3]);
        assert_eq!(Left::More.and(Left::Nothing), Left::More);
        assert_eq!(Left::More.and(Left::Ended), Left::Ended);
    }
}
