//! Sets of IP addresses: a few prefixes of the configuration, or a file with a million of them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The mistakes of one file that are reported; a wrong file may have a million.
pub const LINE_MISTAKES_MAX: usize = 20;

/// An address, or all addresses with the same first bits: `192.0.2.0/24`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// The reason why a text is no [`Prefix`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PrefixError {
    /// The part before the slash is no IP address.
    #[error("is neither an IP address nor a prefix such as 192.0.2.0/24 or 2001:db8::/32")]
    NoAddress,
    /// The part after the slash is no number of bits that the address has.
    #[error("has a prefix length that is not a number of the address's bits")]
    NoLength,
    /// The address has bits after the prefix: one of the two is a typing mistake.
    #[error("has bits set after its prefix: write {0}, or the address alone")]
    BitsAfter(Prefix),
}

impl Prefix {
    const fn of(address: IpAddr) -> Self {
        let length = if address.is_ipv4() { 32 } else { 128 };
        Self { address, length }
    }

    /// The first and the last address.
    const fn range(self) -> Range {
        match self.address {
            IpAddr::V4(ip) => {
                let after = host_bits(128 - 32 + self.length) as u32;
                Range::V4(ip.to_bits() & !after, ip.to_bits() | after)
            }
            IpAddr::V6(ip) => {
                let after = host_bits(self.length);
                Range::V6(ip.to_bits() & !after, ip.to_bits() | after)
            }
        }
    }
}

/// A number of 128 bits with all bits set except the first `length`.
const fn host_bits(length: u8) -> u128 {
    match u128::MAX.checked_shr(length as u32) {
        Some(bits) => bits,
        None => 0,
    }
}

enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| PrefixError::NoAddress)?;
        let address = written.to_canonical();
        let Some(length) = length else { return Ok(Self::of(address)) };
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = length.parse::<u8>().ok().filter(|_| digits).ok_or(PrefixError::NoLength)?;
        // A prefix of IPv4 addresses written as IPv6 ones: ::ffff:192.0.2.0/120.
        let mapped = written.is_ipv6() && address.is_ipv4();
        let length = if mapped { length.checked_sub(96) } else { Some(length) };
        let most = Self::of(address).length;
        let length = length.filter(|length| *length <= most).ok_or(PrefixError::NoLength)?;
        let prefix = Self { address, length };
        let first: IpAddr = match prefix.range() {
            Range::V4(first, _) => Ipv4Addr::from_bits(first).into(),
            Range::V6(first, _) => Ipv6Addr::from_bits(first).into(),
        };
        if first != address {
            return Err(PrefixError::BitsAfter(Self { address: first, length }));
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == Self::of(self.address).length {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// A line of a list that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LineMistake {
    /// The number of the line, from 1.
    pub line: usize,
    /// The beginning of the line's text.
    pub text: String,
    /// What is wrong with it.
    pub why: PrefixError,
}

/// A set of addresses: sorted ranges that do not touch, so a lookup takes about twenty steps among
/// a million.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Prefixes {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Prefixes {
    /// Reads a list: one address or prefix per line; `#` begins a comment. Bytes that are not UTF-8
    /// are a mistake of their line.
    ///
    /// # Errors
    ///
    /// The first [`LINE_MISTAKES_MAX`] mistakes; nothing of the list is returned then.
    pub fn parse_list(bytes: &[u8]) -> Result<Self, Vec<LineMistake>> {
        let mut building = Building::default();
        let mut mistakes = Vec::new();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
            if line.is_empty() {
                continue;
            }
            let parsed = str::from_utf8(line).map_err(|_| PrefixError::NoAddress);
            match parsed.and_then(str::parse) {
                Ok(prefix) => building.add(prefix),
                Err(_) if mistakes.len() >= LINE_MISTAKES_MAX => break,
                Err(why) => {
                    let text = String::from_utf8_lossy(line).chars().take(64).collect();
                    mistakes.push(LineMistake { line: index + 1, text, why });
                }
            }
        }
        if mistakes.is_empty() { Ok(building.finish()) } else { Err(mistakes) }
    }

    /// Whether the set contains the address. An IPv4 address written as an IPv6 one is the IPv4
    /// address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => is_in(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => is_in(&self.v6, ip.to_bits()),
        }
    }

    /// Whether the set contains no address.
    pub const fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The ranges that the set consists of.
    pub const fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

impl FromIterator<Prefix> for Prefixes {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        let mut building = Building::default();
        for prefix in prefixes {
            building.add(prefix);
        }
        building.finish()
    }
}

#[derive(Default)]
struct Building(Prefixes);

impl Building {
    fn add(&mut self, prefix: Prefix) {
        match prefix.range() {
            Range::V4(first, last) => self.0.v4.push((first, last)),
            Range::V6(first, last) => self.0.v6.push((first, last)),
        }
    }

    fn finish(mut self) -> Prefixes {
        merge(&mut self.0.v4, |last| last.checked_add(1));
        merge(&mut self.0.v6, |last| last.checked_add(1));
        self.0
    }
}

/// Sorts ranges, and joins those that overlap or touch.
fn merge<T: Copy + Ord>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let touches = next(earlier.1).is_none_or(|next| later.0 <= next);
        if touches {
            earlier.1 = earlier.1.max(later.1);
        }
        touches
    });
    ranges.shrink_to_fit();
}

fn is_in<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after
        .checked_sub(1)
        .and_then(|index| ranges.get(index))
        .is_some_and(|(_, last)| address <= *last)
}
