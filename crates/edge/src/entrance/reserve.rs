//! The streams beyond `streams_max`: for app servers, and for requests of existing sessions.
//!
//! A stream that has not proved that it is one of these may have to make room for the next one:
//! otherwise strangers who come early would hold all of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::signal::Signal;

/// The streams beyond `streams_max`.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// The streams that have proved nothing, oldest first.
    unproved: Mutex<VecDeque<Weak<Claim>>>,
    /// How many may have proved nothing: fewer than all, because an evicted stream takes a moment
    /// to end.
    unproved_max: usize,
    /// Places held by existing sessions.
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

    /// Takes a place for one more stream; evicts the oldest unproved stream when there are too
    /// many.
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
    /// Waits until the place is needed for another stream.
    pub(crate) async fn evicted(&self) {
        self.evicted.given().await;
    }

    /// Notes that a request over this stream belongs to an existing session. Half of the places are
    /// for those.
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
