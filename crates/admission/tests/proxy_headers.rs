//! Headers of the PROXY protocol: what they mean, in pieces and broken.

use core::net::IpAddr;

use proptest::prelude::*;
use trunkline_admission::proxy_header::{
    Decoded, PROXY_HEADER_BYTES_MAX, ProxyHeader, ProxyHeaderError, begins_like_proxy_header,
    decode,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short");
    [SIGNATURE, &[command, family], &length.to_be_bytes(), body].concat()
}

fn client(ip: &str, port: u16, secure: bool) -> ProxyHeader {
    ProxyHeader::Client { ip: ip.parse::<IpAddr>().expect("an address"), port, secure }
}

/// Addresses and ports of IPv4: 192.0.2.7:4711 to 10.0.0.1:443.
const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb];

fn v6() -> Vec<u8> {
    let mut body = [0; 36];
    body[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    body[15] = 7;
    body[31] = 1;
    body[32..].copy_from_slice(&[0x12, 0x67, 1, 0xbb]);
    body.to_vec()
}

fn good() -> Vec<(Vec<u8>, ProxyHeader)> {
    let tls =
        |flags: u8| [&V4[..], &[0x03, 0, 4, 1, 2, 3, 4, 0x20, 0, 5, flags, 0, 0, 0, 0]].concat();
    vec![
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n".to_vec(), client("192.0.2.7", 4711, false)),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n".to_vec(), client("2001:db8::7", 4711, false)),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 0 65535\r\n".to_vec(), client("192.0.2.7", 0, false)),
        (b"PROXY UNKNOWN\r\n".to_vec(), ProxyHeader::Own),
        (b"PROXY UNKNOWN whatever comes 1 2 3\r\n".to_vec(), ProxyHeader::Own),
        (v2(0x21, 0x11, &V4), client("192.0.2.7", 4711, false)),
        (v2(0x21, 0x21, &v6()), client("2001:db8::7", 4711, false)),
        (v2(0x21, 0x11, &tls(1)), client("192.0.2.7", 4711, true)),
        (v2(0x21, 0x11, &tls(6)), client("192.0.2.7", 4711, false)),
        (v2(0x21, 0x11, &[&V4[..], &[0x20, 0, 0]].concat()), client("192.0.2.7", 4711, false)),
        (v2(0x20, 0x00, b""), ProxyHeader::Own),
        (v2(0x20, 0x11, b"not even addresses"), ProxyHeader::Own),
        (v2(0x21, 0x00, b""), ProxyHeader::Own),
        (v2(0x21, 0x00, &[4, 0, 1, 9]), ProxyHeader::Own),
        (v2(0x21, 0x00, &V4), ProxyHeader::Own),
        (v2(0x21, 0x31, &[0; 216]), ProxyHeader::Own),
        (v2(0x21, 0x12, &V4), ProxyHeader::Own),
        (v2(0x21, 0x10, &V4), ProxyHeader::Own),
    ]
}

#[test]
fn a_header_means_the_same_in_one_piece_and_byte_by_byte() {
    for (bytes, header) in good() {
        let whole = [&bytes[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(decode(&whole), Ok(Decoded::Header(header, bytes.len())), "{whole:?}");
        assert!(begins_like_proxy_header(&whole));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Ok(Decoded::Incomplete), "{cut} of {bytes:?}");
        }
    }
}

#[test]
fn a_broken_header_is_refused_with_the_rule_that_it_breaks() {
    use ProxyHeaderError::*;
    let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    let cases: Vec<(Vec<u8>, ProxyHeaderError)> = vec![
        (b"GET / HTTP/1.1\r\n".to_vec(), Missing),
        (b"\x16\x03\x01".to_vec(), Missing),
        (b"\r\n\r\n\0\r\nQUIX".to_vec(), Missing),
        (b"proxy TCP4".to_vec(), Missing),
        (long, LineTooLong),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443 1\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.7  10.0.0.1 4711 443\r\n".to_vec(), Line),
        (b"PROXY TCP4 2001:db8::7 ::1 4711 443\r\n".to_vec(), Line),
        (b"PROXY TCP6 192.0.2.7 10.0.0.1 4711 443\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 +1 443\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 01 443\r\n".to_vec(), Line),
        (b"PROXY TCP4 192.0.2.007 10.0.0.1 1 443\r\n".to_vec(), Line),
        (b"PROXY UDP4 192.0.2.7 10.0.0.1 1 443\r\n".to_vec(), Line),
        (b"PROXY \r\n".to_vec(), Line),
        (b"PROXY TCP4 \xff 10.0.0.1 1 443\r\n".to_vec(), Line),
        (v2(0x11, 0x11, &V4), Command),
        (v2(0x22, 0x11, &V4), Command),
        (v2(0x21, 0x41, &V4), Family),
        (v2(0x21, 0x13, &V4), Family),
        (v2(0x21, 0x11, &V4[..11]), TooShort),
        (v2(0x21, 0x21, &V4), TooShort),
        (v2(0x21, 0x31, &[0; 215]), TooShort),
        (v2(0x21, 0x11, &[0; PROXY_HEADER_BYTES_MAX]), TooLong),
        (v2(0x20, 0x00, &[0; PROXY_HEADER_BYTES_MAX]), TooLong),
        (v2(0x21, 0x11, &[&V4[..], &[4, 0]].concat()), Field),
        (v2(0x21, 0x11, &[&V4[..], &[4, 0, 2, 1]].concat()), Field),
    ];
    for (bytes, error) in cases {
        assert_eq!(decode(&bytes), Err(error), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_wrong_length_is_refused_before_its_bytes_are_awaited() {
    let announced =
        |length: u16, family| [SIGNATURE, &[0x21, family], &length.to_be_bytes()].concat();
    assert_eq!(decode(&announced(u16::MAX, 0x11)), Err(ProxyHeaderError::TooLong));
    assert_eq!(decode(&announced(3, 0x11)), Err(ProxyHeaderError::TooShort));
}

proptest! {
    #[test]
    fn more_bytes_never_change_a_verdict(
        bytes in prop::collection::vec(any::<u8>(), 0..80), start in 0..20_usize, cut in 0..300_usize,
    ) {
        let good = good();
        let begin = good.get(start).map(|(bytes, _)| &bytes[..cut.min(bytes.len())]);
        let bytes = [begin.unwrap_or_default(), &bytes].concat();
        let whole = decode(&bytes);
        for end in 0..bytes.len() {
            match decode(&bytes[..end]) {
                Ok(Decoded::Incomplete) => (),
                verdict => prop_assert_eq!(verdict, whole),
            }
        }
        if let Ok(Decoded::Header(_, length)) = whole {
            prop_assert!(length <= bytes.len() && length <= PROXY_HEADER_BYTES_MAX);
        }
    }
}
