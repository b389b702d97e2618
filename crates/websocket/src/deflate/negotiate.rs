//! The server's answer to an offer of compression.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::offer::{Offer, OfferRefused, Param};
use super::{Deflater, WINDOW_BITS_MAX};

/// The server's settings, with the names and defaults of npm `ws`. Context takeover is not among
/// them: an answer always forbids it, whatever the app would allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerSettings {
    /// `threshold`: messages shorter than this many bytes are left as they are. Default 1024.
    pub threshold_bytes: usize,
    /// `serverMaxWindowBits`, 8 to 15: the server's window as a power of two. None leaves it to the
    /// client.
    pub server_max_window_bits: Option<u8>,
    /// `clientMaxWindowBits`, 8 to 15: the client's window. A client that cannot be told one is
    /// refused then.
    pub client_max_window_bits: Option<u8>,
    /// `zlibDeflateOptions.level`, 0 to 9. Default 6, which is zlib's own choice.
    pub level: u8,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            threshold_bytes: 1024,
            server_max_window_bits: None,
            client_max_window_bits: None,
            level: 6,
        }
    }
}

impl ServerSettings {
    /// A compressor of this level, with the largest window that these settings allow.
    #[must_use]
    pub fn deflater(&self) -> Deflater {
        Deflater::new(self.level, self.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX))
    }
}

/// What was agreed on for one connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agreed {
    /// The value of the answer's header `Sec-WebSocket-Extensions`.
    pub header_value: String,
    /// How far back the server's messages may refer, as a power of two: 8 to 15. Whatever was
    /// compressed with a larger window must not be longer than this.
    pub window_bits: u8,
}

/// Answers a client's header `Sec-WebSocket-Extensions` (several are one, joined with commas). None
/// when permessage-deflate is not among the extensions.
///
/// The answer is that of `ws` with `serverNoContextTakeover` and `clientNoContextTakeover`, which
/// every client must accept (RFC 7692, sections 7.1.1.1 and 7.1.1.2).
///
/// # Errors
///
/// `ws` answers the handshake with status 400 then, rather than go on without the extension.
pub fn negotiate(header: &[u8], settings: &ServerSettings) -> Result<Option<Agreed>, OfferRefused> {
    let offers = Offer::parse_all(header)?;
    if offers.is_empty() {
        return Ok(None);
    }
    let offer = offers.iter().find(|offer| settings.accepts(offer));
    let answer = settings.answer(offer.ok_or(OfferRefused::NoneAcceptable)?);
    let window_bits = answer.server_max_window_bits().unwrap_or(WINDOW_BITS_MAX);
    Ok(Some(Agreed { header_value: header_value(&answer), window_bits }))
}

impl ServerSettings {
    fn accepts(&self, offer: &Offer) -> bool {
        let server_fits = match (self.server_max_window_bits, offer.server_max_window_bits()) {
            (Some(ours), Some(theirs)) => ours <= theirs,
            (None, _) | (_, None) => true,
        };
        let client_fits = match (self.client_max_window_bits, offer.client_max_window_bits()) {
            (Some(ours), Some(Some(theirs))) => ours <= theirs,
            (Some(_), None) => false,
            (None, _) | (_, Some(None)) => true,
        };
        server_fits && client_fits
    }

    /// The parameters in the offer's order, followed by those that the offer does not have.
    fn answer(&self, offer: &Offer) -> Offer {
        let ours = [
            Some(Param::ServerNoContextTakeover),
            Some(Param::ClientNoContextTakeover),
            self.server_max_window_bits.map(Param::ServerMaxWindowBits),
            self.client_max_window_bits.map(|bits| Param::ClientMaxWindowBits(Some(bits))),
        ];
        let named = |param: &Param, other: &Param| {
            core::mem::discriminant(param) == core::mem::discriminant(other)
        };
        let mut params: Vec<Param> = Vec::new();
        for param in &offer.params {
            let decided = ours.iter().flatten().find(|own| named(own, param));
            params.push(*decided.unwrap_or(param));
        }
        for own in ours.iter().flatten() {
            if !params.iter().any(|param| named(own, param)) {
                params.push(*own);
            }
        }
        params.retain(|param| *param != Param::ClientMaxWindowBits(None));
        Offer { params }
    }
}

fn header_value(answer: &Offer) -> String {
    let mut value = String::from("permessage-deflate");
    for param in &answer.params {
        match param {
            Param::ClientMaxWindowBits(None) => Ok(()),
            Param::ClientMaxWindowBits(Some(bits)) => {
                write!(value, "; client_max_window_bits={bits}")
            }
            Param::ClientNoContextTakeover => write!(value, "; client_no_context_takeover"),
            Param::ServerMaxWindowBits(bits) => write!(value, "; server_max_window_bits={bits}"),
            Param::ServerNoContextTakeover => write!(value, "; server_no_context_takeover"),
        }
        .expect("a string takes all text");
    }
    value
}
