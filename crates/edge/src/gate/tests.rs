//! Which addresses the rules concern.

use std::net::IpAddr;
use std::sync::Arc;

use trunkline_admission::Prefixes;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn set(lines: &str) -> Arc<Prefixes> {
    Arc::new(Prefixes::parse_list(lines.as_bytes()).expect("a good list"))
}

fn limits() -> Limits {
    Limits {
        address_streams_max: Some(2),
        address_sessions_max: Some(1),
        address_handshakes_per_second: Some(1),
        address_failures_per_second: Some(1),
        ..Limits::default()
    }
}

fn gate(rules: &AddressRules) -> Arc<Gate> {
    Arc::new(Gate::new(rules, &limits()))
}

#[test]
fn strangers_are_counted_and_exempt_addresses_and_trusted_proxies_are_not() {
    let rules = AddressRules {
        trusted_proxies: Some(set("10.0.0.0/8")),
        exempt: set("127.0.0.0/8\n::1"),
        ..AddressRules::default()
    };
    let gate = gate(&rules);
    let rules = gate.rules();
    for free in ["10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "::1"] {
        let streams: Vec<_> = (0..9).map(|_| gate.open_stream(&rules, ip(free))).collect();
        assert!(streams.iter().all(|stream| matches!(stream, Ok(None))), "{free}");
        let sessions: Vec<_> = (0..50).map(|_| gate.open_session(&rules, ip(free))).collect();
        assert!(sessions.iter().all(|session| matches!(session, Ok(None))), "{free}");
        assert!((0..99).all(|_| gate.fail(&rules, ip(free)).is_ok()), "{free}");
    }
    for stranger in ["192.0.2.1", "2001:db8::1"] {
        let streams: Vec<_> = (0..3).map(|_| gate.open_stream(&rules, ip(stranger))).collect();
        assert!(matches!(streams[..], [Ok(Some(_)), Ok(Some(_)), Err(Refused::Streams)]));
    }
}

#[test]
fn what_ends_gives_its_place_back() {
    let gate = gate(&AddressRules::default());
    let (rules, one) = (gate.rules(), ip("192.0.2.1"));
    let session = gate.open_session(&rules, one).expect("the first").expect("counted");
    assert_eq!(session.ip(), one);
    assert_eq!(gate.open_session(&rules, one).expect_err("one too many"), Refused::Sessions);
    let moved = gate.add_session(one);
    drop(session);
    assert_eq!(gate.open_session(&rules, one).expect_err("one is there"), Refused::Sessions);
    drop(moved);
    assert!(gate.open_session(&rules, one).expect("there is room").is_some());
    let streams = [gate.open_stream(&rules, one), gate.open_stream(&rules, one)];
    assert!(gate.open_stream(&rules, one).is_err());
    drop(streams);
    assert!(gate.open_stream(&rules, one).is_ok());
}

#[test]
fn an_ipv6_network_is_one_stranger_of_the_length_that_the_rules_say() {
    let gate = gate(&AddressRules { ipv6_prefix: 56, ..AddressRules::default() });
    let rules = gate.rules();
    let _first = gate.open_session(&rules, ip("2001:db8:0:1::1")).expect("the first");
    assert!(gate.open_session(&rules, ip("2001:db8:0:ff::9")).is_err());
    assert!(gate.open_session(&rules, ip("2001:db8:0:100::1")).is_ok());
}

#[test]
fn lists_are_for_clients_and_a_trusted_proxy_is_none() {
    let rules = AddressRules {
        trusted_proxies: Some(set("10.0.0.0/8")),
        allow: Some(set("192.0.2.0/24")),
        deny: set("192.0.2.66\n10.0.0.0/8"),
        ..AddressRules::default()
    };
    let rules = gate(&rules).rules();
    assert_eq!(rules.check(ip("192.0.2.1")), Ok(()));
    assert_eq!(rules.check(ip("192.0.2.66")), Err(Refused::Denied));
    assert_eq!(rules.check(ip("198.51.100.1")), Err(Refused::NotAllowed));
    assert_eq!(rules.check(ip("10.0.0.1")), Ok(()));
    let everybody = gate(&AddressRules::default()).rules();
    assert_eq!(everybody.check(ip("198.51.100.1")), Ok(()));
}

#[test]
fn a_reader_sees_changed_rules_and_counts_stay() {
    let gate = gate(&AddressRules::default());
    let mut reader = RulesReader::new(&gate);
    let one = ip("192.0.2.1");
    let _session = gate.open_session(reader.rules(), one).expect("the first");
    assert_eq!(reader.rules().check(one), Ok(()));
    let denied = AddressRules { deny: set("192.0.2.1"), ..AddressRules::default() };
    let more = Limits { address_sessions_max: Some(2), ..limits() };
    gate.set(&denied, &more);
    assert_eq!(reader.rules().check(one), Err(Refused::Denied));
    let _second = gate.open_session(reader.rules(), one).expect("two are allowed now");
    assert_eq!(gate.open_session(reader.rules(), one).expect_err("three"), Refused::Sessions);
}

#[test]
fn a_proxy_that_nobody_named_has_limits_once_proxies_are_named() {
    let gate = gate(&AddressRules::default());
    let (rules, proxy) = (gate.rules(), ip("10.2.0.1"));
    let _stream = gate.open_stream(&rules, proxy);
    gate.note_forwards(&rules, proxy, 0);
    let sessions: Vec<_> = (0..9).map(|_| gate.open_session(&rules, proxy)).collect();
    assert!(sessions.iter().all(Result::is_ok));
    gate.set(
        &AddressRules { trusted_proxies: Some(Arc::default()), ..AddressRules::default() },
        &limits(),
    );
    assert!(gate.open_session(&gate.rules(), proxy).is_err());
}

#[test]
fn a_stranger_who_claims_to_be_a_proxy_keeps_its_limits() {
    let gate = gate(&AddressRules::default());
    let (rules, stranger) = (gate.rules(), ip("192.0.2.1"));
    let _stream = gate.open_stream(&rules, stranger);
    gate.note_forwards(&rules, stranger, 0);
    let sessions: Vec<_> = (0..9).map(|_| gate.open_session(&rules, stranger)).collect();
    assert_eq!(sessions.iter().filter(|session| session.is_ok()).count(), 1);
}
