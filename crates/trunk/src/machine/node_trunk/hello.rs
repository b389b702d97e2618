//! Checks an app server's description of itself, and reduces its options to what this node
//! supports.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::step::Refused;
use crate::frame::Hello;
use crate::kind::FrameKind;
use crate::settings::EngineSettings;
use crate::text::Str;
use crate::values::ErrorCode;

/// The longest id of an app server, in bytes: every app server of a hub gets the ids of all others.
pub const SERVER_ID_BYTES_MAX: usize = 128;
/// The longest name of an SDK, in bytes.
pub const SDK_BYTES_MAX: usize = 256;
/// An upper bound of the bytes that a frame adds to its payload.
const FRAME_OVERHEAD_BYTES: u32 = 1024;
/// The frames that a node of this version accepts beyond those of every node of version 1.
const FRAMES: &[&str] = &[
    "Mark", "Release", "Beside", "Choose", "Number", "Reattach", "Prove", "GiveBack", "Call",
    "Load",
];

/// A node's description of itself in `Welcome`.
#[derive(Clone, Copy, Debug)]
pub struct NodeInfo<'a> {
    /// The node's id.
    pub node: &'a str,
    /// The node's version.
    pub version: &'a str,
    /// Warnings for the app's log.
    pub warnings: &'a [String],
    /// Frames that this node accepts beyond those of every node of this version.
    pub frames: &'a [FrameKind],
    /// How the trunk can be resumed, if it can.
    pub resume: Option<ResumeInfo<'a>>,
    /// On a stream that continues an older trunk: the number of batches received so far.
    pub resumed: Option<u64>,
}

/// How an app server resumes a trunk whose stream broke.
#[derive(Clone, Copy, Debug)]
pub struct ResumeInfo<'a> {
    /// The trunk's secret name.
    pub trunk: &'a str,
    /// How long the node waits for a new stream.
    pub window: Duration,
}

impl<'a> NodeInfo<'a> {
    /// A description without anything that depends on the trunk.
    pub const fn new(node: &'a str, version: &'a str, warnings: &'a [String]) -> Self {
        Self { node, version, warnings, frames: &[], resume: None, resumed: None }
    }

    /// The JSON object of section 3.
    pub(super) fn to_json(self, namespaces_max: usize) -> Str {
        let more = self.frames.iter().map(|kind| kind.name());
        let frames: Vec<&str> = FRAMES.iter().copied().chain(more).collect();
        let mut info = serde_json::json!({
            "node": self.node,
            "version": self.version,
            "warnings": self.warnings,
            "frames": frames,
            "namespaces_max": namespaces_max,
            "everyRequest": true,
        });
        if self.frames.contains(&FrameKind::Handled) {
            info["handledAhead"] = true.into();
        }
        if let Some(ResumeInfo { trunk, window }) = self.resume {
            let ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
            info["resume"] = serde_json::json!({ "trunk": trunk, "ms": ms });
        }
        if let Some(received) = self.resumed {
            info["resumed"] = serde_json::json!({ "received": received });
        }
        Str::from(format!("{info}"))
    }
}

impl Refused {
    pub(super) const fn code(&self) -> ErrorCode {
        match self {
            Self::Length { .. } => ErrorCode::Limit,
            Self::Settings(_) => ErrorCode::Settings,
        }
    }
}

/// The options and the warnings of an app server that is about to be accepted.
pub(super) fn check(
    hello: &Hello,
    batch_bytes_max: u32,
) -> Result<(EngineSettings, Vec<String>), Refused> {
    let (settings, mut warnings) = read_settings(&hello.settings, batch_bytes_max)?;
    check_length("server id", &hello.server, SERVER_ID_BYTES_MAX)?;
    check_length("SDK's name", &hello.sdk, SDK_BYTES_MAX)?;
    if settings.connection_state_recovery.is_some() && !settings.numbers {
        warnings.push(format!(
            "option \"connectionStateRecovery\": {} does not number its broadcasts, so clients come back as new sockets; update the SDK",
            hello.sdk
        ));
    }
    Ok((settings, warnings))
}

/// Checks options that have changed. Options that belong to the trunk keep their values of
/// `before`.
pub(super) fn check_change(
    settings: &str,
    before: &EngineSettings,
    batch_bytes_max: u32,
) -> Result<EngineSettings, Refused> {
    let (changed, _) = read_settings(settings, batch_bytes_max)?;
    Ok(EngineSettings {
        path: before.path.clone(),
        add_trailing_slash: before.add_trailing_slash,
        per_message_deflate: before.per_message_deflate,
        ..changed
    })
}

/// The app's options as far as this node supports them, and warnings about the rest.
fn read_settings(
    settings: &str,
    batch_bytes_max: u32,
) -> Result<(EngineSettings, Vec<String>), Refused> {
    let mut settings = EngineSettings::from_json(settings)?;
    let mut warnings = Vec::new();
    // A frame cannot be cut in two, so the largest message must fit into a batch.
    let largest = batch_bytes_max.saturating_sub(FRAME_OVERHEAD_BYTES);
    if settings.max_http_buffer_bytes > largest {
        warnings.push(format!(
            "option \"maxHttpBufferSize\" is {}; here {largest} holds, unless the node's limit trunk_batch_bytes_max is raised",
            settings.max_http_buffer_bytes
        ));
        settings.max_http_buffer_bytes = largest;
    }
    Ok((settings, warnings))
}

fn check_length(what: &'static str, text: &Str, bytes_max: usize) -> Result<(), Refused> {
    let bytes = text.as_bytes().len();
    if (1..=bytes_max).contains(&bytes) {
        Ok(())
    } else {
        Err(Refused::Length { what, bytes, bytes_max })
    }
}
