//! Targets of the crate `admission`.

use std::net::{IpAddr, Ipv6Addr};

use trunkline_admission::{Prefix, Prefixes};

/// Lists of prefixes, then the 16 bytes of an address that is looked up in them.
pub const LIST_SEEDS: &[&[u8]] = &[
    b"192.0.2.0/24\n198.51.100.7 # one\n\n2001:db8::/32\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01",
    b"0.0.0.0/0\n::/0\n10.0.0.0/8\r\n\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
    b"\xef\xbb\xbf::ffff:192.0.2.0/120\n192.0.3.0/24\n#\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x03\xff",
];

/// Any list is refused, or has the addresses that its lines have one by one; each line reads the
/// same again after being printed.
pub fn list(data: &[u8]) {
    let Some((text, bits)) = data.split_last_chunk::<16>() else { return };
    let Ok(list) = Prefixes::parse_list(text) else { return };
    let address = IpAddr::from(Ipv6Addr::from(*bits));
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.split(|byte| *byte == b'#').next().unwrap_or_default());
    let lines = lines.map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let mut is_in_one = false;
    for line in lines {
        let line = std::str::from_utf8(line).expect("other bytes are a mistake");
        let prefix: Prefix = line.parse().expect("other text is a mistake");
        assert_eq!(prefix.to_string().parse(), Ok(prefix));
        is_in_one |= Prefixes::from_iter([prefix]).contains(address);
    }
    assert_eq!(list.contains(address), is_in_one, "{address}");
}
