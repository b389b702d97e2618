//! Checks whether a text is JSON, and of which type its outermost value is. Nothing is decoded or
//! kept.

use alloc::string::String;
use alloc::vec::Vec;

/// The outermost value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape<'a> {
    Array(First<'a>),
    Object,
    Other,
    String,
}

/// The first value of an array.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum First<'a> {
    Number,
    /// Anything else, or nothing.
    Other,
    /// A string with its escapes, from after the opening quote to the end of the whole text.
    String(&'a str),
}

/// `None` when `text` is not JSON (RFC 8259, as `JSON.parse` reads it: lone surrogates may be escaped).
pub(crate) fn shape(text: &str) -> Option<Shape<'_>> {
    let mut scanner = Scanner { rest: text.as_bytes() };
    scanner.value()?;
    if !scanner.rest.is_empty() {
        return None;
    }
    let text = text.trim_start_matches(is_space);
    Some(match text.as_bytes().first()? {
        b'{' => Shape::Object,
        b'"' => Shape::String,
        b'[' => Shape::Array(first(text[1..].trim_start_matches(is_space))),
        _ => Shape::Other,
    })
}

fn first(text: &str) -> First<'_> {
    match text.as_bytes().first() {
        Some(b'"') => First::String(&text[1..]),
        Some(b'-' | b'0'..=b'9') => First::Number,
        _ => First::Other,
    }
}

/// Whether the string that begins with `raw` (see [`First::String`]) equals `plain`, which is
/// ASCII, once its escapes are decoded.
pub(crate) fn string_is(raw: &str, plain: &str) -> bool {
    let mut rest = raw;
    for expected in plain.chars() {
        let mut chars = rest.chars();
        let c = match chars.next() {
            // No other escape stands for a letter or an underscore.
            Some('\\') if chars.next() == Some('u') => {
                let (hex, after) = chars.as_str().split_at_checked(4).unwrap_or_default();
                chars = after.chars();
                u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)
            }
            c => c,
        };
        if c != Some(expected) {
            return false;
        }
        rest = chars.as_str();
    }
    rest.starts_with('"')
}

/// The string that begins with `raw` (see [`First::String`]), with its escapes decoded. A lone
/// surrogate becomes U+FFFD.
pub(crate) fn decode_string(raw: &str) -> String {
    let mut decoded = String::new();
    let mut units: Vec<u16> = Vec::new();
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('u') => {
                    let (hex, after) = chars.as_str().split_at_checked(4).unwrap_or_default();
                    units.push(u16::from_str_radix(hex, 16).unwrap_or(0xfffd));
                    chars = after.chars();
                    continue;
                }
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(other) => other,
                None => break,
            },
            c => c,
        };
        flush(&mut units, &mut decoded);
        decoded.push(c);
    }
    flush(&mut units, &mut decoded);
    decoded
}

fn flush(units: &mut Vec<u16>, decoded: &mut String) {
    let chars = char::decode_utf16(units.drain(..));
    decoded.extend(chars.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// A scanner that uses no recursion, so that deep nesting costs one byte per level and no stack.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    /// Skips a value and the white space around it.
    fn value(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            self.space();
            match self.peek()? {
                bracket @ (b'[' | b'{') => {
                    self.bump();
                    self.space();
                    // In ASCII the closing bracket has the code of the opening one plus two.
                    if !self.take(bracket + 2) {
                        open.push(bracket);
                        self.key_in(bracket)?;
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => self.number()?,
            }
            if !self.close(&mut open)? {
                return Some(());
            }
        }
    }

    /// Closes the values that end here. True when another value follows.
    fn close(&mut self, open: &mut Vec<u8>) -> Option<bool> {
        loop {
            self.space();
            let Some(&bracket) = open.last() else { return Some(false) };
            if self.take(b',') {
                self.space();
                self.key_in(bracket)?;
                return Some(true);
            }
            if !self.take(bracket + 2) {
                return None;
            }
            open.pop();
        }
    }

    /// Skips a key and its colon, in an object.
    fn key_in(&mut self, bracket: u8) -> Option<()> {
        if bracket == b'[' {
            return Some(());
        }
        self.string()?;
        self.space();
        self.take(b':').then_some(())
    }

    fn string(&mut self) -> Option<()> {
        if !self.take(b'"') {
            return None;
        }
        loop {
            match self.bump()? {
                b'"' => return Some(()),
                b'\\' => match self.bump()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => (),
                    b'u' => {
                        for _ in 0..4 {
                            self.bump().filter(u8::is_ascii_hexdigit)?;
                        }
                    }
                    _ => return None,
                },
                0..0x20 => return None,
                _ => (),
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Some(())
    }

    /// Skips one or more digits.
    fn digits(&mut self) -> Option<()> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = &self.rest[count..];
        (count > 0).then_some(())
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.bump();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn bump(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.bump();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let cases = [
            ("{}", Some(Shape::Object)),
            (" { \"a\" : [ 1 , { } , [ ] ] , \"\" : null } \r\n", Some(Shape::Object)),
            ("\"\\ud800\\u00e9\\/é\"", Some(Shape::String)),
            ("-0.5e+10", Some(Shape::Other)),
            ("true", Some(Shape::Other)),
            ("[]", Some(Shape::Array(First::Other))),
            ("[ null]", Some(Shape::Array(First::Other))),
            ("[-1]", Some(Shape::Array(First::Number))),
            ("[ \"a\"]", Some(Shape::Array(First::String("a\"]")))),
        ];
        for (text, expected) in cases {
            assert_eq!(shape(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_json() {
        let texts = [
            "",
            " ",
            "[",
            "]",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "{",
            "{1:2}",
            "{\"a\"}",
            "{\"a\":}",
            "{]",
            "[}",
            "{\"a\":1,}",
            "[1}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "tru",
            "nul",
            "truex",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "'a'",
            "1 2",
            "[1 2]",
            "\u{a0}1",
            "NaN",
            "[1]]",
        ];
        for text in texts {
            assert_eq!(shape(text), None, "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let depth = 100_000;
        let text: String = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(shape(&text), Some(Shape::Array(First::Other)));
        assert_eq!(shape(&text[1..]), None);
    }

    #[test]
    fn escapes_are_undone() {
        let cases = [
            ("plain\"]", "plain"),
            ("\"", ""),
            ("\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\u{8}\u{c}\n\r\t"),
            ("\\u00e9\\ud83d\\ude00x\"", "é😀x"),
            ("\\ud83dx\\ude00\"", "\u{fffd}x\u{fffd}"),
            ("é😀\"", "é😀"),
        ];
        for (raw, expected) in cases {
            assert_eq!(decode_string(raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn strings_are_compared_without_their_escapes() {
        let cases = [
            ("connect\"", true),
            ("c\\u006Fnnect\"]", true),
            ("connect_error\"", false),
            ("connec\"", false),
            ("con\\nect\"", false),
            ("\\u00", false),
        ];
        for (raw, expected) in cases {
            assert_eq!(string_is(raw, "connect"), expected, "{raw:?}");
        }
    }
}
