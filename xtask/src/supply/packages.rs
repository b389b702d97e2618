//! The packages that come along with the npm package.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bom::{Bom, Component};
use crate::{Failure, npm};

/// What the npm package brings along; the app's own `socket.io` is the app's.
pub(super) fn bom() -> Result<Bom, Failure> {
    of(&serde_json::from_str(&std::fs::read_to_string(npm::sdk().join("package-lock.json"))?)?)
}

fn purl(name: &str, package: &Value) -> String {
    let version = package["version"].as_str().unwrap_or_default();
    format!("pkg:npm/{}@{version}", name.replacen('@', "%40", 1))
}

fn of(lock: &Value) -> Result<Bom, Failure> {
    let packages = lock["packages"].as_object().ok_or("the lock file has no packages")?;
    let own = packages.get("").ok_or("the lock file does not name its own package")?;
    let mut made: BTreeMap<String, Component> = BTreeMap::new();
    let mut open = vec![String::new()];
    let mut product = None;
    while let Some(path) = open.pop() {
        let package = &packages[&path];
        let mut needs = BTreeSet::new();
        for name in package["dependencies"].as_object().into_iter().flat_map(serde_json::Map::keys)
        {
            let found =
                resolve(packages, &path, name).ok_or_else(|| format!("{name} is not locked"))?;
            let reference = purl(name, &packages[&found]);
            if !made.contains_key(&reference) {
                open.push(found);
            }
            needs.insert(reference);
        }
        let name = path
            .rsplit_once("node_modules/")
            .map_or_else(|| own["name"].as_str().unwrap_or_default(), |(_, name)| name);
        let component = Component {
            name: name.to_owned(),
            version: package["version"].as_str().unwrap_or_default().to_owned(),
            purl: purl(name, package),
            licence: package["license"].as_str().unwrap_or_default().to_owned(),
            hash: package["integrity"].as_str().and_then(sha512),
            ships: true,
            needs: needs.into_iter().collect(),
        };
        if path.is_empty() {
            product = Some(component);
        } else {
            made.insert(component.purl.clone(), component);
        }
    }
    Ok(Bom {
        kind: "library",
        product: product.ok_or("nothing is locked")?,
        components: made.into_values().collect(),
    })
}

/// The path of the package that `name` means in `from`: Node.js looks there, then further out.
fn resolve(packages: &serde_json::Map<String, Value>, from: &str, name: &str) -> Option<String> {
    let mut folder = from;
    loop {
        let path = if folder.is_empty() {
            format!("node_modules/{name}")
        } else {
            format!("{folder}/node_modules/{name}")
        };
        if packages.contains_key(&path) {
            return Some(path);
        }
        if folder.is_empty() {
            return None;
        }
        folder = folder
            .rsplit_once("node_modules/")
            .map_or("", |(outer, _)| outer.trim_end_matches('/'));
    }
}

/// The hexadecimal digits of `sha512-<base64>`.
fn sha512(integrity: &str) -> Option<(&'static str, String)> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = integrity.strip_prefix("sha512-")?.trim_end_matches('=');
    let (mut bits, mut count, mut hex) = (0_u32, 0, String::new());
    for byte in text.bytes() {
        let digit = DIGITS.iter().position(|one| *one == byte)?;
        bits = bits << 6 | u32::try_from(digit).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            hex.push_str(&format!("{:02x}", bits >> count & 0xff));
        }
    }
    (hex.len() == 128).then_some(("SHA-512", hex))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{of, sha512};

    #[test]
    fn packages_are_found_where_node_finds_them() {
        let integrity = format!("sha512-{}==", "A".repeat(86));
        let lock = json!({ "packages": {
            "": { "name": "@trunkline/socket.io", "version": "0.1.0", "license": "MIT",
                  "dependencies": { "debug": "^4", "ws": "^8" }, "devDependencies": { "ms": "^1" } },
            "node_modules/debug": { "version": "4.0.0", "license": "MIT", "integrity": integrity, "dependencies": { "ms": "^2" } },
            "node_modules/debug/node_modules/ms": { "version": "2.0.0", "license": "MIT", "integrity": integrity },
            "node_modules/ms": { "version": "1.0.0", "license": "MIT", "integrity": integrity },
            "node_modules/ws": { "version": "8.0.0", "license": "MIT", "integrity": integrity },
        } });
        let bom = of(&lock).unwrap();
        bom.check().unwrap();
        let names: Vec<&str> = bom.components.iter().map(|one| one.purl.as_str()).collect();
        assert_eq!(names, ["pkg:npm/debug@4.0.0", "pkg:npm/ms@2.0.0", "pkg:npm/ws@8.0.0"]);
        assert_eq!(bom.components[0].needs, ["pkg:npm/ms@2.0.0"]);
        assert_eq!(bom.product.purl, "pkg:npm/%40trunkline/socket.io@0.1.0");

        let mut missing = lock.clone();
        missing["packages"].as_object_mut().unwrap().remove("node_modules/ws");
        assert_eq!(of(&missing).unwrap_err().to_string(), "ws is not locked");
        let mut unlicensed = lock;
        unlicensed["packages"]["node_modules/ws"]["license"] = json!(null);
        let error = of(&unlicensed).unwrap().check().unwrap_err();
        assert_eq!(error.to_string(), "pkg:npm/ws@8.0.0 has no licence");
    }

    #[test]
    fn a_hash_is_told_in_hexadecimal() {
        let text = format!("sha512-/wAB{}==", "A".repeat(82));
        assert_eq!(sha512(&text), Some(("SHA-512", format!("ff0001{}", "0".repeat(122)))));
        assert_eq!(sha512("sha512-AAAA"), None);
        assert_eq!(sha512("sha1-AAAA"), None);
    }
}
