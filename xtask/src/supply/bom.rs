//! A bill of materials in CycloneDX 1.6, without anything that changes from run to run.

use serde_json::{Value, json};

use crate::Failure;

/// What a product is made of.
#[derive(Debug)]
pub(super) struct Bom {
    /// CycloneDX's word for the product: `application` or `library`.
    pub(super) kind: &'static str,
    pub(super) product: Component,
    /// Sorted by reference.
    pub(super) components: Vec<Component>,
}

/// One crate or package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) version: String,
    /// The package URL, which is the reference, too.
    pub(super) purl: String,
    /// An SPDX expression.
    pub(super) licence: String,
    /// Algorithm and hexadecimal digits of what the registry serves; none for our own code.
    pub(super) hash: Option<(&'static str, String)>,
    /// False for what only helps to compile.
    pub(super) ships: bool,
    /// The references of what it needs itself, sorted.
    pub(super) needs: Vec<String>,
}

impl Bom {
    /// Refuses a list with a gap: a component without a licence or a hash, or one that is needed
    /// and missing.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let known = |wanted: &String| self.components.iter().any(|one| one.purl == *wanted);
        for component in self.components.iter().chain([&self.product]) {
            let name = &component.purl;
            let own =
                component.name.starts_with("trunkline") || component.purl == self.product.purl;
            if component.licence.is_empty() {
                return Err(format!("{name} has no licence").into());
            }
            if component.hash.is_none() && !own {
                return Err(format!("{name} has no hash").into());
            }
            if let Some(missing) = component.needs.iter().find(|wanted| !known(wanted)) {
                return Err(format!("{name} needs {missing}, which is not listed").into());
            }
        }
        Ok(())
    }

    pub(super) fn to_json(&self) -> Value {
        let all = || self.components.iter().chain([&self.product]);
        json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": { "component": self.product.to_json(self.kind) },
            "components": self.components.iter().map(|one| one.to_json("library")).collect::<Vec<_>>(),
            "dependencies": all()
                .map(|one| json!({ "ref": one.purl, "dependsOn": one.needs }))
                .collect::<Vec<_>>(),
        })
    }
}

impl Component {
    fn to_json(&self, kind: &str) -> Value {
        let mut json = json!({
            "type": kind,
            "bom-ref": self.purl,
            "name": self.name,
            "version": self.version,
            "purl": self.purl,
            "scope": if self.ships { "required" } else { "excluded" },
            "licenses": [{ "expression": self.licence }],
        });
        if let Some((algorithm, digits)) = &self.hash {
            json["hashes"] = json!([{ "alg": algorithm, "content": digits }]);
        }
        json
    }
}
