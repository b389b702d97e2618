//! Numbers with units: `30s`, `500ms`, `1MiB`, `64KiB`, `4096`.

use core::time::Duration;

/// Units of time, largest first, in microseconds.
const TIMES: &[(&str, u64)] =
    &[("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Units of size, largest first, in bytes.
const SIZES: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads `30s`, `500ms`, `2m`, `1h`, `250us`. The error completes "`…` ".
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return Err(format!("needs a unit, as in {number}s or {number}ms"));
    }
    scale(number, unit, TIMES).map(Duration::from_micros)
}

/// Reads `4096`, `64KiB`, `1MiB`, `1GB`. The error completes "`…` ".
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    if unit.is_empty() { Ok(number) } else { scale(number, unit, SIZES) }
}

/// Reads a whole number. The error completes "`…` ".
pub(crate) fn parse_whole(text: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a whole number".into());
    }
    text.parse().map_err(|_| "is too large a number".into())
}

/// The shortest text that [`parse_duration`] reads as this.
pub(crate) fn show_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 { "0s".into() } else { show(micros, TIMES) }
}

/// The shortest text that [`parse_size`] reads as this, in powers of 1024.
pub(crate) fn show_size(bytes: u64) -> String {
    match bytes {
        0..1024 => bytes.to_string(),
        _ => {
            let text = show(bytes, &SIZES[..3]);
            if text.is_empty() { bytes.to_string() } else { text }
        }
    }
}

fn split(text: &str) -> Result<(u64, &str), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err("does not begin with a whole number".into());
    }
    let number = number.parse().map_err(|_| "is too large a number".to_owned())?;
    Ok((number, unit.trim_start()))
}

fn scale(number: u64, unit: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        return Err(format!("has the unit `{unit}`, which is none of {}", names.join(", ")));
    };
    number.checked_mul(*factor).ok_or_else(|| "is too large a number".into())
}

fn show(number: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, factor)| number.is_multiple_of(*factor));
    whole.map_or_else(String::new, |(name, factor)| format!("{}{name}", number / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        let cases = [
            ("30s", 30_000_000, "30s"),
            ("500ms", 500_000, "500ms"),
            ("1500ms", 1_500_000, "1500ms"),
            ("2m", 120_000_000, "2m"),
            ("90 s", 90_000_000, "90s"),
            ("1h", 3_600_000_000, "1h"),
            ("250us", 250, "250us"),
            ("0s", 0, "0s"),
        ];
        for (text, micros, shown) in cases {
            let read = parse_duration(text).unwrap();
            assert_eq!(read, Duration::from_micros(micros), "{text}");
            assert_eq!(show_duration(read), shown, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_shown() {
        let cases = [
            ("0", 0, "0"),
            ("4096", 4096, "4KiB"),
            ("1000", 1000, "1000"),
            ("1025", 1025, "1025"),
            ("64KiB", 65_536, "64KiB"),
            ("1MiB", 1_048_576, "1MiB"),
            ("3GiB", 3_221_225_472, "3GiB"),
            ("1MB", 1_000_000, "1000000"),
            ("16B", 16, "16"),
        ];
        for (text, bytes, shown) in cases {
            let read = parse_size(text).unwrap();
            assert_eq!(read, bytes, "{text}");
            assert_eq!(show_size(read), shown, "{text}");
            assert_eq!(parse_size(shown), Ok(read), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let cases = [
            (parse_duration("10").map(drop), "needs a unit, as in 10s or 10ms"),
            (parse_duration("").map(drop), "does not begin with a whole number"),
            (parse_duration("-1s").map(drop), "does not begin with a whole number"),
            (
                parse_duration("1.5s").map(drop),
                "has the unit `.5s`, which is none of h, m, s, ms, us",
            ),
            (parse_duration("99999999999999999999s").map(drop), "is too large a number"),
            (parse_duration("18446744073709551615h").map(drop), "is too large a number"),
            (
                parse_size("1mib").map(drop),
                "has the unit `mib`, which is none of GiB, MiB, KiB, GB, MB, kB, B",
            ),
            (parse_whole("1KiB").map(drop), "is not a whole number"),
            (parse_whole("many").map(drop), "is not a whole number"),
            (parse_whole("").map(drop), "is not a whole number"),
            (parse_whole("99999999999999999999").map(drop), "is too large a number"),
        ];
        for (got, want) in cases {
            assert_eq!(got, Err(want.to_owned()));
        }
    }
}
