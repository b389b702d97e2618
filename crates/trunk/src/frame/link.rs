//! The frames with which both ends introduce themselves when a trunk opens (section 3).

use crate::text::Str;

/// The body of `Hello` (section 3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// The lowest version that the app server speaks.
    pub version_min: u32,
    /// The highest version that the app server speaks.
    pub version_max: u32,
    /// Bytes of data frames that the node may send before more `Credit`.
    pub credit: u32,
    /// The id of the app server's process.
    pub server: Str,
    /// The SDK's name and version.
    pub sdk: Str,
    /// JSON object of the app's options; see [`crate::settings`].
    pub settings: Str,
}

/// The body of `Welcome` (section 3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Welcome {
    /// The version that both speak from now on.
    pub version: u32,
    /// Bytes of data frames that the app server may send before more `Credit`.
    pub credit: u32,
    /// The interval of pings; at least 1.
    pub ping_interval_ms: u32,
    /// The longest batch; at least 1.
    pub batch_bytes_max: u32,
    /// JSON object: `node`, `version`, `warnings`.
    pub info: Str,
}
