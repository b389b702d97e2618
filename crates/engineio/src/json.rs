//! Text inside JSON.

use alloc::string::String;
use core::fmt::Write as _;

/// Appends `text` as JSON, escaped exactly as `JSON.stringify` escapes it.
pub(crate) fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            control if control < ' ' => {
                write!(json, "\\u{:04x}", u32::from(control)).expect("a string takes all text");
            }
            plain => json.push(plain),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_are_those_of_javascript() {
        let mut json = String::new();
        push_json_string(&mut json, "a\"\\\n\r\t\u{8}\u{c}\u{1}é\u{7f}/");
        assert_eq!(json, "\"a\\\"\\\\\\n\\r\\t\\b\\f\\u0001é\u{7f}/\"");
    }
}
