//! Tokens of clients that an app server has revoked: one by its id, or all of a user that were signed
//! before a time. They are kept for as long as the app server says; by then they have ended by
//! themselves.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use trunkline_clock::Timestamp;
use trunkline_token::TextMark;

use crate::shard::ClientToken;

/// Which tokens are revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Revoked {
    /// The one with this id.
    Id(TextMark),
    /// Those of this user that were signed before this second since 1970, or do not say when.
    User(TextMark, u64),
}

impl Revoked {
    /// Whether this token is one of them.
    pub(crate) fn means(&self, token: &ClientToken) -> bool {
        match *self {
            Self::Id(id) => token.id == Some(id),
            Self::User(user, before_s) => token.user == Some(user) && token.signed_s < before_s,
        }
    }

    const fn name(self) -> Name {
        match self {
            Self::Id(id) => Name { is_user: false, mark: id },
            Self::User(user, _) => Name { is_user: true, mark: user },
        }
    }
}

/// A hub has as many revocations as it may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Full;

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Name {
    is_user: bool,
    mark: TextMark,
}

/// The revocations of a hub.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    known: RwLock<Known>,
    /// Whether there were ever any: most hubs have none, and then no lock is taken.
    any: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<Name, (Revoked, Timestamp)>,
    ends: BTreeSet<(Timestamp, Name)>,
}

impl Revocations {
    /// Revokes tokens until a time; `max` is how many revocations a hub may have. One that comes
    /// twice lasts as long as the longer of the two, and means all that either means. Returns whether
    /// it means any token that none before it has meant: open sessions are then to be looked at.
    pub(crate) fn add(
        &self,
        now: Timestamp,
        revoked: Revoked,
        until: Timestamp,
        max: usize,
    ) -> Result<bool, Full> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.forget_old(now);
        let name = revoked.name();
        let former = known.by_name.get(&name).copied();
        if former.is_none() && known.by_name.len() >= max {
            return Err(Full);
        }
        let (mut revoked, mut until) = (revoked, until);
        let mut is_news = former.is_none();
        if let Some((of_former, until_former)) = former {
            known.ends.remove(&(until_former, name));
            until = until.max(until_former);
            if let (Revoked::User(_, before_s), Revoked::User(_, of_former)) =
                (&mut revoked, of_former)
            {
                is_news = *before_s > of_former;
                *before_s = of_former.max(*before_s);
            }
        }
        known.by_name.insert(name, (revoked, until));
        known.ends.insert((until, name));
        self.any.store(true, Ordering::Release);
        Ok(is_news)
    }

    /// Whether a token is revoked.
    pub(crate) fn has(&self, now: Timestamp, token: &ClientToken) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let names = [
            token.id.map(|mark| Name { is_user: false, mark }),
            token.user.map(|mark| Name { is_user: true, mark }),
        ];
        names.into_iter().flatten().any(|name| {
            let found = known.by_name.get(&name);
            found.is_some_and(|(revoked, until)| now < *until && revoked.means(token))
        })
    }
}

impl Known {
    fn forget_old(&mut self, now: Timestamp) {
        while let Some((_, name)) = self.ends.pop_first_if(|(until, _)| *until <= now) {
            self.by_name.remove(&name);
        }
    }
}

/// `BTreeSet::pop_first` with a condition, which the standard library does not have.
trait PopFirstIf<T> {
    fn pop_first_if(&mut self, is_wanted: impl Fn(&T) -> bool) -> Option<T>;
}

impl<T: Copy + Ord> PopFirstIf<T> for BTreeSet<T> {
    fn pop_first_if(&mut self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        self.first().filter(|first| is_wanted(first))?;
        self.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::ORIGIN;

    fn token(user: &str, id: &str, signed_s: u64) -> ClientToken {
        ClientToken {
            user: Some(TextMark::of(user)),
            id: Some(TextMark::of(id)),
            signed_s,
            ..ClientToken::default()
        }
    }

    fn at(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    fn user(name: &str, before_s: u64) -> Revoked {
        Revoked::User(TextMark::of(name), before_s)
    }

    #[test]
    fn what_is_revoked_is_told_from_what_is_not() {
        let revocations = Revocations::default();
        assert!(!revocations.has(NOW, &token("anna", "1", 50)));
        revocations.add(NOW, user("anna", 100), at(60), 9).expect("there is room");
        revocations.add(NOW, Revoked::Id(TextMark::of("7")), at(60), 9).expect("there is room");
        for (one, is_revoked) in [
            (token("anna", "1", 99), true),
            (token("anna", "1", 0), true),
            (token("anna", "1", 100), false),
            (token("bert", "1", 50), false),
            (token("bert", "7", 5_000), true),
            // The name of one kind is no name of the other.
            (token("7", "anna", 50), false),
            (ClientToken::default(), false),
        ] {
            assert_eq!(revocations.has(at(59), &one), is_revoked, "{one:?}");
            assert!(!revocations.has(at(60), &one), "it is over");
        }
    }

    #[test]
    fn what_comes_twice_means_more_and_lasts_longer() {
        let revocations = Revocations::default();
        revocations.add(NOW, user("anna", 100), at(60), 1).expect("there is room");
        assert_eq!(revocations.add(NOW, user("anna", 50), at(90), 1), Ok(false));
        assert_eq!(revocations.add(NOW, user("anna", 100), at(95), 1), Ok(false), "only longer");
        assert!(revocations.has(at(89), &token("anna", "", 99)));
        assert_eq!(revocations.add(NOW, user("anna", 200), at(10), 1), Ok(true));
        assert!(revocations.has(at(89), &token("anna", "", 199)));
    }

    #[test]
    fn a_hub_that_has_too_many_says_so_until_some_have_ended() {
        let revocations = Revocations::default();
        for id in ["1", "2"] {
            revocations.add(NOW, Revoked::Id(TextMark::of(id)), at(60), 2).expect("there is room");
        }
        let third = Revoked::Id(TextMark::of("3"));
        assert_eq!(revocations.add(at(59), third, at(90), 2), Err(Full));
        assert!(!revocations.has(at(59), &token("", "3", 0)));
        revocations.add(at(60), third, at(90), 2).expect("the others have ended");
        assert!(revocations.has(at(60), &token("", "3", 0)));
    }
}
