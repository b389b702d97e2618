//! The requests and answers of the REST API, which come over a tunnel or over HTTP.

mod answer;
mod call;
mod error;

pub(crate) use answer::Answer;
pub(crate) use call::{Operation, PermissionVerb, Place, To, TokenWish, parse};
pub(crate) use error::RestError;
