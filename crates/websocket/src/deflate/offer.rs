//! What a client offers: the header `Sec-WebSocket-Extensions` (RFC 6455, section 9.1), and in it
//! the parameters of permessage-deflate (RFC 7692, section 7.1).

use alloc::vec::Vec;

use super::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};

const NAME: &[u8] = b"permessage-deflate";

/// Why a client's offer ends its handshake: status 400, as `ws` answers it. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum OfferRefused {
    /// The header is not a list of extensions.
    #[error("the header Sec-WebSocket-Extensions is malformed")]
    Malformed,
    /// None of the offers fits the server's own window settings.
    #[error("no offer of permessage-deflate can be accepted")]
    NoneAcceptable,
    /// An offer names a parameter twice.
    #[error("a parameter of permessage-deflate is repeated")]
    ParameterRepeated,
    /// An offer names a parameter that RFC 7692 does not.
    #[error("a parameter of permessage-deflate is unknown")]
    ParameterUnknown,
    /// A parameter has a value that it may not have, or none though it needs one.
    #[error("a parameter of permessage-deflate has an invalid value")]
    ValueInvalid,
}

/// One offer of permessage-deflate. A client may make several, the one it likes best first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Offer {
    /// In the client's order, each name once.
    pub(super) params: Vec<Param>,
}

/// A parameter of an offer or of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Param {
    /// None, in an offer alone: the server may choose.
    ClientMaxWindowBits(Option<u8>),
    ClientNoContextTakeover,
    ServerMaxWindowBits(u8),
    ServerNoContextTakeover,
}

impl Offer {
    /// Every offer of permessage-deflate in a header, in order; other extensions are passed over.
    /// Several headers of this name are one, joined with commas.
    ///
    /// # Errors
    ///
    /// The rule that the header breaks; one bad offer spoils them all.
    pub fn parse_all(header: &[u8]) -> Result<Vec<Self>, OfferRefused> {
        let mut extensions = Cursor::new(header)?;
        let mut offers = Vec::new();
        // A header that is malformed further on outweighs an offer that is wrong in itself.
        let mut first_wrong = Ok(());
        loop {
            let (name, params) = extensions.extension()?;
            if name == NAME {
                match Self::of(&params) {
                    Ok(offer) => offers.push(offer),
                    Err(refused) => first_wrong = first_wrong.and(Err(refused)),
                }
            }
            if extensions.is_at_end() {
                return first_wrong.map(|()| offers);
            }
            extensions.expect(b',')?;
        }
    }

    /// The largest window that the client lets the server use, as a power of two.
    pub(super) fn server_max_window_bits(&self) -> Option<u8> {
        self.params.iter().find_map(|param| match param {
            Param::ServerMaxWindowBits(bits) => Some(*bits),
            Param::ClientMaxWindowBits(_)
            | Param::ClientNoContextTakeover
            | Param::ServerNoContextTakeover => None,
        })
    }

    /// Some when the client can be told a window; the inner value is the largest that it wants.
    pub(super) fn client_max_window_bits(&self) -> Option<Option<u8>> {
        self.params.iter().find_map(|param| match param {
            Param::ClientMaxWindowBits(bits) => Some(*bits),
            Param::ClientNoContextTakeover
            | Param::ServerMaxWindowBits(_)
            | Param::ServerNoContextTakeover => None,
        })
    }

    fn of(raw: &[(&[u8], Option<Vec<u8>>)]) -> Result<Self, OfferRefused> {
        let mut params = Vec::with_capacity(raw.len());
        for (at, (name, value)) in raw.iter().enumerate() {
            if raw[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(OfferRefused::ParameterRepeated);
            }
            params.push(Param::of(name, value.as_deref())?);
        }
        Ok(Self { params })
    }
}

impl Param {
    fn of(name: &[u8], value: Option<&[u8]>) -> Result<Self, OfferRefused> {
        match (name, value) {
            (b"client_max_window_bits", None) => Ok(Self::ClientMaxWindowBits(None)),
            (b"client_max_window_bits", Some(bits)) => {
                window_bits(bits).map(|bits| Self::ClientMaxWindowBits(Some(bits)))
            }
            (b"client_no_context_takeover", None) => Ok(Self::ClientNoContextTakeover),
            (b"server_max_window_bits", Some(bits)) => {
                window_bits(bits).map(Self::ServerMaxWindowBits)
            }
            (b"server_no_context_takeover", None) => Ok(Self::ServerNoContextTakeover),
            (
                b"client_no_context_takeover"
                | b"server_max_window_bits"
                | b"server_no_context_takeover",
                _,
            ) => Err(OfferRefused::ValueInvalid),
            _ => Err(OfferRefused::ParameterUnknown),
        }
    }
}

/// Section 7.1.2. `ws` reads the number as JavaScript does, so that `1e1` is ten there; here it is
/// decimal digits, with the leading zeros that `ws` lets pass.
fn window_bits(value: &[u8]) -> Result<u8, OfferRefused> {
    let number = core::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
    number
        .filter(|bits| (WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(bits))
        .ok_or(OfferRefused::ValueInvalid)
}

/// A parameter as it is written: a name, and a value without its quotes.
type RawParam<'a> = (&'a [u8], Option<Vec<u8>>);

/// A place in a header.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(header: &'a [u8]) -> Result<Self, OfferRefused> {
        let edges = [header.first(), header.last()];
        if edges.into_iter().flatten().any(|byte| is_space(*byte)) {
            return Err(OfferRefused::Malformed);
        }
        Ok(Self { rest: header })
    }

    fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn extension(&mut self) -> Result<(&'a [u8], Vec<RawParam<'a>>), OfferRefused> {
        let name = self.spaced_token()?;
        let mut params = Vec::new();
        self.skip_spaces();
        while self.take(b';') {
            let param = self.spaced_token()?;
            let value = if self.take(b'=') { Some(self.value()?) } else { None };
            params.push((param, value));
            self.skip_spaces();
        }
        Ok((name, params))
    }

    fn spaced_token(&mut self) -> Result<&'a [u8], OfferRefused> {
        self.skip_spaces();
        self.token()
    }

    fn value(&mut self) -> Result<Vec<u8>, OfferRefused> {
        if self.take(b'"') { self.quoted() } else { self.token().map(<[u8]>::to_vec) }
    }

    /// After the first quote. What is inside must be a token when its backslashes are gone
    /// (RFC 6455, section 9.1).
    fn quoted(&mut self) -> Result<Vec<u8>, OfferRefused> {
        let mut value = Vec::new();
        while !self.take(b'"') {
            let _ = self.take(b'\\');
            let (byte, rest) = self.rest.split_first().ok_or(OfferRefused::Malformed)?;
            if !is_token(*byte) {
                return Err(OfferRefused::Malformed);
            }
            value.push(*byte);
            self.rest = rest;
        }
        if value.is_empty() { Err(OfferRefused::Malformed) } else { Ok(value) }
    }

    fn token(&mut self) -> Result<&'a [u8], OfferRefused> {
        let len = self.rest.iter().take_while(|byte| is_token(**byte)).count();
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        if token.is_empty() { Err(OfferRefused::Malformed) } else { Ok(token) }
    }

    fn skip_spaces(&mut self) {
        let len = self.rest.iter().take_while(|byte| is_space(**byte)).count();
        self.rest = &self.rest[len..];
    }

    fn take(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, byte: u8) -> Result<(), OfferRefused> {
        if self.take(byte) { Ok(()) } else { Err(OfferRefused::Malformed) }
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
