//! The payloads of revision 3: `length:packet…` as text, and a binary form.

use crate::error::PeerMisbehaved;
use crate::protocol::Body;

/// The packets of a text payload, in order; ends after the first error. An empty record holds no
/// packet and is skipped.
///
/// npm reads a length as JavaScript reads a number, so `1e1:` means ten there; here a length must
/// be decimal digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextRecords<'a> {
    rest: Option<&'a str>,
}

impl<'a> TextRecords<'a> {
    pub(crate) fn new(payload: &'a str) -> Self {
        Self { rest: Some(payload) }
    }

    /// The bytes that are not read yet.
    pub(crate) fn rest_bytes(&self) -> usize {
        self.rest.map_or(0, str::len)
    }

    /// The next record and what follows it.
    fn split(payload: &'a str) -> Option<(&'a str, &'a str)> {
        let (length, rest) = payload.split_once(':')?;
        if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let length = length.parse().ok()?;
        Some(rest.split_at(utf16_offset(rest, length)?))
    }
}

impl<'a> Iterator for TextRecords<'a> {
    type Item = Result<Body<'a>, PeerMisbehaved>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.rest.take()?;
        loop {
            let Some((record, after)) = Self::split(rest) else {
                return Some(Err(PeerMisbehaved::PayloadMalformed));
            };
            if !record.is_empty() {
                self.rest = Some(after).filter(|after| !after.is_empty());
                return Some(Ok(Body::Text(record)));
            }
            if after.is_empty() {
                return None;
            }
            rest = after;
        }
    }
}

/// The byte offset that lies `units` UTF-16 code units into `text`; none when the text is shorter
/// or a character straddles it.
fn utf16_offset(text: &str, units: usize) -> Option<usize> {
    let mut missing = units;
    for (offset, character) in text.char_indices() {
        if missing == 0 {
            return Some(offset);
        }
        missing = missing.checked_sub(character.len_utf16())?;
    }
    (missing == 0).then_some(text.len())
}

/// The packets of a binary payload, in order; ends after the first error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BinaryRecords<'a> {
    rest: &'a [u8],
}

impl<'a> BinaryRecords<'a> {
    /// Checks the whole payload first, because npm delivers nothing of a malformed one.
    pub(crate) fn new(payload: &'a [u8]) -> Result<Self, PeerMisbehaved> {
        let records = Self { rest: payload };
        for record in records {
            record?;
        }
        Ok(records)
    }

    /// The rest of a payload that [`new`](Self::new) has checked.
    pub(crate) fn valid(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn rest_bytes(&self) -> usize {
        self.rest.len()
    }

    fn split(payload: &'a [u8]) -> Result<(Body<'a>, &'a [u8]), PeerMisbehaved> {
        let malformed = PeerMisbehaved::PayloadMalformed;
        let (kind, rest) = payload.split_first().ok_or(malformed)?;
        let digits_len = rest.iter().position(|byte| *byte == 255).ok_or(malformed)?;
        let (digits, rest) = rest.split_at(digits_len);
        let length = digits_value(digits).ok_or(malformed)?;
        let end = length.checked_add(1).filter(|end| *end <= rest.len()).ok_or(malformed)?;
        let record = &rest[1..end];
        let body = match kind {
            0 => Body::Text(core::str::from_utf8(record).map_err(|_| malformed)?),
            _ => Body::Binary(record),
        };
        Ok((body, &rest[end..]))
    }
}

impl<'a> Iterator for BinaryRecords<'a> {
    type Item = Result<Body<'a>, PeerMisbehaved>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match Self::split(self.rest) {
            Ok((body, rest)) => {
                self.rest = rest;
                Some(Ok(body))
            }
            Err(misbehaved) => {
                self.rest = &[];
                Some(Err(misbehaved))
            }
        }
    }
}

/// The number with these decimal digits, each a byte of value 0 to 9.
fn digits_value(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_usize, |value, digit| {
        let digit = usize::from(*digit);
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const MALFORMED: Result<Body<'_>, PeerMisbehaved> = Err(PeerMisbehaved::PayloadMalformed);

    #[test]
    fn text_lengths_count_utf16_code_units() {
        for (payload, expected) in [
            ("1:2", &[Ok(Body::Text("2"))][..]),
            ("6:4hello2:4€", &[Ok(Body::Text("4hello")), Ok(Body::Text("4€"))]),
            ("3:4😀", &[Ok(Body::Text("4😀"))]),
            ("0:1:6", &[Ok(Body::Text("6"))]),
            ("0:", &[]),
            ("01:6", &[Ok(Body::Text("6"))]),
            ("2:4😀", &[MALFORMED]),
            ("1:21:", &[Ok(Body::Text("2")), MALFORMED]),
            ("", &[MALFORMED]),
            (":", &[MALFORMED]),
            ("5", &[MALFORMED]),
            ("5:4", &[MALFORMED]),
            ("-1:4", &[MALFORMED]),
            ("+1:4", &[MALFORMED]),
            ("1:2x", &[Ok(Body::Text("2")), MALFORMED]),
            ("99999999999999999999999:4", &[MALFORMED]),
        ] {
            let records: Vec<_> = TextRecords::new(payload).collect();
            assert_eq!(records, expected, "{payload:?}");
        }
    }

    #[test]
    fn binary_records_have_a_kind_and_digits_as_bytes() {
        let payload = b"\x00\x03\xff4\xc3\xa9\x01\x01\x00\xff\x04123456789";
        let records: Vec<_> = BinaryRecords::new(payload).unwrap().collect();
        assert_eq!(records, [Ok(Body::Text("4é")), Ok(Body::Binary(b"\x04123456789"))]);
        assert_eq!(BinaryRecords::new(b"").unwrap().count(), 0);
        for broken in [
            &b"\x00"[..],
            b"\x00\x01",
            b"\x00\xff",
            b"\x00\x0a\xff4",
            b"\x00\x02\xff4",
            b"\x00\x01\xff\xc3",
            b"\x01\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff4",
        ] {
            assert!(BinaryRecords::new(broken).is_err(), "{broken:?}");
        }
    }
}
