//! The crates of the binary.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::bom::{Bom, Component};
use crate::{Failure, repo};

const PRODUCT: &str = "trunkline";

/// What the binary is made of on this system.
pub(super) fn bom() -> Result<Bom, Failure> {
    let system = host()?;
    let metadata = output(repo::cargo().args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        &system,
    ]))?;
    let tree = |edges: &str| {
        let format = ["--prefix", "none", "--format", "{p}"];
        output(
            repo::cargo()
                .args(["tree", "--locked", "--package", PRODUCT, "--edges", edges])
                .args(format),
        )
    };
    let lock = std::fs::read_to_string(repo::root().join("Cargo.lock"))?;
    of(
        &serde_json::from_str(&metadata)?,
        &names(&tree("normal,no-proc-macro")?),
        &names(&tree("normal,build")?),
        &lock.parse()?,
    )
}

fn host() -> Result<String, Failure> {
    let told = output(Command::new("rustc").arg("-vV").current_dir(repo::root()))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not say its host")?.to_owned())
}

fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A crate's name and version.
type Name = (String, String);

/// The crates in the output of `cargo tree`: `<name> v<version> …` per line.
fn names(tree: &str) -> BTreeSet<Name> {
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    tree.lines().filter_map(name).collect()
}

fn purl((name, version): &Name) -> String {
    format!("pkg:cargo/{name}@{version}")
}

/// Puts together what cargo knows: which crates ship, which are compiled at all (with the features
/// of this binary, not of the whole workspace), and what is known of each.
fn of(
    metadata: &Value,
    ships: &BTreeSet<Name>,
    compiled: &BTreeSet<Name>,
    lock: &toml::Table,
) -> Result<Bom, Failure> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let empty = Vec::new();
    let list = |value: &'_ Value| value.as_array().unwrap_or(&empty).clone();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (text(&package["id"]), package))
        .collect();
    let name = |id: &str| packages.get(id).map(|one| (text(&one["name"]), text(&one["version"])));
    let hashes = hashes(lock);
    let mut made: Vec<Component> = Vec::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let id = text(&node["id"]);
        let Some(own) = name(&id).filter(|name| compiled.contains(name)) else { continue };
        let runs = |dependency: &Value| {
            list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev")
        };
        let needs: BTreeSet<String> = list(&node["deps"])
            .iter()
            .filter(|dependency| runs(dependency))
            .filter_map(|dependency| name(&text(&dependency["pkg"])))
            .filter(|name| compiled.contains(name))
            .map(|name| purl(&name))
            .collect();
        made.push(Component {
            purl: purl(&own),
            // The old way to write a choice.
            licence: text(&packages[&id]["license"]).replace('/', " OR "),
            hash: hashes.get(&own).map(|digits| ("SHA-256", digits.clone())),
            ships: ships.contains(&own),
            needs: needs.into_iter().collect(),
            name: own.0,
            version: own.1,
        });
    }
    made.sort_by(|a, b| a.purl.cmp(&b.purl));
    if made.len() != compiled.len() {
        return Err("cargo's tree names crates that its metadata does not have".into());
    }
    let at = made.iter().position(|one| one.name == PRODUCT).ok_or("the product is no crate")?;
    Ok(Bom { kind: "application", product: made.remove(at), components: made })
}

/// The hashes that the lock file demands.
fn hashes(lock: &toml::Table) -> BTreeMap<Name, String> {
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let hash = |package: &toml::Value| {
        let field = |name: &str| Some(package.get(name)?.as_str()?.to_owned());
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    packages.into_iter().flatten().filter_map(hash).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{names, of};

    #[test]
    fn crates_are_listed_with_licence_hash_and_what_they_need() {
        let package = |id: &str, version: &str, licence: &str| json!({ "id": id, "name": id, "version": version, "license": licence });
        let needs = |id: &str, kind: serde_json::Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                package("trunkline", "0.1.0", "MIT OR Apache-2.0"),
                package("bytes", "1.2.3", "MIT"),
                package("cc", "1.0.0", "MIT/Apache-2.0"),
                package("proptest", "1.0.0", "MIT"),
            ],
            "resolve": { "nodes": [
                { "id": "trunkline", "deps": [
                    needs("bytes", json!(null)), needs("cc", json!("build")), needs("proptest", json!("dev")),
                ] },
                { "id": "bytes", "deps": [] },
                { "id": "cc", "deps": [] },
                { "id": "proptest", "deps": [needs("bytes", json!(null))] },
            ] },
        });
        let lock = "[[package]]\nname = \"bytes\"\nversion = \"1.2.3\"\nchecksum = \"ab\"\n\
                    [[package]]\nname = \"cc\"\nversion = \"1.0.0\"\nchecksum = \"cd\"\n";
        let ships = names("trunkline v0.1.0 (/here)\nbytes v1.2.3\nbytes v1.2.3 (*)\n");
        let compiled = names("trunkline v0.1.0 (/here)\nbytes v1.2.3\n\ncc v1.0.0\n");
        let bom = of(&metadata, &ships, &compiled, &lock.parse().unwrap()).unwrap();
        bom.check().unwrap();
        assert_eq!(bom.product.needs, ["pkg:cargo/bytes@1.2.3", "pkg:cargo/cc@1.0.0"]);
        let json = bom.to_json();
        assert_eq!(json["components"].as_array().unwrap().len(), 2);
        assert_eq!(
            json["components"][0],
            json!({
                "type": "library",
                "bom-ref": "pkg:cargo/bytes@1.2.3",
                "name": "bytes",
                "version": "1.2.3",
                "purl": "pkg:cargo/bytes@1.2.3",
                "scope": "required",
                "licenses": [{ "expression": "MIT" }],
                "hashes": [{ "alg": "SHA-256", "content": "ab" }],
            })
        );
        assert_eq!(json["components"][1]["scope"], "excluded");
        assert_eq!(json["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");

        let without = of(&metadata, &ships, &compiled, &toml::Table::new()).unwrap();
        assert_eq!(without.check().unwrap_err().to_string(), "pkg:cargo/bytes@1.2.3 has no hash");
        let unknown = names("trunkline v0.1.0\nbytes v9.9.9\n");
        assert!(of(&metadata, &ships, &unknown, &lock.parse().unwrap()).is_err());
    }
}
