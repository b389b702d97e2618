//! Lists of addresses: what they contain, which lines are wrong, and how large they may be.

use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use trunkline_admission::{LINE_MISTAKES_MAX, Prefix, PrefixError, Prefixes};

fn list(text: &str) -> Prefixes {
    Prefixes::parse_list(text.as_bytes()).expect("a good list")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn a_list_has_addresses_prefixes_comments_and_either_end_of_line() {
    let list = list(
        "\u{feff}# bad ones\r\n192.0.2.7\r\n\n  10.0.0.0/8 # ours\n2001:db8::/32\n::ffff:198.51.100.0/120\n203.0.113.1",
    );
    for inside in [
        "192.0.2.7",
        "10.255.0.1",
        "2001:db8:ffff::1",
        "198.51.100.9",
        "::ffff:10.1.1.1",
        "203.0.113.1",
    ] {
        assert!(list.contains(ip(inside)), "{inside}");
    }
    for outside in
        ["192.0.2.8", "11.0.0.0", "9.255.255.255", "2001:db9::", "198.51.101.0", "::a00:1"]
    {
        assert!(!list.contains(ip(outside)), "{outside}");
    }
    assert!(Prefixes::default().is_empty());
    assert!(!Prefixes::default().contains(ip("0.0.0.0")));
}

#[test]
fn the_whole_internet_is_a_prefix() {
    let all = list("0.0.0.0/0\n::/0\n255.255.255.255\nffff::/16");
    assert_eq!(all.ranges(), 2);
    for inside in ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff::"] {
        assert!(all.contains(ip(inside)), "{inside}");
    }
}

#[test]
fn wrong_lines_are_named_and_nothing_is_returned() {
    let text = "10.0.0.1\n10.0.0.1/8\nexample.com\n# fine\n10.0.0.0/33\n::/129\n1.2.3.4/\n\u{1f600}\n10.0.0.0/+8\n::ffff:1.2.3.0/24";
    let mistakes = Prefixes::parse_list(text.as_bytes()).expect_err("a bad list");
    let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [2, 3, 5, 6, 7, 8, 9, 10]);
    let whole: Prefix = "10.0.0.0/8".parse().expect("a prefix");
    assert_eq!(mistakes[0].why, PrefixError::BitsAfter(whole));
    assert!(mistakes[0].why.to_string().contains("10.0.0.0/8"), "{}", mistakes[0].why);
    assert_eq!(
        (mistakes[1].text.as_str(), mistakes[1].why),
        ("example.com", PrefixError::NoAddress)
    );
    assert_eq!(mistakes[2].why, PrefixError::NoLength);
}

#[test]
fn a_file_that_is_no_list_gives_a_few_mistakes() {
    let noise: Vec<u8> =
        (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mistakes = Prefixes::parse_list(&noise).expect_err("noise");
    assert_eq!(mistakes.len(), LINE_MISTAKES_MAX);
    assert!(mistakes.iter().all(|mistake| mistake.text.chars().count() <= 64));
}

#[test]
fn a_million_addresses_take_eight_bytes_each() {
    let mut text = String::new();
    for number in 0..1_000_000_u32 {
        // In no order, and none touches another.
        let bits = number.wrapping_mul(2_654_435_761) & !1;
        writeln!(text, "{}", Ipv4Addr::from_bits(bits)).expect("a string");
    }
    let list = list(&text);
    assert!((990_000..=1_000_000).contains(&list.ranges()), "{}", list.ranges());
    assert!(list.contains(ip("0.0.0.0")));
    assert!(!list.contains(ip("0.0.0.1")));
}

fn prefixes() -> impl Strategy<Value = Vec<(IpAddr, u8)>> {
    let v4 = (0..64_u32, 24..=32_u8).prop_map(|(host, length)| {
        let bits = 0x0a00_0000 | host << 2;
        let kept = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        (IpAddr::from(Ipv4Addr::from_bits(bits & kept)), length)
    });
    let v6 = (0..64_u128, 118..=128_u8).prop_map(|(host, length)| {
        let bits = 0x2001_0db8 << 96 | host << 2;
        let kept = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        (IpAddr::from(Ipv6Addr::from_bits(bits & kept)), length)
    });
    prop::collection::vec(prop_oneof![v4, v6], 0..40)
}

/// Whether an address is in a prefix, bit by bit.
fn covers((network, length): (IpAddr, u8), ip: IpAddr) -> bool {
    let bits = |ip| match ip {
        IpAddr::V4(ip) => (4, u128::from(ip.to_bits()) << 96),
        IpAddr::V6(ip) => (6, ip.to_bits()),
    };
    let ((kind, network), (other, ip)) = (bits(network), bits(ip));
    let bit = |number: u128, index: u8| number >> (127 - index) & 1;
    kind == other && (0..length).all(|index| bit(network, index) == bit(ip, index))
}

proptest! {
    #[test]
    fn a_set_contains_what_one_of_its_prefixes_covers(prefixes in prefixes(), host in 0..300_u32) {
        let text: String =
            prefixes.iter().map(|(ip, length)| format!("{ip}/{length}\n")).collect();
        let set = list(&text);
        let v4 = IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 | host));
        let v6 = IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(host)));
        for ip in [v4, v6] {
            prop_assert_eq!(set.contains(ip), prefixes.iter().any(|prefix| covers(*prefix, ip)));
        }
        let again: Prefixes = text.lines().map(|line| line.parse::<Prefix>().expect("good")).collect();
        prop_assert_eq!(again, set);
    }

    #[test]
    fn a_prefix_is_written_as_it_is_read(prefixes in prefixes()) {
        for (ip, length) in prefixes {
            let prefix: Prefix = format!("{ip}/{length}").parse().expect("good");
            prop_assert_eq!(prefix.to_string().parse::<Prefix>(), Ok(prefix));
        }
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Prefixes::parse_list(&bytes);
    }
}
