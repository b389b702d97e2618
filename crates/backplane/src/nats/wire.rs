//! The way of datagrams into a connection.

use std::collections::HashMap;

use async_nats::{Client, Subject};
use bytes::Bytes;
use futures_util::FutureExt as _;
use trunkline_mesh::Destination;

use crate::figures::BusFigures;
use crate::outgoing::Direct;
use crate::subjects::Subjects;

/// Subjects of peers that are kept as text; then all are made again.
const ROUTES_MAX: usize = 4_096;

/// Gives datagrams to a connection.
#[derive(Clone)]
pub(super) struct Wire {
    client: Client,
    subjects: Subjects,
    figures: BusFigures,
    routes: HashMap<Destination, (Subject, Option<Subject>)>,
}

impl Wire {
    pub(super) fn new(client: Client, subjects: Subjects, figures: BusFigures) -> Self {
        Self { client, subjects, figures, routes: HashMap::new() }
    }

    /// Returns whether the connection still has its task. Waits while NATS reads too slowly.
    pub(super) async fn publish(&mut self, to: &Destination, payload: Bytes) -> bool {
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
        }
        let subjects = &self.subjects;
        let (subject, reply) = self.routes.entry(*to).or_insert_with_key(|to| {
            let (subject, reply) = subjects.route(to);
            (subject.into(), reply.map(Subject::from))
        });
        let (client, subject, length) = (&self.client, subject.clone(), payload.len());
        let given = match reply.clone() {
            Some(reply) => client.publish_with_reply(subject, reply, payload).await,
            None => client.publish(subject, payload).await,
        };
        let numbers = self.figures.numbers();
        numbers.sent.add(1);
        numbers.sent_bytes.add(length as u64);
        given.is_ok()
    }
}

impl Direct for Wire {
    fn try_give(&mut self, to: &Destination, payload: &Bytes) -> bool {
        // Dropped before it is done, the call has done nothing. A connection without its task ends:
        // the datagram is lost, as those that are under way.
        self.publish(to, payload.clone()).now_or_never().is_some()
    }
}
