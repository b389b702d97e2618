//! One version: the same in the workspace, the SDK and its lock file.

use std::path::Path;

use super::Finding;

const WORKSPACE: &str = "Cargo.toml";
/// Files of the SDK with its version at the top.
const SDK: [&str; 2] = ["sdk/node/package.json", "sdk/node/package-lock.json"];

/// Checks the versions in `root`; a repository without an SDK passes.
pub(super) fn check(root: &Path) -> Vec<Finding> {
    let read = |place: &str| std::fs::read_to_string(root.join(place)).unwrap_or_default();
    let sdk: Vec<(&str, String)> = SDK.map(|place| (place, read(place))).into();
    of_texts(&read(WORKSPACE), &sdk)
}

pub(super) fn of_texts(workspace: &str, sdk: &[(&str, String)]) -> Vec<Finding> {
    let manifest: toml::Table = workspace.parse().unwrap_or_default();
    let ours = manifest.get("workspace").and_then(|it| it.get("package")?.get("version")?.as_str());
    let present = sdk.iter().filter(|(_, text)| !text.is_empty());
    let differs = present.filter_map(|(place, text)| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let theirs = json["version"].as_str();
        let text = format!("version {}, but {WORKSPACE} says {}", shown(theirs), shown(ours));
        (theirs != ours).then(|| Finding::new(*place, text))
    });
    differs.collect()
}

fn shown(version: Option<&str>) -> &str {
    version.unwrap_or("(none)")
}
