//! The header of the PROXY protocol, versions 1 and 2, with which a proxy says whose stream it
//! forwards. Source: "The PROXY protocol", HAProxy, 2020/03/05.
//!
//! [`decode`] looks at the first bytes of a stream and takes none of them: a header in pieces is
//! decoded again from its beginning.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bytes with which a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The bytes with which a header of version 1 begins.
const WORD: &[u8; 6] = b"PROXY ";
/// The longest header of version 1, with its end of line (section 2.1).
const LINE_BYTES_MAX: usize = 107;
/// The bytes of version 2 before the addresses.
const FIXED_BYTES: usize = 16;

/// The longest header. Version 2 could have 65,551 bytes; with every field in use, and a client's
/// certificate named, it has some hundred.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

/// The meaning of a header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyHeader {
    /// The stream is the proxy's own, such as a health check, or the proxy does not know or cannot
    /// say whose it is: it counts as the proxy's.
    Own,
    /// The stream of this client.
    Client {
        /// The client's address and port.
        ip: IpAddr,
        /// Its port.
        port: u16,
        /// Whether the client spoke TLS with the proxy.
        secure: bool,
    },
}

/// What the first bytes of a stream are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decoded {
    /// The beginning of a header.
    Incomplete,
    /// A header, and its length in bytes.
    Header(ProxyHeader, usize),
}

/// The rule that a header breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProxyHeaderError {
    /// The bytes are something else, such as a request.
    #[error("the stream does not begin with a header of the PROXY protocol")]
    Missing,
    /// Version 1: no end of line within the longest line.
    #[error("the line of the header does not end within 107 bytes")]
    LineTooLong,
    /// Version 1: not five fields, or one of them is wrong.
    #[error("the line of the header is malformed")]
    Line,
    /// Version 2: a version or command that does not exist.
    #[error("the header has an unknown version or command")]
    Command,
    /// Version 2: a family that does not exist.
    #[error("the header has an unknown family of addresses")]
    Family,
    /// Version 2: fewer bytes than the addresses of its family take.
    #[error("the header is too short for its addresses")]
    TooShort,
    /// Version 2: more bytes than [`PROXY_HEADER_BYTES_MAX`].
    #[error("the header is too long")]
    TooLong,
    /// Version 2: a field after the addresses does not fit.
    #[error("a field of the header reaches beyond its end")]
    Field,
}

/// Whether bytes begin like a header. Enough for telling one from a request: no method is `PROXY`,
/// and no request line has such ends of lines before it.
pub fn begins_like_proxy_header(bytes: &[u8]) -> bool {
    bytes.starts_with(WORD) || bytes.starts_with(SIGNATURE)
}

/// Decodes the header with which `bytes` begin.
///
/// # Errors
///
/// There is none, or it is malformed, however the stream continues.
pub fn decode(bytes: &[u8]) -> Result<Decoded, ProxyHeaderError> {
    if is_start_of(bytes, SIGNATURE) {
        return decode_v2(bytes);
    }
    if is_start_of(bytes, WORD) {
        return decode_v1(bytes);
    }
    Err(ProxyHeaderError::Missing)
}

/// Whether the bytes that are there so far are those of `word`.
fn is_start_of(bytes: &[u8], word: &[u8]) -> bool {
    let there = bytes.len().min(word.len());
    bytes[..there] == word[..there]
}

fn decode_v1(bytes: &[u8]) -> Result<Decoded, ProxyHeaderError> {
    let within = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        let is_over = bytes.len() >= LINE_BYTES_MAX;
        return if is_over { Err(ProxyHeaderError::LineTooLong) } else { Ok(Decoded::Incomplete) };
    };
    let line = str::from_utf8(&bytes[..end]).map_err(|_| ProxyHeaderError::Line)?;
    let mut fields = line.split(' ').skip(1);
    let header = match fields.next() {
        // What follows is to be ignored.
        Some("UNKNOWN") => ProxyHeader::Own,
        Some("TCP4") => client_v1::<Ipv4Addr>(fields)?,
        Some("TCP6") => client_v1::<Ipv6Addr>(fields)?,
        Some(_) | None => return Err(ProxyHeaderError::Line),
    };
    Ok(Decoded::Header(header, end + 2))
}

/// The rest of a line: source, destination, their ports.
fn client_v1<'a, A: core::str::FromStr + Into<IpAddr>>(
    mut fields: impl Iterator<Item = &'a str>,
) -> Result<ProxyHeader, ProxyHeaderError> {
    let mut next = || fields.next().ok_or(ProxyHeaderError::Line);
    let address = |text: &str| text.parse::<A>().map_err(|_| ProxyHeaderError::Line);
    let (source, _) = (address(next()?)?, address(next()?)?);
    let (port, _) = (port_of(next()?)?, port_of(next()?)?);
    if fields.next().is_some() {
        return Err(ProxyHeaderError::Line);
    }
    Ok(ProxyHeader::Client { ip: source.into(), port, secure: false })
}

/// A port: digits only, without zeros before them.
fn port_of(text: &str) -> Result<u16, ProxyHeaderError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(ProxyHeaderError::Line)
}

fn decode_v2(bytes: &[u8]) -> Result<Decoded, ProxyHeaderError> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_BYTES) else {
        return Ok(Decoded::Incomplete);
    };
    let (command, family) = (fixed[12], fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError::Command),
    };
    // Low half: 0 unspecified, 1 stream, 2 datagram.
    let addresses = match (family >> 4, family & 0x0f) {
        (0, 0..=2) => 0,
        (1, 0..=2) => 12,
        (2, 0..=2) => 36,
        (3, 0..=2) => 216,
        _ => return Err(ProxyHeaderError::Family),
    };
    if FIXED_BYTES + length > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyHeaderError::TooLong);
    }
    // A local stream's addresses are to be ignored, whatever they are.
    if !is_local && length < addresses {
        return Err(ProxyHeaderError::TooShort);
    }
    let Some(body) = rest.get(..length) else { return Ok(Decoded::Incomplete) };
    let header = if is_local { ProxyHeader::Own } else { client_v2(family, body, addresses)? };
    Ok(Decoded::Header(header, FIXED_BYTES + length))
}

fn client_v2(family: u8, body: &[u8], addresses: usize) -> Result<ProxyHeader, ProxyHeaderError> {
    let (addresses, fields) = body.split_at_checked(addresses).ok_or(ProxyHeaderError::TooShort)?;
    if family >> 4 == 0 {
        // Nobody can tell where its addresses end.
        return Ok(ProxyHeader::Own);
    }
    let secure = has_tls(fields)?;
    let (ip, port): (IpAddr, &[u8]) = match (family, addresses) {
        (0x11, [a, b, c, d, _, _, _, _, port @ ..]) => (Ipv4Addr::new(*a, *b, *c, *d).into(), port),
        (0x21, addresses) => {
            let (source, rest) = addresses.split_at(16);
            let source: [u8; 16] = source.try_into().map_err(|_| ProxyHeaderError::TooShort)?;
            (Ipv6Addr::from(source).into(), rest.get(16..).unwrap_or_default())
        }
        // Unspecified, datagrams, and sockets of the proxy's own machine.
        _ => return Ok(ProxyHeader::Own),
    };
    let [high, low, ..] = *port else { return Err(ProxyHeaderError::TooShort) };
    Ok(ProxyHeader::Client { ip, port: u16::from_be_bytes([high, low]), secure })
}

/// Whether one of the fields (type, length of two bytes, value) says that the client spoke TLS.
fn has_tls(mut fields: &[u8]) -> Result<bool, ProxyHeaderError> {
    const TLS: u8 = 0x20;
    const BY_TLS: u8 = 0x01;
    let mut secure = false;
    while let [kind, high, low, rest @ ..] = fields {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, after) = rest.split_at_checked(length).ok_or(ProxyHeaderError::Field)?;
        secure |= *kind == TLS && value.first().is_some_and(|flags| flags & BY_TLS != 0);
        fields = after;
    }
    if fields.is_empty() { Ok(secure) } else { Err(ProxyHeaderError::Field) }
}
