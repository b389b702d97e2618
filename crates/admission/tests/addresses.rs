//! Which addresses are one stranger.

use core::net::IpAddr;

use trunkline_admission::{Address, is_private};

fn of(text: &str, ipv6_prefix: u8) -> Address {
    Address::of(text.parse::<IpAddr>().expect("an address"), ipv6_prefix)
}

#[test]
fn an_ipv4_address_is_one_stranger_however_it_is_written() {
    assert_eq!(of("192.0.2.1", 64), of("::ffff:192.0.2.1", 64));
    assert_ne!(of("192.0.2.1", 64), of("192.0.2.2", 64));
    assert_ne!(of("192.0.2.1", 1), of("192.0.2.2", 1), "the prefix is IPv6's");
    assert_eq!(of("192.0.2.1", 64).to_string(), "192.0.2.1");
}

#[test]
fn an_ipv6_network_is_one_stranger() {
    assert_eq!(of("2001:db8::1", 64), of("2001:db8::ffff:1:2:3", 64));
    assert_ne!(of("2001:db8::1", 64), of("2001:db8:0:1::1", 64));
    assert_eq!(of("2001:db8::1", 56), of("2001:db8:0:ff::1", 56));
    assert_ne!(of("2001:db8::1", 56), of("2001:db8:0:100::1", 56));
    assert_eq!(of("2001:db8::1", 128), of("2001:db8::2", 128), "no more than 64 bits count");
    assert_eq!(of("2001:db8::1", 0), of("fe80::1", 0));
    assert_eq!(of("2001:db8:1:2:3::1", 64).to_string(), "2001:db8:1:2::");
}

#[test]
fn no_address_is_the_place_of_all_others() {
    let strange = ["0.0.0.0", "255.255.255.255", "::", "::1", "200::", "ff02::1", "1.0.0.0"];
    let seen: std::collections::BTreeSet<_> = strange.iter().map(|ip| of(ip, 64)).collect();
    assert!(!seen.contains(&Address::OTHERS));
    assert_eq!(Address::OTHERS.to_string(), "other addresses");
}

#[test]
fn addresses_of_private_networks_are_known_and_their_neighbours_are_not() {
    let private = |text: &str| is_private(text.parse().expect("an address"));
    for text in [
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "127.9.9.9",
        "169.254.1.1",
        "100.64.0.0",
        "100.127.255.255",
        "::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "::ffff:10.0.0.1",
    ] {
        assert!(private(text), "{text}");
    }
    for text in [
        "9.255.255.255",
        "11.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.0.2.1",
        "100.63.255.255",
        "100.128.0.0",
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "2001:db8::1",
        "fe00::1",
        "fec0::1",
        "::ffff:8.8.8.8",
    ] {
        assert!(!private(text), "{text}");
    }
}
