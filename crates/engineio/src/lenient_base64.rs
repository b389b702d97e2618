//! Base64 as Node.js reads it: nothing is an error.

use alloc::vec::Vec;

/// Decodes the standard and the URL-safe alphabet mixed; skips every other character; ends at the
/// first `=`; drops the bits that make no whole byte.
pub(crate) fn decode_lenient(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut bits = 0_u32;
    let mut bit_count = 0_u8;
    for character in text.bytes().take_while(|byte| *byte != b'=') {
        let value = VALUES[usize::from(character)];
        if value == SKIPPED {
            continue;
        }
        bits = bits << 6 | u32::from(value);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count & 0xff) as u8);
        }
    }
    bytes
}

/// Marks the bytes that are in neither alphabet.
const SKIPPED: u8 = 0xff;

static VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut values = [SKIPPED; 256];
    let mut value = 0;
    while value < alphabet.len() {
        values[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    values[b'+' as usize] = 62;
    values[b'-' as usize] = 62;
    values[b'/' as usize] = 63;
    values[b'_' as usize] = 63;
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Buffer.from(text, "base64")` gives in Node.js 20.
    #[test]
    fn reads_what_node_reads() {
        for (text, expected) in [
            ("YWJj", &b"abc"[..]),
            ("YQ==", b"a"),
            ("YQ", b"a"),
            ("Y", b""),
            ("", b""),
            ("YQ==YQ==", b"a"),
            ("=YQ", b""),
            ("YWJj!ZGVm", b"abcdef"),
            ("YW\nJj", b"abc"),
            ("YW=JjZGVm", b"a"),
            ("YWJ=jZGVm", b"ab"),
            ("YWJj====ZGVm", b"abc"),
            ("YWJj\u{100}ZGVm", b"abcdef"),
            ("YWJjZé", b"abc"),
            ("Y-_Q", b"\x63\xef\xd0"),
            ("Y+/Q", b"\x63\xef\xd0"),
        ] {
            assert_eq!(decode_lenient(text), expected, "{text:?}");
        }
    }
}
