//! Which crates may depend on which: the drawing of the house, as a table.
//!
//! An arrow that isn't in the table is a fault, and so is a crate that has no row: drawing it in is a
//! decision, not an accident of a manifest. Dependencies that only tests use may point further down
//! an allowed path, never across or up.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Fault;

/// A crate and the crates it may depend on.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("weir-codec", &[]),
    ("weir-router", &["weir-codec"]),
    ("weir-engine", &["weir-codec", "weir-router"]),
    ("weir-ws", &[]),
    ("weir-store", &["weir-engine", "weir-codec"]),
    ("weir-auth", &["weir-engine"]),
    ("weir-admin", &["weir-engine"]),
    ("weir-cluster", &["weir-engine", "weir-codec"]),
    (
        "weir-sim",
        &["weir-codec", "weir-router", "weir-engine", "weir-store"],
    ),
    (
        "weir-broker",
        &[
            "weir-codec",
            "weir-router",
            "weir-engine",
            "weir-ws",
            "weir-store",
            "weir-auth",
            "weir-admin",
            "weir-cluster",
        ],
    ),
    (
        "weir-fuzz",
        &["weir-codec", "weir-router", "weir-engine", "weir-ws"],
    ),
    ("weir-tests", &["weir-codec"]),
    ("weir-bench", &[]),
    ("xtask", &[]),
];

/// The arrows in what `cargo metadata` prints that are not in the table.
pub(crate) fn faults(metadata: &Value) -> Vec<Fault> {
    let packages = list(metadata, "packages");
    let ours: BTreeSet<&str> = packages
        .iter()
        .map(|package| text(package, "name"))
        .collect();
    let mut faults = Vec::new();
    for package in packages {
        let (name, manifest) = (text(package, "name"), text(package, "manifest_path"));
        let Some(allowed) = allowed(name) else {
            let remedy = format!(
                "{name} is not drawn in the house: add its arrows to the table in this test and to docs/src/architecture.md"
            );
            faults.push(Fault::new(manifest, 1, remedy));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let (target, kind) = (text(dependency, "name"), text(dependency, "kind"));
            let is_allowed = allowed.contains(&target) || (kind == "dev" && is_below(name, target));
            if ours.contains(target) && !is_allowed {
                let remedy = format!(
                    "{name} must not depend on {target} (allowed: {allowed:?}): move what it needs, or invert it with a trait"
                );
                faults.push(Fault::new(manifest, 1, remedy));
            }
        }
    }
    faults
}

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    ALLOWED
        .iter()
        .find(|(row, _)| *row == name)
        .map(|(_, allowed)| *allowed)
}

/// Whether a path of allowed arrows leads from one crate down to the other.
fn is_below(name: &str, target: &str) -> bool {
    let below = allowed(name).unwrap_or_default();
    below.contains(&target) || below.iter().any(|next| is_below(next, target))
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(package: &str, kind: &Value, dependency: &str) -> usize {
        let target =
            json!({ "name": dependency, "manifest_path": "b/Cargo.toml", "dependencies": [] });
        let arrow =
            json!([{ "name": dependency, "kind": kind }, { "name": "bytes", "kind": null }]);
        let source =
            json!({ "name": package, "manifest_path": "a/Cargo.toml", "dependencies": arrow });
        faults(&json!({ "packages": [source, target] })).len()
    }

    #[test]
    fn an_arrow_across_or_up_is_found() {
        assert_eq!(check("weir-router", &Value::Null, "weir-codec"), 0);
        assert_eq!(check("weir-codec", &Value::Null, "weir-router"), 1);
        assert_eq!(check("weir-ws", &Value::Null, "weir-codec"), 1);
        assert_eq!(check("weir-broker", &json!("build"), "weir-sim"), 1);
        assert_eq!(check("xtask", &Value::Null, "weir-codec"), 1);
    }

    #[test]
    fn tests_of_a_crate_may_use_what_is_further_down_but_not_up() {
        assert_eq!(check("weir-auth", &json!("dev"), "weir-codec"), 0);
        assert_eq!(check("weir-auth", &Value::Null, "weir-codec"), 1);
        assert_eq!(check("weir-engine", &json!("dev"), "weir-store"), 1);
    }

    #[test]
    fn a_crate_that_nobody_drew_is_found() {
        assert_eq!(check("weir-attic", &Value::Null, "weir-codec"), 1);
    }
}
