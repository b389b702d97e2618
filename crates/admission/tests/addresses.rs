//! Which addresses are one stranger.

use core::net::IpAddr;

use trunkline_admission::Address;

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
