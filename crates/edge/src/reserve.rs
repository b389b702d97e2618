//! The streams beyond `streams_max`: for app servers, and for requests of sessions that are there.
//!
//! Until a stream has proved that it is one of these, it may have to make room for the next one: otherwise strangers
//! who come in time would hold all of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::signal::Signal;

/// The streams beyond `streams_max`.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// The oldest first.
    unproved: Mutex<VecDeque<Weak<Claim>>>,
    /// As many may have proved nothing: fewer than there are in all, because one that is told to go takes a moment.
    unproved_max: usize,
    /// Held for sessions that are there.
    sessions: Arc<AtomicUsize>,
    sessions_max: usize,
}

/// One stream's right to its place.
#[derive(Debug)]
pub(crate) struct Claim {
    evicted: Signal,
    for_session: AtomicBool,
    sessions: Arc<AtomicUsize>,
    sessions_max: usize,
}

impl Reserve {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            unproved: Mutex::default(),
            unproved_max: (streams - streams / 4).max(1),
            sessions: Arc::default(),
            sessions_max: streams / 2,
        }
    }

    /// A place for one more; the oldest of those that have proved nothing goes when there are too many.
    pub(crate) fn claim(&self) -> Arc<Claim> {
        let claim = Arc::new(Claim {
            evicted: Signal::default(),
            for_session: AtomicBool::new(false),
            sessions: Arc::clone(&self.sessions),
            sessions_max: self.sessions_max,
        });
        let mut unproved = self.unproved.lock().unwrap_or_else(PoisonError::into_inner);
        unproved.retain(|one| one.upgrade().is_some_and(|claim| !claim.is_proved()));
        while unproved.len() >= self.unproved_max {
            if let Some(oldest) = unproved.pop_front().and_then(|oldest| oldest.upgrade()) {
                oldest.evicted.give();
            }
        }
        unproved.push_back(Arc::downgrade(&claim));
        claim
    }
}

impl Claim {
    /// Waits until the place is wanted for another.
    pub(crate) async fn evicted(&self) {
        self.evicted.given().await;
    }

    /// A request over this stream is of a session that is there. Of the places, half are for those.
    pub(crate) fn prove_by_session(&self) {
        if !self.is_proved() {
            let others = self.sessions.fetch_add(1, Ordering::Relaxed);
            if others < self.sessions_max {
                self.for_session.store(true, Ordering::Relaxed);
            } else {
                self.sessions.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn is_proved(&self) -> bool {
        self.for_session.load(Ordering::Relaxed)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_proved() {
            self.sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(claim: &Claim) -> bool {
        claim.evicted.is_given()
    }

    #[test]
    fn the_oldest_that_has_proved_nothing_makes_room() {
        let reserve = Reserve::new(8);
        let mut claims: Vec<_> = (0..6).map(|_| reserve.claim()).collect();
        assert!(!claims.iter().any(|claim| is_evicted(claim)), "there is room for six");
        claims[0].prove_by_session();
        drop(claims.remove(1));
        claims.extend([reserve.claim(), reserve.claim()]);
        assert!(
            !claims.iter().any(|claim| is_evicted(claim)),
            "one has proved itself, one has gone"
        );
        claims.push(reserve.claim());
        let evicted: Vec<_> = claims.iter().map(|claim| is_evicted(claim)).collect();
        assert_eq!(evicted, [false, true, false, false, false, false, false, false]);
    }

    #[test]
    fn half_of_the_places_are_for_sessions_that_are_there() {
        let reserve = Reserve::new(8);
        let claims: Vec<_> = (0..6).map(|_| reserve.claim()).collect();
        for claim in &claims {
            claim.prove_by_session();
        }
        assert_eq!(claims.iter().filter(|claim| claim.is_proved()).count(), 4);
        drop(claims);
        assert_eq!(reserve.sessions.load(Ordering::Relaxed), 0);
    }
}
