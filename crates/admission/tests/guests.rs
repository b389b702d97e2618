//! The table of strangers in virtual time.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use proptest::prelude::*;
use trunkline_admission::{
    Address, Banned, Counts, Failed, Guests, Limits, Rate, StreamRefused, Timestamp,
};

fn address(number: u32) -> Address {
    Address::of(IpAddr::from(Ipv4Addr::from_bits(number)), 64)
}

fn at_s(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

const LIMITS: Limits = Limits {
    streams_max: Some(3),
    sessions_max: Some(2),
    handshakes: Some(Rate::new(1, 4)),
    failures: Some(Rate::new(10, 10)),
    forwarders_are_free: false,
};

#[test]
fn each_address_has_its_own_limits() {
    let (mut guests, now) = (Guests::new(100), at_s(0));
    for stranger in [1, 2] {
        let stranger = address(stranger);
        let opened: Vec<_> = (0..5).map(|_| guests.open_stream(stranger, &LIMITS, now)).collect();
        assert_eq!(opened[2], Ok(stranger));
        assert_eq!(opened[3], Err(StreamRefused::Full));
        assert_eq!((0..5).filter_map(|_| guests.open_session(stranger, &LIMITS, now)).count(), 2);
    }
    guests.close_stream(address(1), now);
    guests.close_session(address(2), now);
    assert!(guests.open_stream(address(1), &LIMITS, now).is_ok());
    assert!(guests.open_session(address(2), &LIMITS, now).is_some());
    assert!(guests.open_session(address(1), &LIMITS, now).is_none());
}

#[test]
fn a_session_from_another_node_counts_and_is_not_refused() {
    let (mut guests, now, one) = (Guests::new(100), at_s(0), address(1));
    for _ in 0..4 {
        assert_eq!(guests.add_session(one, now), one);
    }
    assert_eq!(guests.counts(one).sessions, 4);
    assert_eq!(guests.open_session(one, &LIMITS, now), None);
}

#[test]
fn handshakes_are_limited_by_rate() {
    let (mut guests, one) = (Guests::new(100), address(1));
    let taken = (0..9).filter(|_| guests.handshake(one, &LIMITS, at_s(0)).is_ok()).count();
    assert_eq!(taken, 4);
    assert_eq!(guests.handshake(one, &LIMITS, at_s(0)), Err(Duration::from_secs(1)));
    assert!(guests.handshake(address(2), &LIMITS, at_s(0)).is_ok());
    assert!(guests.handshake(one, &LIMITS, at_s(1)).is_ok());
}

#[test]
fn failures_get_cheap_answers_then_a_ban_that_ends() {
    let (mut guests, one, now) = (Guests::new(100), address(1), at_s(0));
    let failed: Vec<_> = (0..10).map(|_| guests.fail(one, &LIMITS, now)).collect();
    assert!(failed.iter().all(|failed| *failed == Failed::Within));
    assert_eq!(guests.fail(one, &LIMITS, now), Failed::Over(Duration::from_millis(100)));
    assert!(guests.open_stream(one, &LIMITS, now).is_ok(), "not banned yet");
    for _ in 0..40 {
        guests.fail(one, &LIMITS, now);
    }
    let banned = Banned(Duration::from_millis(100));
    assert_eq!(guests.banned(one, &LIMITS, now), Some(banned));
    assert_eq!(guests.open_stream(one, &LIMITS, now), Err(StreamRefused::Banned(banned)));
    assert!(guests.open_stream(address(2), &LIMITS, now).is_ok());
    // However often it fails, one second after the last failure the ban is over.
    for _ in 0..100_000 {
        guests.fail(one, &LIMITS, now);
    }
    assert_eq!(guests.banned(one, &LIMITS, now), Some(Banned(Duration::from_secs(1))));
    assert_eq!(guests.banned(one, &LIMITS, at_s(1)), None);
    assert!(guests.open_stream(one, &LIMITS, at_s(1)).is_ok());
}

#[test]
fn a_forwarder_is_free_only_where_that_is_wanted() {
    let (mut guests, one, now) = (Guests::new(100), address(1), at_s(0));
    let lenient = Limits { forwarders_are_free: true, ..LIMITS };
    assert_eq!(guests.note_forwards(one, true), Counts::default(), "it has nothing here");
    guests.open_stream(one, &lenient, now).expect("the first");
    let said = Counts { streams: 1, sessions: 0, forwards: false };
    assert_eq!(guests.note_forwards(one, false), said, "who only says so is as others");
    let opened: Vec<_> = (0..3).map(|_| guests.open_session(one, &lenient, now)).collect();
    assert_eq!(opened[2], None);
    let forwards = Counts { streams: 1, sessions: 2, forwards: true };
    assert_eq!(guests.note_forwards(one, true), forwards);
    assert_eq!(guests.note_forwards(one, false), forwards, "what was credible once stays so");
    for _ in 0..100 {
        assert!(guests.open_stream(one, &lenient, now).is_ok());
        assert!(guests.open_session(one, &lenient, now).is_some());
        assert!(guests.handshake(one, &lenient, now).is_ok());
        assert_eq!(guests.fail(one, &lenient, now), Failed::Within);
    }
    assert_eq!(guests.open_stream(one, &LIMITS, now), Err(StreamRefused::Full));
    assert_eq!(guests.open_session(one, &LIMITS, now), None);
}

#[test]
fn an_address_without_anything_counted_leaves_the_table() {
    let (mut guests, now) = (Guests::new(100), at_s(0));
    for number in 0..50 {
        let counted = guests.open_stream(address(number), &LIMITS, now).expect("the first");
        guests.close_stream(counted, now);
    }
    assert!(guests.is_empty());
    // A rate has no end of its own: later newcomers sweep such entries out.
    for number in 0..50 {
        guests.handshake(address(number), &LIMITS, now).expect("the first");
    }
    assert_eq!(guests.len(), 50);
    for number in 1000..1060 {
        guests.open_stream(address(number), &LIMITS, at_s(100)).expect("the first");
    }
    assert_eq!(guests.len(), 60);
}

#[test]
fn when_the_table_is_full_the_others_share_one_place() {
    let (mut guests, now) = (Guests::new(10), at_s(0));
    for number in 0..10 {
        guests.open_stream(address(number), &LIMITS, now).expect("the first");
    }
    let opened: Vec<_> = (100..400)
        .map_while(|number| guests.open_stream(address(number), &LIMITS, now).ok())
        .collect();
    assert_eq!(opened.len(), 3 * 64);
    assert!(opened.iter().all(|counted| *counted == Address::OTHERS));
    assert_eq!(guests.len(), 10);
    assert!(guests.open_stream(address(5), &LIMITS, now).is_ok(), "a known one is not concerned");
    // A newcomer that gets a place later does not get the blame for what it has among the others.
    guests.close_stream(address(0), now);
    assert_eq!(guests.open_stream(address(100), &LIMITS, now), Ok(address(100)));
    guests.close_stream(Address::OTHERS, now);
    assert_eq!(guests.counts(address(100)).streams, 1);
    assert_eq!(guests.counts(Address::OTHERS).streams, 3 * 64 - 1);
}

proptest! {
    /// However strangers come and go, the table stays within its bound and forgets everybody.
    #[test]
    fn what_is_opened_and_closed_leaves_nothing(
        steps in prop::collection::vec((0..30_u32, 0..5_u8, 0..3_u64), 0..400),
    ) {
        let (mut guests, mut now) = (Guests::new(8), 0);
        let (mut streams, mut sessions) = (Vec::new(), Vec::new());
        for (stranger, step, seconds) in steps {
            now += seconds;
            let stranger = address(stranger);
            match step {
                0 => streams.extend(guests.open_stream(stranger, &LIMITS, at_s(now)).ok()),
                1 => sessions.extend(guests.open_session(stranger, &LIMITS, at_s(now))),
                2 => if let Some(one) = streams.pop() { guests.close_stream(one, at_s(now)) },
                3 => if let Some(one) = sessions.pop() { guests.close_session(one, at_s(now)) },
                _ => { guests.fail(stranger, &LIMITS, at_s(now)); },
            }
            prop_assert!(guests.len() <= 8);
            let of = |counted: &[Address], one| counted.iter().filter(|it| **it == one).count() as u32;
            for one in (0..30).map(address) {
                let known = of(&streams, one) + of(&sessions, one) > 0;
                if known {
                    let counts = guests.counts(one);
                    prop_assert_eq!(counts.streams, of(&streams, one));
                    prop_assert_eq!(counts.sessions, of(&sessions, one));
                }
            }
            let others = guests.counts(Address::OTHERS);
            prop_assert_eq!(others.streams, of(&streams, Address::OTHERS));
            prop_assert_eq!(others.sessions, of(&sessions, Address::OTHERS));
        }
        for one in streams { guests.close_stream(one, at_s(now)) }
        for one in sessions { guests.close_session(one, at_s(now)) }
        // An hour later two newcomers per entry are enough to forget all others.
        for number in 0..20 {
            let counted = guests.open_stream(address(1000 + number), &LIMITS, at_s(now + 3600));
            let counted = counted.expect("the table has room");
            guests.close_stream(counted, at_s(now + 3600));
        }
        prop_assert!(guests.is_empty(), "{}", guests.len());
    }
}
