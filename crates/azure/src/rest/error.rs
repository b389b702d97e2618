//! What a REST call can get wrong, and how the caller is told.

use serde_json::json;

use super::Answer;
use crate::group::BadGroupName;
use crate::payload::BadPayload;

/// One variant per way in which a call is refused. Alphabetical.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RestError {
    #[error("{0}")]
    Filter(String),
    #[error(transparent)]
    GroupName(#[from] BadGroupName),
    #[error("this node serves no hub of that name")]
    HubUnknown,
    #[error("the body is not the JSON object that this call needs: {0}")]
    Json(&'static str),
    #[error("this path does not have that method")]
    Method,
    #[error("{0}")]
    Parameter(&'static str),
    #[error("nothing of the data plane is at this path")]
    Path,
    #[error(transparent)]
    Payload(#[from] BadPayload),
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    #[error("{0}")]
    Unauthorized(String),
    #[error("the node stops")]
    Unavailable,
}

impl RestError {
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Filter(_)
            | Self::GroupName(_)
            | Self::Json(_)
            | Self::Parameter(_)
            | Self::Payload(_) => 400,
            Self::Unauthorized(_) => 401,
            Self::HubUnknown | Self::Path => 404,
            Self::Method => 405,
            Self::TooLarge(_) => 413,
            Self::Unavailable => 503,
        }
    }

    /// The code that programs read.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Filter(_) => "InvalidFilter",
            Self::GroupName(_) => "InvalidGroupName",
            Self::HubUnknown => "HubNotFound",
            Self::Json(_) => "InvalidJson",
            Self::Method => "MethodNotAllowed",
            Self::Parameter(_) => "InvalidParameter",
            Self::Path => "NotFound",
            Self::Payload(_) => "InvalidPayload",
            Self::TooLarge(_) => "PayloadTooLarge",
            Self::Unauthorized(_) => "Unauthorized",
            Self::Unavailable => "Unavailable",
        }
    }

    /// The part of the request that is at fault.
    const fn target(&self) -> Option<&'static str> {
        match self {
            Self::Filter(_) => Some("filter"),
            Self::GroupName(_) => Some("group"),
            Self::HubUnknown => Some("hub"),
            Self::Json(_) | Self::Payload(_) | Self::TooLarge(_) => Some("body"),
            Self::Unauthorized(_) => Some("Authorization"),
            Self::Method | Self::Parameter(_) | Self::Path | Self::Unavailable => None,
        }
    }

    pub(crate) fn answer(&self) -> Answer {
        let body = json!({
            "code": self.code(),
            "message": self.to_string(),
            "target": self.target(),
            "details": [],
            "inner": null,
        });
        let mut answer = Answer::json(self.status(), &body);
        answer.headers.push(("x-ms-error-code", self.code().to_owned()));
        if matches!(self, Self::Unauthorized(_)) {
            answer.headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        answer
    }
}
