//! The headers with which HTTP proxies name their client: `X-Forwarded-For` with
//! `X-Forwarded-Proto`, and `Forwarded` (RFC 7239).
//!
//! Each proxy appends the address from which it got the request. So the list is read from its end:
//! an address is believed as long as the one that appended it is trusted. The first address that is
//! not trusted is the client; whatever stands before it is the client's own invention.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use alloc::vec::Vec;

/// The most entries that are looked at. A request that went through more proxies does not exist.
const ENTRIES_MAX: usize = 64;

/// The client that trusted proxies name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Named {
    /// Its address and port; port 0 when it is not named. `None` when no proxy named an address.
    pub client: Option<SocketAddr>,
    /// Whether the client spoke TLS; `None` when no proxy says so.
    pub secure: Option<bool>,
}

/// `Forwarded` is not what RFC 7239, section 4, allows, so that nobody can say where its last entry
/// begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the header Forwarded is malformed")]
pub struct Malformed;

/// Reads `X-Forwarded-For` and `X-Forwarded-Proto`; each has its header lines in their order.
/// `is_trusted` says whether an address is a trusted proxy's.
pub fn read_x_forwarded<'a>(
    addresses: impl DoubleEndedIterator<Item = &'a [u8]>,
    schemes: impl DoubleEndedIterator<Item = &'a [u8]>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Named {
    let entries = from_the_end(addresses);
    let (client, hops) = walk(entries.map(node_of), is_trusted);
    // The scheme of the client's own hop, if each proxy appends one. A proxy that sets the header
    // instead leaves a single one.
    let mut secure = None;
    for scheme in from_the_end(schemes).take(hops.max(1)) {
        secure = secure_of(scheme);
    }
    Named { client, secure }
}

/// Reads `Forwarded`, whose header lines come in their order.
///
/// # Errors
///
/// A line that counts is malformed.
pub fn read_forwarded<'a>(
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Result<Named, Malformed> {
    let mut named = Named::default();
    let mut left = ENTRIES_MAX;
    for line in lines.rev() {
        for entry in elements_of(line)?.iter().rev() {
            let Some(after) = left.checked_sub(1) else { return Ok(named) };
            left = after;
            named.secure = entry.secure.or(named.secure);
            let Some(client) = entry.client else { return Ok(named) };
            named.client = Some(client);
            if !is_trusted(client.ip()) {
                named.secure = entry.secure;
                return Ok(named);
            }
        }
    }
    Ok(named)
}

/// Follows the entries until the first address that is not a trusted proxy's. Returns the last
/// address that is believed, and the number of entries up to it.
fn walk(
    entries: impl Iterator<Item = Option<SocketAddr>>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> (Option<SocketAddr>, usize) {
    let mut found = (None, 0);
    for (index, entry) in entries.enumerate() {
        let Some(address) = entry else { break };
        found = (Some(address), index + 1);
        if !is_trusted(address.ip()) {
            break;
        }
    }
    found
}

/// The entries of a list that may have several header lines, the last one first.
fn from_the_end<'a>(
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> impl Iterator<Item = &'a [u8]> {
    lines
        .rev()
        .flat_map(|line| line.rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty())
        .take(ENTRIES_MAX)
}

/// An address, with a port or without. An IPv6 address may have brackets, and has them with a port.
fn node_of(text: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(text).ok()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 0));
    }
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(inner) = inner {
        return inner.parse::<Ipv6Addr>().ok().map(|ip| SocketAddr::new(ip.into(), 0));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    // RFC 7239, section 6.3: a port may be hidden behind a name, too.
    let (address, port) = text.rsplit_once(':')?;
    if !port.starts_with('_') {
        return None;
    }
    let bare = !address.contains(':') || address.ends_with(']');
    if bare { node_of(address.as_bytes()).filter(|address| address.port() == 0) } else { None }
}

fn secure_of(scheme: &[u8]) -> Option<bool> {
    let is = |names: [&[u8]; 2]| names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
    if is([b"https", b"wss"]) {
        Some(true)
    } else if is([b"http", b"ws"]) {
        Some(false)
    } else {
        None
    }
}

/// What counts of one element of `Forwarded`.
#[derive(Clone, Copy, Debug, Default)]
struct Element {
    client: Option<SocketAddr>,
    secure: Option<bool>,
}

/// The elements of one header line, in their order.
fn elements_of(line: &[u8]) -> Result<Vec<Element>, Malformed> {
    let mut elements = Vec::new();
    let mut rest = line;
    loop {
        let (element, after) = element_of(rest)?;
        // Only the last entries count.
        if elements.len() == ENTRIES_MAX {
            elements.remove(0);
        }
        elements.extend(element);
        match after {
            Some(after) => rest = after,
            None => return Ok(elements),
        }
    }
}

/// The first element, if it is not empty, and what comes after its comma.
fn element_of(mut rest: &[u8]) -> Result<(Option<Element>, Option<&[u8]>), Malformed> {
    let mut element = None;
    let mut seen_for = false;
    loop {
        rest = rest.trim_ascii_start();
        let name_end = rest.iter().position(|byte| !is_token(*byte)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_end);
        rest = after;
        if !name.is_empty() {
            let after = rest.strip_prefix(b"=").ok_or(Malformed)?;
            let (value, after) = value_of(after)?;
            let into = element.get_or_insert_with(Element::default);
            if name.eq_ignore_ascii_case(b"for") {
                // Each parameter occurs once (section 4).
                if core::mem::replace(&mut seen_for, true) {
                    return Err(Malformed);
                }
                into.client = node_of(&value);
            } else if name.eq_ignore_ascii_case(b"proto") {
                into.secure = secure_of(&value);
            }
            rest = after.trim_ascii_start();
        }
        match rest {
            [] => return Ok((element, None)),
            [b',', after @ ..] => return Ok((element, Some(after))),
            [b';', after @ ..] => rest = after,
            _ => return Err(Malformed),
        }
    }
}

/// A token or a quoted string, and what comes after it. Brackets and colons count as of a token:
/// some proxies do not quote addresses that have them.
fn value_of(bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    let Some(quoted) = bytes.strip_prefix(b"\"") else {
        let is_value = |byte: u8| is_token(byte) || matches!(byte, b'[' | b']' | b':');
        let end = bytes.iter().position(|byte| !is_value(*byte)).unwrap_or(bytes.len());
        let (value, after) = bytes.split_at(end);
        return Ok((value.to_vec(), after));
    };
    let mut value = Vec::new();
    let mut bytes = quoted;
    loop {
        match bytes {
            [b'"', after @ ..] => return Ok((value, after)),
            [b'\\', escaped, after @ ..] => {
                value.push(*escaped);
                bytes = after;
            }
            [byte, after @ ..] => {
                value.push(*byte);
                bytes = after;
            }
            [] => return Err(Malformed),
        }
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
