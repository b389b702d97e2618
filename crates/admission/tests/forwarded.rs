//! The client that trusted proxies name in HTTP headers.

use core::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use trunkline_admission::forwarded::{Malformed, Named, read_forwarded, read_x_forwarded};

/// The proxies: 10.0.0.0/8 and 2001:db8::/32.
fn is_proxy(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 10,
        IpAddr::V6(ip) => ip.segments()[..2] == [0x2001, 0xdb8],
    }
}

fn lines<'a>(lines: &'a [&'a str]) -> impl DoubleEndedIterator<Item = &'a [u8]> {
    lines.iter().map(|line| line.as_bytes())
}

fn named(client: &str, secure: Option<bool>) -> Named {
    let client = (!client.is_empty()).then(|| {
        client.parse::<SocketAddr>().or_else(|_| client.parse().map(|ip: IpAddr| (ip, 0).into()))
    });
    Named { client: client.map(|client| client.expect("an address")), secure }
}

/// Lines of addresses, lines of schemes, the client, and whether it spoke TLS.
type XForwardedCase =
    (&'static [&'static str], &'static [&'static str], &'static str, Option<bool>);

#[test]
fn x_forwarded_for_is_read_from_its_end_to_the_first_stranger() {
    let cases: &[XForwardedCase] = &[
        (&["192.0.2.7"], &["https"], "192.0.2.7", Some(true)),
        (&["192.0.2.7"], &["HTTP"], "192.0.2.7", Some(false)),
        (&["192.0.2.7"], &[], "192.0.2.7", None),
        (&["192.0.2.7"], &["gopher"], "192.0.2.7", None),
        // Whatever the client itself has sent stands before its address.
        (&["127.0.0.1, 192.0.2.7"], &["https"], "192.0.2.7", Some(true)),
        (&["garbage, ,\"x, 192.0.2.7"], &[], "192.0.2.7", None),
        (&["1.1.1.1", "192.0.2.7"], &[], "192.0.2.7", None),
        // Trusted proxies are passed over, on one line or on several.
        (&["192.0.2.7, 10.1.1.1,10.2.2.2"], &["https"], "192.0.2.7", Some(true)),
        (&["192.0.2.7", "10.1.1.1"], &["https, http"], "192.0.2.7", Some(true)),
        (&["192.0.2.7, 10.1.1.1"], &["http", "https, http"], "192.0.2.7", Some(true)),
        (&["192.0.2.7"], &["https, http"], "192.0.2.7", Some(false)),
        (&["192.0.2.7, 2001:db8::1"], &[], "192.0.2.7", None),
        // All of them are proxies: a request of the first one.
        (&["10.1.1.1, 10.2.2.2"], &[], "10.1.1.1", None),
        // Nobody says where it came from before that.
        (&["192.0.2.7, unknown, 10.2.2.2"], &[], "10.2.2.2", None),
        (&["192.0.2.7, _hidden"], &["https"], "", Some(true)),
        (&[""], &[], "", None),
        (&[], &["https"], "", Some(true)),
        // Forms of an address.
        (&["192.0.2.7:4711"], &[], "192.0.2.7:4711", None),
        (&["[2001:dead::7]:4711"], &[], "[2001:dead::7]:4711", None),
        (&["2001:dead::7"], &[], "2001:dead::7", None),
        (&["[2001:dead::7]"], &[], "2001:dead::7", None),
        (&["::ffff:192.0.2.7"], &[], "::ffff:192.0.2.7", None),
        (&["192.0.2.7:65536"], &[], "", None),
        (&["[192.0.2.7]"], &[], "", None),
        (&["0300.0.2.7"], &[], "", None),
    ];
    for (addresses, schemes, client, secure) in cases {
        let read = read_x_forwarded(lines(addresses), lines(schemes), is_proxy);
        assert_eq!(read, named(client, *secure), "{addresses:?} {schemes:?}");
    }
}

#[test]
fn forwarded_is_read_from_its_end_to_the_first_stranger() {
    let cases: &[(&[&str], &str, Option<bool>)] = &[
        (&["for=192.0.2.7;proto=https;by=10.0.0.1"], "192.0.2.7", Some(true)),
        (&["For=\"192.0.2.7:4711\"; Proto=HTTP"], "192.0.2.7:4711", Some(false)),
        (&["for=\"[2001:dead::7]:4711\""], "[2001:dead::7]:4711", None),
        (&["for=\"[2001:dead::7]\""], "2001:dead::7", None),
        (&["for=[2001:dead::7]"], "2001:dead::7", None),
        (&["for=\"192.0.2.7:_port\""], "192.0.2.7", None),
        (&["for=\"\\1\\9\\2.0.2.7\""], "192.0.2.7", None),
        (&["for=1.1.1.1;proto=http, for=192.0.2.7;proto=https"], "192.0.2.7", Some(true)),
        (&["for=1.1.1.1", "for=192.0.2.7, for=10.1.1.1;proto=http"], "192.0.2.7", None),
        (&["for=192.0.2.7;proto=https,, ,for=10.1.1.1;proto=http,"], "192.0.2.7", Some(true)),
        (&["for=192.0.2.7, for=unknown, for=10.1.1.1"], "10.1.1.1", None),
        (&["for=_secret;proto=https"], "", Some(true)),
        (&["proto=https"], "", Some(true)),
        (&["for=\"a, for=1.1.1.1\", for=192.0.2.7"], "192.0.2.7", None),
        (&[""], "", None),
        (&[], "", None),
        // A broken line that nobody has to read.
        (&["for=\"", "for=192.0.2.7"], "192.0.2.7", None),
    ];
    for (text, client, secure) in cases {
        assert_eq!(read_forwarded(lines(text), is_proxy), Ok(named(client, *secure)), "{text:?}");
    }
}

#[test]
fn a_forwarded_line_whose_last_entry_cannot_be_told_is_malformed() {
    // A client sends an open quotation mark, and a proxy appends to the same line.
    for text in [
        "for=\", for=192.0.2.7",
        "for=\"\\, for=192.0.2.7",
        "for=1.1.1.1 for=192.0.2.7",
        "for, for=192.0.2.7",
        "for =192.0.2.7",
        "=192.0.2.7",
        "for=1.1.1.1;for=192.0.2.7",
        "for=\"1.1.1.1\"x",
        "\u{e9}=1",
    ] {
        assert_eq!(read_forwarded(lines(&[text]), is_proxy), Err(Malformed), "{text}");
    }
}

#[test]
fn a_list_of_thousands_is_read_only_in_part() {
    let long = format!("192.0.2.7{}", ", 10.0.0.1".repeat(5000));
    let read = read_x_forwarded(lines(&[&long]), lines(&[]), is_proxy);
    assert_eq!(read, named("10.0.0.1", None));
    let long = format!("for=192.0.2.7{}", ", for=10.0.0.1".repeat(5000));
    assert_eq!(read_forwarded(lines(&[&long]), is_proxy), Ok(named("10.0.0.1", None)));
}

proptest! {
    /// Whatever a client sends, a proxy that appends the client's address is believed.
    #[test]
    fn an_invention_does_not_change_the_client(invention in "[ -~]{0,80}") {
        let text = format!("{invention}, 192.0.2.7");
        let read = read_x_forwarded(lines(&[&text]), lines(&[]), is_proxy);
        prop_assert_eq!(read, named("192.0.2.7", None));
        let text = format!("{invention}, for=192.0.2.7");
        if let Ok(read) = read_forwarded(lines(&[&text]), is_proxy) {
            prop_assert_eq!(read, named("192.0.2.7", None));
        }
        let read = read_forwarded(lines(&[&invention, "for=192.0.2.7"]), is_proxy);
        prop_assert_eq!(read, Ok(named("192.0.2.7", None)));
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_forwarded([&bytes[..]].into_iter(), is_proxy);
        let _ = read_x_forwarded([&bytes[..]].into_iter(), [&bytes[..]].into_iter(), is_proxy);
    }
}
