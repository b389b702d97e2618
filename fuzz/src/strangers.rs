//! A target of the crate `admission`: who the client is, and which page may connect.

use std::net::{IpAddr, Ipv4Addr};

use trunkline_admission::forwarded::{read_forwarded, read_x_forwarded};
use trunkline_admission::proxy_header::{
    Decoded, PROXY_HEADER_BYTES_MAX, ProxyHeader, begins_like_proxy_header, decode,
};
use trunkline_admission::{OriginPattern, Origins, Prefixes};

/// The first byte says what the rest is: a PROXY header, `X-Forwarded-For`, `Forwarded`, a list of
/// addresses, an origin.
pub const READ_SEEDS: &[&[u8]] = &[
    b"\x00PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n",
    b"\x00PROXY TCP6 2001:db8::7 ::1 4711 443\r\nGET / HTTP/1.1\r\n",
    b"\x00PROXY UNKNOWN\r\n",
    b"\x00\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x14\xc0\x00\x02\x07\x0a\x00\x00\x01\x12\x67\x01\xbb\x20\x00\x05\x01\0\0\0\0",
    b"\x00\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
    b"\x01127.0.0.1, 192.0.2.7:80, [2001:db8::7]:4711, unknown, 10.0.0.1",
    b"\x02for=1.1.1.1;proto=http, For=\"[2001:db8::7]:4711\";Proto=https;by=_x, for=10.0.0.1",
    b"\x03# scanners\r\n192.0.2.66\n198.51.100.0/24\n2001:db8:bad::/48\n",
    b"\x04https://a.example.com:8443",
];

/// Decoders of what strangers and proxies send.
pub fn read(data: &[u8]) {
    let Some((&which, rest)) = data.split_first() else { return };
    match which % 5 {
        0 => proxy_header(rest),
        1 => x_forwarded(rest),
        2 => forwarded(rest),
        3 => list(rest),
        _ => origin(rest),
    }
}

/// A verdict does not change when more bytes come, and a header takes no more than there is.
fn proxy_header(bytes: &[u8]) {
    let whole = decode(bytes);
    for end in 0..bytes.len().min(64) {
        match decode(&bytes[..end]) {
            Ok(Decoded::Incomplete) => (),
            verdict => assert_eq!(verdict, whole),
        }
    }
    if let Ok(Decoded::Header(header, length)) = whole {
        assert!(length <= bytes.len().min(PROXY_HEADER_BYTES_MAX));
        assert!(begins_like_proxy_header(bytes));
        if let ProxyHeader::Client { secure, .. } = header {
            assert!(!secure || bytes.starts_with(b"\r\n"), "version 1 knows no TLS");
        }
    }
}

fn is_proxy(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10)
}

const CLIENT: &[u8] = b"192.0.2.7";

/// Whatever a client has sent, the entry that a trusted proxy appends is the client.
fn x_forwarded(bytes: &[u8]) {
    let own = [bytes, b",", CLIENT].concat();
    for lines in [vec![&own[..]], vec![bytes, CLIENT]] {
        let named = read_x_forwarded(lines.into_iter(), [bytes].into_iter(), is_proxy);
        let client = named.client.map(|client| client.ip());
        assert_eq!(client, Some(Ipv4Addr::new(192, 0, 2, 7).into()));
    }
    let _ = read_x_forwarded([bytes].into_iter(), [bytes].into_iter(), is_proxy);
}

/// The same, or the line is refused as a whole.
fn forwarded(bytes: &[u8]) {
    let own = [bytes, b",for=", CLIENT].concat();
    for lines in [vec![&own[..]], vec![bytes, b"for=192.0.2.7"]] {
        let several = lines.len() > 1;
        match read_forwarded(lines.into_iter(), is_proxy) {
            Ok(named) => {
                let client = named.client.map(|client| client.ip());
                assert_eq!(client, Some(Ipv4Addr::new(192, 0, 2, 7).into()));
            }
            Err(_) => assert!(!several, "a line that nobody has to read"),
        }
    }
    let _ = read_forwarded([bytes].into_iter(), is_proxy);
}

/// A list that is read contains each of its lines' addresses, in any order of its lines.
fn list(bytes: &[u8]) {
    let Ok(set) = Prefixes::parse_list(bytes) else { return };
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    for line in &lines {
        if let Some(ip) = str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok()) {
            assert!(set.contains(ip));
        }
    }
    if !bytes.starts_with(b"\xef\xbb\xbf") {
        lines.reverse();
        if let Ok(again) = Prefixes::parse_list(&lines.join(&b'\n')) {
            assert_eq!(again, set);
        }
    }
}

/// What is read as a pattern without a star allows itself and is written as it is read.
fn origin(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(pattern) = text.parse::<OriginPattern>() else { return };
    assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()));
    let origins: Origins = [pattern].into_iter().collect();
    let is_origin = text.contains("://") && !text.contains('*');
    assert!(!is_origin || origins.allow(bytes));
    let _ = origins.allow(&[b"https://evil.example/", bytes].concat());
}
