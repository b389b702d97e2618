//! A connection to NATS while it lasts.

use core::time::Duration;
use std::collections::HashMap;

use async_nats::{Client, Event, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep_until};
use trunkline_mesh::{BusEvent, Destination};

use super::connect::Connected;
use crate::events::EventSender;
use crate::figures::BusFigures;
use crate::outgoing::Outgoing;
use crate::subjects::{self, Subjects};

/// Subjects of peers that are kept as text; then all are made again.
const ROUTES_MAX: usize = 4_096;
/// Inboxes that may wait for the receiving half.
const INBOXES_MAX: usize = 16;

/// After a refusal, the time without another one after which NATS counts as reached.
const PROBATION: Duration = Duration::from_secs(1);

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
    let routes = HashMap::new();
    let sending = Sending { client: &client, subjects, outgoing, figures, routes };
    let announce_at = on_probation.then(|| Instant::now() + PROBATION);
    let mut receiving = Receiving {
        client: &client,
        events,
        outgoing,
        figures,
        is_open: false,
        announce_at,
        complaint: None,
        refusal: None,
    };
    receiving.opened();
    tokio::select! {
        () = sending.run(new_inboxes) => {}
        () = receiving.run(beats, answers, inboxes, changes) => {}
    }
    let refusal = receiving.refusal.take();
    receiving.closed(refusal.as_deref().unwrap_or("the connection to NATS has ended"));
    refusal
}

/// The half that gives datagrams to NATS.
struct Sending<'a> {
    client: &'a Client,
    subjects: &'a Subjects,
    outgoing: &'a Outgoing,
    figures: &'a BusFigures,
    routes: HashMap<Destination, (Subject, Option<Subject>)>,
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
                if !self.publish(to, payload).await {
                    return;
                }
            }
            work = self.outgoing.next().await;
        }
    }

    /// Returns whether the connection still has its task. Waits while NATS reads too slowly.
    async fn publish(&mut self, to: Destination, payload: Bytes) -> bool {
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
        }
        let numbers = self.figures.numbers();
        numbers.sent.add(1);
        numbers.sent_bytes.add(payload.len() as u64);
        let subjects = self.subjects;
        let (subject, reply) = self.routes.entry(to).or_insert_with_key(|to| {
            let (subject, reply) = subjects.route(to);
            (subject.into(), reply.map(Subject::from))
        });
        let (client, subject) = (self.client, subject.clone());
        match reply.clone() {
            Some(reply) => client.publish_with_reply(subject, reply, payload).await.is_ok(),
            None => client.publish(subject, payload).await.is_ok(),
        }
    }
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
    /// What NATS complained of; it usually closes the connection next.
    complaint: Option<String>,
    /// Why the connection is of no use.
    refusal: Option<String>,
}

impl Receiving<'_> {
    async fn run(
        &mut self,
        mut beats: Subscriber,
        mut answers: Subscriber,
        mut new_inboxes: Receiver<Subscriber>,
        mut changes: Receiver<Event>,
    ) {
        let mut inboxes = SelectAll::new();
        while self.refusal.is_none() {
            let announce_at = self.announce_at.unwrap_or_else(Instant::now);
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => self.change(change),
                    None => return,
                },
                () = sleep_until(announce_at), if self.announce_at.is_some() => self.announce(),
                Some(inbox) = new_inboxes.recv() => inboxes.push(inbox),
                Some(message) = inboxes.next() => self.datagram(message),
                beat = beats.next() => match beat {
                    Some(message) => self.beat(message),
                    None => return,
                },
                answer = answers.next() => match answer {
                    Some(message) => self.answer(&message),
                    None => return,
                },
            }
        }
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
                let cause = self.complaint.take();
                self.closed(cause.as_deref().unwrap_or("the connection broke, or NATS hangs"));
            }
            Event::SlowConsumer(_) => {
                self.figures.numbers().dropped_receiving.add(1);
                self.events.put(BusEvent::Overflowed);
            }
            Event::ServerError(error) => self.complaint(&error.to_string()),
            // The library goes on, or ends and closes its channels.
            Event::ClientError(_) | Event::LameDuckMode | Event::Draining | Event::Closed => {}
        }
    }

    /// Takes an error that NATS reports on an open connection.
    fn complaint(&mut self, error: &str) {
        let error = error.strip_prefix("nats: ").unwrap_or(error);
        if error.to_ascii_lowercase().contains("permissions violation") {
            // Without one of its subjects the node would take itself for alone.
            self.refusal = Some(format!(
                "NATS does not permit this node what it needs ({error}); see its user's permissions"
            ));
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
