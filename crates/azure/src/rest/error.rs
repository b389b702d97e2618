//! The errors of a REST call, and their answers.

use serde_json::json;

use trunkline_token::TokenRefused;

use super::Answer;
use crate::group::BadGroupName;
use crate::payload::BadPayload;

/// One variant per reason for refusing a call, in alphabetical order.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RestError {
    #[error("other calls with long bodies are under way; try again")]
    Busy,
    #[error("{0}")]
    Filter(String),
    #[error(transparent)]
    GroupName(#[from] BadGroupName),
    #[error("this node serves no hub of that name")]
    HubUnknown,
    #[error("the body is not the JSON object that this call needs: {0}")]
    Json(&'static str),
    #[error("the node's memory is full (memory_bytes_max); try again or ask another node")]
    MemoryFull,
    #[error("this path does not have that method")]
    Method,
    #[error("{0}")]
    Parameter(&'static str),
    #[error("nothing of the data plane is at this path")]
    Path,
    /// The nodes' names.
    #[error("{}: no link to these nodes of the cluster; nothing was done", .0.join(", "))]
    NodesAway(Vec<Box<str>>),
    /// The nodes' names.
    #[error(
        "{}: these nodes of the cluster did not answer; at the others the call was carried out",
        .0.join(", ")
    )]
    NodesSilent(Vec<Box<str>>),
    #[error(transparent)]
    Payload(#[from] BadPayload),
    #[error(transparent)]
    Token(#[from] TokenRefused),
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
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
            Self::Token(refused) => refused.status(),
            Self::HubUnknown | Self::Path => 404,
            Self::Method => 405,
            Self::TooLarge(_) => 413,
            Self::Busy
            | Self::MemoryFull
            | Self::NodesAway(_)
            | Self::NodesSilent(_)
            | Self::Unavailable => 503,
        }
    }

    /// The code for programs.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Busy => "Busy",
            Self::Filter(_) => "InvalidFilter",
            Self::GroupName(_) => "InvalidGroupName",
            Self::HubUnknown => "HubNotFound",
            Self::Json(_) => "InvalidJson",
            Self::MemoryFull => "MemoryFull",
            Self::Method => "MethodNotAllowed",
            Self::NodesAway(_) => "NodesAway",
            Self::NodesSilent(_) => "NodesSilent",
            Self::Parameter(_) => "InvalidParameter",
            Self::Path => "NotFound",
            Self::Payload(_) => "InvalidPayload",
            Self::TooLarge(_) => "PayloadTooLarge",
            Self::Token(TokenRefused::Claims) => "Forbidden",
            Self::Token(TokenRefused::KeysMissing) => "IdentityProviderUnavailable",
            Self::Token(_) => "Unauthorized",
            Self::Unavailable => "Unavailable",
        }
    }

    /// The wrong part of the request.
    const fn target(&self) -> Option<&'static str> {
        match self {
            Self::Filter(_) => Some("filter"),
            Self::GroupName(_) => Some("group"),
            Self::HubUnknown => Some("hub"),
            Self::Json(_) | Self::Payload(_) | Self::TooLarge(_) => Some("body"),
            Self::Token(_) => Some("Authorization"),
            Self::Busy
            | Self::MemoryFull
            | Self::Method
            | Self::NodesAway(_)
            | Self::NodesSilent(_)
            | Self::Parameter(_)
            | Self::Path
            | Self::Unavailable => None,
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
        if self.status() == 401 {
            answer.headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        answer
    }
}
