//! `cargo xtask supply`: whether the code of others may be in the product. `cargo xtask sbom`: what
//! of it is.

mod bom;
mod crates;
mod packages;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::{Failure, npm, repo};

pub(crate) const USAGE: &str = "\
Usage: cargo xtask supply

Checks the code of others by deny.toml: licences, sources, unwanted crates, and advisories where their database can be
fetched; npm's advisories where the registry answers. What cannot be checked is told as skipped, with the reason.";

pub(crate) const BOM_USAGE: &str = "\
Usage: cargo xtask sbom [FOLDER]

Writes what the binary and the npm package are made of, as CycloneDX: trunkline.cdx.json and trunkline-socket.io.cdx.json,
into FOLDER (default: target/sbom). The same sources give the same files.";

/// How long fetching may take: a network that swallows packets would hold a run up for minutes.
const FETCH_SECONDS: &str = "60";

/// The result of one check.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Held,
    Broken(String),
    /// The reason why nothing was checked.
    Skipped(String),
}

/// Runs every check. The last line counts them.
pub(crate) fn command() -> Result<ExitCode, Failure> {
    let deny = deny()?;
    let mut counts = [0; 3];
    let mut tell = |name: &str, verdict: Verdict| {
        let (at, line) = match verdict {
            Verdict::Held => (0, format!("ok: {name}")),
            Verdict::Broken(why) => (1, format!("FAILED: {name}\n{why}")),
            Verdict::Skipped(why) => (2, format!("skipped: {name}: {why}")),
        };
        counts[at] += 1;
        println!("{line}");
    };
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let checks: &[&str] = &["bans", "licenses", "sources"];
        tell(&format!("crates of {manifest}"), run(crates_check(&deny, manifest, checks))?);
    }
    tell(
        "advisories on crates",
        advisories(run(crates_check(&deny, "Cargo.toml", &["advisories"]))?),
    );
    for lock in npm::locks()? {
        let verdict = audit(&lock)?;
        let ends = matches!(verdict, Verdict::Skipped(_));
        tell(&format!("advisories on packages of {}", lock.display()), verdict);
        if ends {
            println!("  (the other lock files are not tried: it is the same registry)");
            break;
        }
    }
    let [held, broken, skipped] = counts;
    println!("{held} passed, {broken} failed, {skipped} skipped");
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The place of cargo-deny: the one that `cargo xtask test` installs, or one from the path.
fn deny() -> Result<PathBuf, Failure> {
    let installed = crate::test::install::deny_program();
    if installed.exists() {
        return Ok(installed);
    }
    let there = Command::new("cargo-deny").arg("--version").output();
    there.map_err(|_| "no cargo-deny: `cargo xtask test --only supply` installs it")?;
    Ok("cargo-deny".into())
}

fn crates_check(deny: &Path, manifest: &str, checks: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.current_dir(repo::root()).arg(FETCH_SECONDS).arg(deny);
    command.args(["--log-level", "error", "--locked", "--config", "deny.toml"]);
    command.args(["--manifest-path", manifest, "check"]).args(checks);
    command
}

fn run(mut command: Command) -> Result<Verdict, Failure> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(if output.status.success() { Verdict::Held } else { Verdict::Broken(text) })
}

/// A database that could not be fetched is no finding.
fn advisories(verdict: Verdict) -> Verdict {
    match &verdict {
        Verdict::Broken(text) if text.is_empty() => {
            Verdict::Skipped(format!("no answer within {FETCH_SECONDS} s"))
        }
        Verdict::Broken(text) if text.contains("failed to fetch advisory database") => {
            let why = text.lines().find_map(|line| line.strip_prefix("fatal: "));
            Verdict::Skipped(why.unwrap_or("their database cannot be fetched").to_owned())
        }
        Verdict::Held | Verdict::Broken(_) | Verdict::Skipped(_) => verdict,
    }
}

/// Asks the npm registry about the packages of one lock file. What ships may have no advisory; a
/// tool of the tests may have one of little weight.
fn audit(folder: &Path) -> Result<Verdict, Failure> {
    let ships: &[&str] = &["--omit=dev", "--omit=peer", "--audit-level=low"];
    let tests: &[&str] = &["--audit-level=high"];
    let level = if folder == Path::new("sdk/node") { ships } else { tests };
    let audit = npm::npm(&repo::root().join(folder), &["audit", "--json", "--package-lock-only"]);
    let mut command = Command::new("timeout");
    command.current_dir(repo::root().join(folder)).arg(FETCH_SECONDS).arg(audit.get_program());
    command.args(audit.get_args()).args(level);
    let output = command.output()?;
    let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Ok(audited(output.status.success(), &answer))
}

/// What npm's answer means. An answer without a report is no finding: nothing was asked.
fn audited(success: bool, answer: &Value) -> Verdict {
    if !answer["auditReportVersion"].is_number() {
        let why = answer["message"].as_str().unwrap_or("the registry gave no report");
        // `405 Method Not Allowed - POST https://…`: the address is not worth a line.
        let why = why.split(" - ").next().unwrap_or(why);
        return Verdict::Skipped(why.to_owned());
    }
    if success {
        Verdict::Held
    } else {
        Verdict::Broken(format!("{:#}", answer["vulnerabilities"]))
    }
}

/// Writes both lists into the folder that the arguments name.
pub(crate) fn bom_command(arguments: &[&str]) -> Result<ExitCode, Failure> {
    let folder = match arguments {
        [] => repo::target().join("sbom"),
        [folder] if !folder.starts_with('-') => PathBuf::from(folder),
        _ => return Err("usage: cargo xtask sbom [FOLDER]".into()),
    };
    std::fs::create_dir_all(&folder)?;
    let made = [
        ("trunkline.cdx.json", crates::bom()?),
        ("trunkline-socket.io.cdx.json", packages::bom()?),
    ];
    for (name, bom) in made {
        bom.check()?;
        let file = folder.join(name);
        std::fs::write(&file, format!("{:#}\n", bom.to_json()))?;
        println!("{}: {} components", file.display(), bom.components.len());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Verdict, advisories, audited};

    #[test]
    fn what_cannot_be_asked_is_skipped_and_what_is_found_fails() {
        let offline =
            "error: failed to fetch advisory database x\nCloning\nfatal: cannot resolve\n";
        let found = "error[vulnerability]: a hole in b";
        let skipped = |why: &str| Verdict::Skipped(why.to_owned());
        assert_eq!(advisories(Verdict::Broken(offline.to_owned())), skipped("cannot resolve"));
        assert_eq!(advisories(Verdict::Broken(String::new())), skipped("no answer within 60 s"));
        assert_eq!(
            advisories(Verdict::Broken(found.to_owned())),
            Verdict::Broken(found.to_owned())
        );
        assert_eq!(advisories(Verdict::Held), Verdict::Held);

        let refused =
            json!({ "message": "405 Method Not Allowed - POST somewhere", "statusCode": 405 });
        let clean = json!({ "auditReportVersion": 2, "vulnerabilities": {} });
        let hole = json!({ "auditReportVersion": 2, "vulnerabilities": { "ws": {} } });
        assert_eq!(audited(false, &refused), skipped("405 Method Not Allowed"));
        assert_eq!(audited(false, &json!(null)), skipped("the registry gave no report"));
        assert_eq!(audited(true, &clean), Verdict::Held);
        assert!(matches!(audited(false, &hole), Verdict::Broken(why) if why.contains("ws")));
    }
}
