//! `tpmssh-ca serve`, `policy check` and `audit verify`.

use std::fs::File;
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;

use super::files::Dir;
use super::{Out, database, restored, tickets};
use crate::audit::{self, Audit};
use crate::authority::{Authority, now};
use crate::policy::in_words;
use crate::signer::Agent;
use crate::{admin, http};

pub(super) fn run(dir: &Dir) -> anyhow::Result<()> {
    dir.check()?;
    let policy = dir.policy()?;
    let listen = policy.listen.clone();
    let connections = http::room()?;
    // Before anything is written: another node here would write as well.
    let socket = admin::claim(&dir.socket())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(http::listen(&listen))?;
    let (registry, tickets) = (database::registry(dir)?, tickets::keys(dir)?);
    restored::check(&dir.audit(), &*registry)?;
    let audit = Audit::open(&dir.audit())?;
    let signer = Box::new(Agent::new(policy.ca.agent.clone()));
    let authority = Authority::new(policy, registry, signer, tickets, audit)?;
    authority.audit().write(now(), "start", &[])?;
    let authority = Arc::new(authority);
    runtime.block_on(async {
        let socket = admin::adopt(socket)?;
        let end = http::ended()?;
        let scheme = if listen.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let address = listener.local_addr()?;
        eprintln!("tpmssh-ca: listening at {scheme}://{address}/");
        tokio::spawn(admin::serve(Arc::clone(&authority), socket));
        http::serve(Arc::clone(&authority), listener, &listen, connections, end).await?;
        authority.audit().write(now(), "stop", &[])?;
        eprintln!("tpmssh-ca: ended");
        Ok(())
    })
}

pub(super) fn check(dir: &Dir, out: &Out) -> anyhow::Result<()> {
    let policy = dir.policy()?;
    let mut text = String::from("the policy is good\n");
    let mut roles = Vec::new();
    for role in policy.roles() {
        let (name, kind, ttl) = (&role.name, role.kind, in_words(role.ttl));
        let (mode, wall) = (role.mode.name(), role.wall.name());
        text += &format!("role {name}: {kind}, mode {mode}, wall {wall}, for {ttl}\n");
        roles.push(
            json!({"role": name, "kind": kind.name(), "mode": mode, "wall": wall, "ttl": role.ttl}),
        );
    }
    out.done(&json!({ "roles": roles }), &text)
}

pub(super) fn verify(dir: &Dir, out: &Out) -> anyhow::Result<()> {
    let path = dir.audit();
    let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let end = audit::verify(&file)?;
    let text = format!(
        "{} lines, each follows from the one before it; the last has the SHA-256 {}\n",
        end.lines, end.prev
    );
    out.done(&json!({"lines": end.lines, "sha256": end.prev}), &text)
}
