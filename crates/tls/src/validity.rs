//! The time in which a certificate is valid, read from its DER: RFC 5280, section 4.1.2.5.

/// Seconds of the Unix epoch, both inclusive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Validity {
    pub(crate) begins_s: i64,
    pub(crate) ends_s: i64,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// `[0]`, constructed: the version, which version 1 leaves out.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The validity of a certificate; `None` when it is not where it must be.
pub(crate) fn of(certificate: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest, VERSION)?.1;
    }
    rest = element(rest, INTEGER)?.1; // The serial number.
    rest = element(rest, SEQUENCE)?.1; // The signature's algorithm.
    rest = element(rest, SEQUENCE)?.1; // The issuer.
    let (validity, _) = element(rest, SEQUENCE)?;
    let (begins_s, rest) = time(validity)?;
    let (ends_s, _) = time(rest)?;
    Some(Validity { begins_s, ends_s })
}

/// The content of the first element, which must have this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = match first {
        0..0x80 => usize::from(first),
        0x81..=0x84 => {
            let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = after;
            digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit))
        }
        0x80 | 0x85.. => return None,
    };
    (*found == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// The time of the first element, and what follows it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let tag = *bytes.first()?;
    let (text, rest) = element(bytes, tag)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = match tag {
        UTC_TIME => {
            let (year, text) = text.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text)
        }
        GENERALIZED_TIME => {
            let (year, text) = text.split_at_checked(4)?;
            (number(year)?, text)
        }
        _ => return None,
    };
    (text.len() == 10).then_some(())?;
    let mut parts = [0; 5];
    for (part, digits) in parts.iter_mut().zip(text.as_bytes().chunks(2)) {
        *part = number(std::str::from_utf8(digits).ok()?)?;
    }
    let [month, day, hour, minute, second] = parts;
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day);
    (fits && hour < 24 && minute < 60 && second < 61).then_some(())?;
    let seconds = hour * 3600 + minute * 60 + second;
    Some((days_since_epoch(year, month, day) * 86_400 + seconds, rest))
}

fn number(digits: &str) -> Option<i64> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March here, so that the
/// leap day is the last one.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    const EPOCH: i64 = 719_468; // The days from 0000-03-01.
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<i64> {
        let mut bytes = vec![tag, u8::try_from(text.len()).expect("short")];
        bytes.extend_from_slice(text.as_bytes());
        time(&bytes).map(|(seconds, _)| seconds)
    }

    #[test]
    fn times_are_seconds_of_the_epoch() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "000229123456Z", 951_827_696),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (UTC_TIME, "500101000000Z", -631_152_000),
            (GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(seconds(tag, text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for (tag, text) in [
            (UTC_TIME, "000229123456"),
            (UTC_TIME, "0002291234Z"),
            (UTC_TIME, "001329123456Z"),
            (UTC_TIME, "0+0229123456Z"),
            (GENERALIZED_TIME, "000229123456Z"),
            (0x04, "000229123456Z"),
        ] {
            assert_eq!(seconds(tag, text), None, "{text}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_no_element() {
        assert_eq!(element(&[SEQUENCE, 3, 1, 2], SEQUENCE), None);
        assert_eq!(element(&[SEQUENCE, 0x80, 1, 2], SEQUENCE), None);
        assert_eq!(element(&[SEQUENCE, 0x82, 0], SEQUENCE), None);
        assert_eq!(element(&[SEQUENCE, 0x81, 1, 7, 8], SEQUENCE), Some((&[7][..], &[8][..])));
        assert_eq!(of(&[]), None);
    }
}
