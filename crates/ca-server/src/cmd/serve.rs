//! `tpmssh-ca serve`, `policy check` and `audit verify`.

use std::fs::File;
use std::sync::Arc;

use anyhow::Context;
use key_proof::TicketKey;
use rand_core::{OsRng, RngCore};
use serde_json::json;

use super::Out;
use super::files::Dir;
use crate::audit::{self, Audit};
use crate::authority::{Authority, now};
use crate::policy::in_words;
use crate::registry::sqlite::Sqlite;
use crate::signer::Agent;
use crate::{admin, http};

pub(super) fn run(dir: &Dir) -> anyhow::Result<()> {
    dir.check()?;
    let policy = dir.policy()?;
    let listen = policy.listen.clone();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        // Before anything is written: another node here would write as well.
        let socket = admin::listen(&dir.socket())?;
        let listener = http::listen(&listen).await?;
        let registry = Sqlite::open(&dir.registry())
            .with_context(|| format!("cannot open {}", dir.registry().display()))?;
        let audit = Audit::open(&dir.audit())?;
        let signer = Agent::new(policy.ca.agent.clone());
        // Made anew at each start, and in memory alone: a challenge lives two minutes.
        let mut secret = zeroize::Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut *secret);
        let tickets = vec![TicketKey::new(*secret)];
        let authority =
            Authority::new(policy, Box::new(registry), Box::new(signer), tickets, audit)?;
        authority.audit().write(now(), "start", &[])?;
        let authority = Arc::new(authority);
        let end = http::ended()?;
        let scheme = if listen.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let address = listener.local_addr()?;
        eprintln!("tpmssh-ca: listening at {scheme}://{address}/");
        tokio::spawn(admin::serve(Arc::clone(&authority), socket));
        http::serve(Arc::clone(&authority), listener, &listen, end).await?;
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
