//! The bill of materials of program and module, as CycloneDX.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Release;
use crate::command::cargo;

/// The shipped crates. Dependencies of tests are not listed.
const SHIPPED: [&str; 3] = ["tpmssh", "tpmssh-pkcs11", "ca-server"];

/// The document.
///
/// # Errors
///
/// If cargo does not list the dependencies.
///
/// # Source
///
/// CycloneDX 1.5, JSON.
pub(super) fn text(tree: &Path, release: &Release) -> Result<String> {
    let metadata = metadata(tree)?;
    let checksums = checksums(&fs::read_to_string(tree.join("Cargo.lock"))?);
    let packages = packages(&metadata)?;
    let mut components = Vec::new();
    for id in used(&metadata)? {
        let package = packages
            .get(&id)
            .context("a dependency without a package")?;
        components.extend(component(package, &checksums));
        components.extend(bundled(package));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    components.sort_by_key(|it| (text(&it["name"]), text(&it["version"])));
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(release.date)?,
            "component": {
                "type": "application",
                "name": "tpmssh",
                "version": release.version,
                "licenses": [{ "expression": "Apache-2.0 OR MIT" }],
            },
        },
        "components": components,
    });
    Ok(format!("{document:#}\n"))
}

fn metadata(tree: &Path) -> Result<Value> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = cargo()
        .current_dir(tree)
        .args([
            "metadata",
            "--locked",
            "--format-version=1",
            "--filter-platform",
            &host,
        ])
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo metadata failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// All packages by their id.
fn packages(metadata: &Value) -> Result<BTreeMap<String, &Value>> {
    let list = metadata["packages"].as_array().context("no packages")?;
    let by_id = |it: &'_ Value| Some(it["id"].as_str()?.to_owned());
    Ok(list
        .iter()
        .filter_map(|it| Some((by_id(it)?, it)))
        .collect())
}

/// The ids of the dependencies of the shipped crates, and of their build dependencies.
fn used(metadata: &Value) -> Result<BTreeSet<String>> {
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .context("no graph")?;
    let nodes: BTreeMap<_, _> = nodes
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let mut waiting: Vec<String> = packages(metadata)?
        .into_iter()
        .filter(|(_, it)| it["source"].is_null())
        .filter(|(_, it)| SHIPPED.iter().any(|name| it["name"] == *name))
        .map(|(id, _)| id)
        .collect();
    ensure!(waiting.len() == SHIPPED.len(), "a shipped crate is missing");
    let mut found = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !found.insert(id.clone()) {
            continue;
        }
        let node = nodes.get(id.as_str()).context("a package without a node")?;
        for dependency in node["deps"].as_array().into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array();
            if kinds
                .into_iter()
                .flatten()
                .any(|kind| kind["kind"] != "dev")
            {
                waiting.extend(dependency["pkg"].as_str().map(str::to_owned));
            }
        }
    }
    Ok(found)
}

/// A crate of a registry; those of this workspace are the product itself.
fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Option<Value> {
    package["source"].as_str()?;
    let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
    let mut component = json!({
        "type": "library",
        "name": name,
        "version": version,
        "purl": format!("pkg:cargo/{name}@{version}"),
    });
    if let Some(license) = package["license"].as_str() {
        // The older way to write an alternative.
        let expression = license.replace('/', " OR ");
        component["licenses"] = json!([{ "expression": expression }]);
    }
    if let Some(sum) = checksums.get(&(name.to_owned(), version.to_owned())) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    Some(component)
}

/// SQLite, whose source is in `libsqlite3-sys`.
fn bundled(package: &Value) -> Option<Value> {
    if package["name"] != "libsqlite3-sys" {
        return None;
    }
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let header = fs::read_to_string(manifest.with_file_name("sqlite3/sqlite3.h")).ok()?;
    let line = header
        .lines()
        .find(|it| it.starts_with("#define SQLITE_VERSION "))?;
    let version = line.split('"').nth(1)?;
    Some(json!({
        "type": "library",
        "name": "sqlite",
        "version": version,
        "purl": format!("pkg:generic/sqlite@{version}"),
        "licenses": [{ "license": { "name": "public domain" } }],
    }))
}

/// The digests in a lock file, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let value = |key: &str| {
            let line = package.lines().find_map(|it| it.strip_prefix(key))?;
            Some(line.trim_matches([' ', '=', '"']).to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) =
            (value("name ="), value("version ="), value("checksum ="))
        {
            found.insert((name, version), sum);
        }
    }
    found
}

/// RFC 3339, as date(1) writes it.
fn timestamp(date: u64) -> Result<String> {
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{date}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .context("cannot start date")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::root;

    #[test]
    fn what_is_shipped_is_listed_and_what_tests_use_is_not() {
        let release = Release {
            version: "1.2.3".to_owned(),
            date: 1_000_000_000,
        };
        let text = text(&root(), &release).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["metadata"]["timestamp"], "2001-09-09T01:46:40Z");
        let components = document["components"].as_array().unwrap();
        let find = |name: &str| components.iter().find(|it| it["name"] == name);
        let clap = find("clap").unwrap();
        assert_eq!(clap["hashes"][0]["content"].as_str().unwrap().len(), 64);
        assert_eq!(clap["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(
            find("sqlite").unwrap()["version"]
                .as_str()
                .unwrap()
                .starts_with("3.")
        );
        for name in ["proptest", "cryptoki", "tpmssh", "xtask"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
