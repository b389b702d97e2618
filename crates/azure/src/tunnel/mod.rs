//! The tunnel protocol: messages and their frames.

mod decode;
mod encode;
mod message;

pub(crate) use decode::decode;
pub(crate) use encode::encode;
pub(crate) use message::{Headers, Message, Request, Response};
