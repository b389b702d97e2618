//! Bytes as hex text.

/// Bytes from hex digits; white space between them is ignored.
///
/// # Panics
///
/// When `text` contains anything else, or half a byte: the test's vector is wrong.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digit = |c: char| c.to_digit(16).unwrap_or_else(|| panic!("{c:?} is no hex digit"));
    let digits: Vec<u32> = text.chars().filter(|c| !c.is_whitespace()).map(digit).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text:?}");
    let byte = |pair: &[u32]| u8::try_from(pair[0] << 4 | pair[1]).expect("two digits are a byte");
    digits.chunks_exact(2).map(byte).collect()
}

/// Lower-case hex digits without separators.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), bytes);
        assert_eq!(from_hex(" 00 aF\n10 "), [0, 0xaf, 0x10]);
    }

    #[test]
    #[should_panic(expected = "half a byte")]
    fn half_a_byte_is_a_mistake() {
        from_hex("00 1");
    }
}
