//! The words, as `spec/doors.md` has them.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{BadWord, Fields, put_number, put_text};

/// The longest name of an app server, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 4096;
/// The longest method and target of a call, in bytes.
const METHOD_BYTES_MAX: usize = 16;
const TARGET_BYTES_MAX: usize = 16 << 20;

/// One word. *Tunnel*: the number that the node at which a tunnel ends has given to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    /// Everything before is over. Names all tunnels that end at the sender, each with its app server.
    Hello { answers: bool, tunnels: Vec<(u64, Box<str>)> },
    /// The sender has lost its place: the receiver is to begin again.
    Again,
    /// The receiver may send so many bytes more.
    Credit { bytes: u64 },
    /// A tunnel opened at the sender.
    TunnelUp { tunnel: u64, server: Box<str> },
    /// It ended.
    TunnelDown { tunnel: u64, clean: bool },
    /// An event for the app server of a tunnel that ends at the receiver: a whole request. If the
    /// answer is `wanted`, it comes back with the request's own number.
    Event { tunnel: u64, wanted: bool, request: Bytes },
    /// The app server's answer to an event.
    EventAnswered { tunnel: u64, number: u64, status: u16, content: Bytes },
    /// A whole message for the app server of a tunnel that ends at the receiver.
    Message { tunnel: u64, message: Bytes },
    /// A tunnel that ends at the receiver is to be ended: its app server answers nothing.
    EndTunnel { tunnel: u64 },
    /// A call of the data plane, to be performed for the receiver's clients.
    Call { call: u64, adapter: bool, method: Box<str>, target: Box<str>, body: Bytes },
    /// The answer to a call, or a part of it.
    CallAnswered { call: u64, more: bool, status: u16, body: Bytes },
    /// The caller no longer waits.
    CallGone { call: u64 },
}

impl Word {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Hello { answers, tunnels } => {
                out.put_u8(0x01);
                out.put_u8((*answers).into());
                for (tunnel, server) in tunnels {
                    put_number(&mut out, *tunnel);
                    put_text(&mut out, server);
                }
            }
            Self::Again => out.put_u8(0x02),
            Self::Credit { bytes } => numbers(&mut out, 0x03, &[*bytes]),
            Self::TunnelUp { tunnel, server } => {
                numbers(&mut out, 0x04, &[*tunnel]);
                put_text(&mut out, server);
            }
            Self::TunnelDown { tunnel, clean } => {
                numbers(&mut out, 0x05, &[*tunnel]);
                out.put_u8((*clean).into());
            }
            Self::Event { tunnel, wanted, request } => {
                numbers(&mut out, 0x06, &[*tunnel]);
                out.put_u8((*wanted).into());
                out.put_slice(request);
            }
            Self::EventAnswered { tunnel, number, status, content } => {
                numbers(&mut out, 0x07, &[*tunnel, *number, u64::from(*status)]);
                out.put_slice(content);
            }
            Self::Message { tunnel, message } => {
                numbers(&mut out, 0x08, &[*tunnel]);
                out.put_slice(message);
            }
            Self::EndTunnel { tunnel } => numbers(&mut out, 0x09, &[*tunnel]),
            Self::Call { call, adapter, method, target, body } => {
                numbers(&mut out, 0x0a, &[*call]);
                out.put_u8((*adapter).into());
                put_text(&mut out, method);
                put_text(&mut out, target);
                out.put_slice(body);
            }
            Self::CallAnswered { call, more, status, body } => {
                numbers(&mut out, 0x0b, &[*call]);
                out.put_u8((*more).into());
                put_number(&mut out, u64::from(*status));
                out.put_slice(body);
            }
            Self::CallGone { call } => numbers(&mut out, 0x0c, &[*call]),
        }
        out.freeze()
    }

    /// Reads a word; `None`: one of a later version.
    pub(crate) fn decode(word: Bytes) -> Result<Option<Self>, BadWord> {
        let mut fields = Fields(word);
        let word = match fields.byte()? {
            0x01 => {
                let answers = fields.bool()?;
                let mut tunnels = Vec::new();
                while !fields.0.is_empty() {
                    tunnels.push((fields.number()?, fields.text(NAME_BYTES_MAX)?));
                }
                Self::Hello { answers, tunnels }
            }
            0x02 => Self::Again,
            0x03 => Self::Credit { bytes: fields.number()? },
            0x04 => {
                Self::TunnelUp { tunnel: fields.number()?, server: fields.text(NAME_BYTES_MAX)? }
            }
            0x05 => Self::TunnelDown { tunnel: fields.number()?, clean: fields.bool()? },
            0x06 => {
                let (tunnel, wanted) = (fields.number()?, fields.bool()?);
                Self::Event { tunnel, wanted, request: fields.rest() }
            }
            0x07 => {
                let (tunnel, number) = (fields.number()?, fields.number()?);
                let status = status(&mut fields)?;
                Self::EventAnswered { tunnel, number, status, content: fields.rest() }
            }
            0x08 => Self::Message { tunnel: fields.number()?, message: fields.rest() },
            0x09 => Self::EndTunnel { tunnel: fields.number()? },
            0x0a => {
                let (call, adapter) = (fields.number()?, fields.bool()?);
                let method = fields.text(METHOD_BYTES_MAX)?;
                let target = fields.text(TARGET_BYTES_MAX)?;
                Self::Call { call, adapter, method, target, body: fields.rest() }
            }
            0x0b => {
                let (call, more) = (fields.number()?, fields.bool()?);
                let status = status(&mut fields)?;
                Self::CallAnswered { call, more, status, body: fields.rest() }
            }
            0x0c => Self::CallGone { call: fields.number()? },
            0x0d..=0xff => return Ok(None),
            0x00 => return Err(BadWord::Value),
        };
        fields.end()?;
        Ok(Some(word))
    }
}

fn numbers(out: &mut BytesMut, kind: u8, numbers: &[u64]) {
    out.put_u8(kind);
    for number in numbers {
        put_number(out, *number);
    }
}

fn status(fields: &mut Fields) -> Result<u16, BadWord> {
    u16::try_from(fields.number()?).map_err(|_| BadWord::Number)
}
