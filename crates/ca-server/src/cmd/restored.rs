//! `tpmssh-ca database restored`: makes a registry from a backup safe to use.

use std::path::Path;

use anyhow::bail;
use serde_json::json;
use ssh_format::time::in_words;

use super::dir::Dir;
use super::{Out, registry};
use crate::audit::Audit;
use crate::clock::now;
use crate::registry::Registry;
use crate::restored::{Since, Unknown, not_retired, since, unknown};

pub(super) fn run(dir: &Dir, out: &Out) -> anyhow::Result<()> {
    dir.check()?;
    // No node can start while this process has the socket.
    let socket = crate::admin::claim(&dir.socket())?;
    let registry = registry::registry(dir)?;
    let log = dir.audit();
    let audit = Audit::open(&log)?;
    let (mut since, now) = (since(&log, &*registry)?, now());
    // Before the numbers of the lists are raised, so that no list without these retirements can have a newer number.
    let retired = not_retired(&*registry, &since.noted.retired)?;
    for (id, key) in &retired {
        registry.retire_ca_key(*id, true)?;
        let facts = [("ca", id.to_string()), ("key", key.to_string())];
        audit.write(now, "retire-again", &facts)?;
    }
    let done = registry.restored(&since.noted, now)?;
    let revoked: Vec<String> = done.revoked.iter().map(ToString::to_string).collect();
    for ek in &revoked {
        since.enrolled.remove(ek);
        audit.write(now, "revoke-again", &[("ek", ek.clone())])?;
    }
    for key in &done.fingerprints {
        audit.write(now, "revoke-key-again", &[("key", key.to_string())])?;
    }
    let facts = [
        ("revoked", revoked.len().to_string()),
        ("tokens", done.tokens.to_string()),
        ("krl_number", done.krl_number.to_string()),
        ("certificates", since.certificates.to_string()),
    ];
    audit.write(now, "restored", &facts)?;
    drop(socket);
    let mut said = format!(
        "revoked again: {} machines; join tokens ended: {}; the next list of revoked keys has a number above {}\n",
        revoked.len(),
        done.tokens,
        done.krl_number
    );
    for ek in &revoked {
        said += &format!("revoked: TPM {ek}\n");
    }
    for key in &done.fingerprints {
        said +=
            &format!("revoked by its fingerprint, for the registry does not know it: key {key}\n");
    }
    for (id, key) in &retired {
        said += &format!("retired again: key {id} of the authority, {key}\n");
    }
    said += &lost(&since);
    let value = json!({
        "revoked": revoked,
        "revoked_keys": done.fingerprints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "retired": retired.iter().map(|(id, key)| json!({"id": id, "key": key.to_string()})).collect::<Vec<_>>(),
        "join_tokens": done.tokens,
        "krl_number": done.krl_number,
        "unknown_certificates": since.certificates,
        "unknown_machines": since.enrolled,
        "approved": since.approved,
        "imports": since.imports,
        "revocations_without_tpm": since.nameless,
    });
    out.done(&value, &said)
}

/// What the administrator has to do by hand.
fn lost(since: &Since) -> String {
    let mut said = String::new();
    if since.certificates > 0 {
        said += &format!(
            "{} certificates of the time after the backup are not in the registry; each is good until it ends by itself\n",
            since.certificates
        );
    }
    for (ek, of) in &since.enrolled {
        said += &format!("has to enrol again, with a new join token: {of}, TPM {ek}\n");
    }
    for pending in &since.approved {
        said += &format!(
            "was approved: number {pending}; approve it again if device list shows it as pending\n"
        );
    }
    if since.imports > 0 {
        said += &format!(
            "device import was run {} times: run it again\n",
            since.imports
        );
    }
    if since.nameless > 0 {
        said += &format!(
            "{} revocations in the audit log do not name their TPM: compare device list with the log\n",
            since.nameless
        );
    }
    said
}

/// Refuses a registry that is older than the audit log.
pub(super) fn check(log: &Path, registry: &dyn Registry) -> anyhow::Result<()> {
    let what = match unknown(log, registry, now())? {
        None => return Ok(()),
        Some(Unknown::Certificate { serial, time }) => {
            format!("certificate {serial} of {}", in_words(time))
        }
        Some(Unknown::Revocation { ek_name, time }) => {
            format!("the revocation of TPM {ek_name} of {}", in_words(time))
        }
        Some(Unknown::Retirement { key, time }) => {
            format!("the retirement of key {key} of {}", in_words(time))
        }
        Some(Unknown::Withdrawal { token, time }) => {
            format!("the withdrawal of join token {token} of {}", in_words(time))
        }
        Some(Unknown::Waiting { ek_name, time }) => {
            format!(
                "a key that waits for approval, of TPM {ek_name} of {}",
                in_words(time)
            )
        }
    };
    bail!(
        "the registry is older than the audit log, which has {what}: after a restore, stop all nodes and run tpmssh-ca database restored"
    )
}
