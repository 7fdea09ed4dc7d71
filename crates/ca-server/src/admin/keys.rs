//! The authority's keys: listed, added and retired by an administrator.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use ssh_format::AnyKey;

use super::Note;
use crate::authority::Authority;
use crate::registry::{CaKey, Custody, Retired};

fn fingerprint(key: &CaKey) -> String {
    let read = AnyKey::from_blob(&key.public);
    read.map_or_else(|_| "-".to_owned(), |key| key.fingerprint().to_string())
}

pub(super) fn list(authority: &Authority) -> anyhow::Result<Value> {
    let all = authority.registry().ca_keys()?;
    let own = authority.own_keys();
    let line = |key: &CaKey| {
        json!({
            "id": key.id,
            "kind": key.kind,
            "state": key.state,
            "custody": key.custody,
            "node": key.node,
            "own": own.iter().any(|own| own.blob() == key.public),
            "fingerprint": fingerprint(key),
            "key": AnyKey::from_blob(&key.public).map_or_else(|_| String::new(), |key| key.line("")),
        })
    };
    let keys: Vec<Value> = all.keys.iter().map(line).collect();
    Ok(json!({ "number": all.number, "krl_number": all.krl_number, "keys": keys }))
}

pub(super) fn add(
    authority: &Authority,
    kind: &str,
    line: &str,
    note: Note<'_>,
) -> anyhow::Result<Value> {
    if !["user", "host"].contains(&kind) {
        bail!("a key certifies users or hosts");
    }
    let (key, _) = AnyKey::from_line(line.trim())?;
    let algorithm = key.algorithm();
    if algorithm != "ssh-rsa" && !algorithm.starts_with("ecdsa-") {
        bail!("the key has to be ECDSA or RSA");
    }
    let registry = authority.registry();
    let id = registry.ca_key(kind, key.blob(), &Custody::default())?;
    authority.keys_have_changed();
    let fingerprint = key.fingerprint().to_string();
    note(
        "ca-add",
        vec![("ca", id.to_string()), ("key", fingerprint.clone())],
    )?;
    let number = registry.ca_keys()?.number;
    Ok(json!({ "id": id, "kind": kind, "fingerprint": fingerprint, "number": number }))
}

pub(super) fn retire(
    authority: &Authority,
    id: i64,
    force: bool,
    now: u64,
    note: Note<'_>,
) -> anyhow::Result<Value> {
    let registry = authority.registry();
    let all = registry.ca_keys()?;
    let own = authority.own_keys();
    let is_own = |key: &CaKey| own.iter().any(|own| own.blob() == key.public);
    let signs = all.keys.iter().any(|key| key.id == id && is_own(key));
    let before = all
        .keys
        .iter()
        .any(|key| key.id == id && key.state == "retired");
    if signs && !force && !before {
        bail!(
            "this node signs with key {id}: give it another one first (policy.toml, then restart it); with --force it is retired now, and this node signs nothing until then"
        );
    }
    let key = match registry.retire_ca_key(id, force)? {
        Retired::Done(key) => key,
        Retired::Unknown => bail!("there is no key {id}"),
        Retired::Before => bail!("key {id} is retired already"),
        Retired::Last(key) => bail!(
            "key {id} is the last one for {}s: all their certificates would be refused, and no machine could follow; publish another one first (tpmssh-ca ca add), or give --force",
            key.kind
        ),
    };
    authority.keys_have_changed();
    let fingerprint = fingerprint(&key);
    let noted = note(
        "ca-retire",
        vec![("ca", id.to_string()), ("key", fingerprint.clone())],
    );
    let krl = if signs {
        None
    } else {
        // The new list has to exist before the administrator gets the answer.
        let krl = authority.newest_krl(now).with_context(|| {
            format!("key {id} is retired, but the list of revoked keys cannot be made now")
        })?;
        Some(krl.number)
    };
    noted?;
    Ok(json!({ "retired": id, "kind": key.kind, "fingerprint": fingerprint, "krl_number": krl }))
}
