//! `tpmssh-ca serve`, `policy check` and `audit verify`.

use std::fs::{self, File};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::dir::Dir;
use super::{Out, notify, registry, restored, tickets};
use crate::audit::{self, Audit};
use crate::authority::{Authority, Rules, now};
use crate::http::Tls;
use crate::identity::oidc;
use crate::policy::in_words;
use crate::private_tls::PrivateTls;
use crate::reload::{Read, Reload, renew_if_due};
use crate::{admin, http, signer};

pub(super) fn run(dir: &Dir) -> anyhow::Result<()> {
    dir.check()?;
    let read = reader(dir);
    let (rules, digest) = read()?;
    // Left by an `init` that was killed after it had written the policy. The keys are in use from now on.
    let _ = fs::remove_file(dir.unfinished());
    let policy = &rules.policy;
    let listen = policy.listen.clone();
    let connections = http::room()?;
    // Claimed before anything is written, so that two nodes never write to the same directory.
    let socket = admin::claim(&dir.socket())?;
    let own_tls = PrivateTls::new(dir.path());
    // A node that was stopped for long would start with an expired certificate. Errors in the file are reported by the next step.
    if let Err(err) = renew_if_due(&listen, &own_tls, now()) {
        eprintln!("tpmssh-ca: the TLS certificate is not renewed: {err:#}");
    }
    let tls = Tls::new(&listen)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(http::listen(&listen))?;
    let metrics = match policy.metrics {
        Some(address) => Some(runtime.block_on(http::bind(address))?),
        None => None,
    };
    let registry = registry::registry(dir)?;
    restored::check(&dir.audit(), &*registry)?;
    let audit = Audit::open(&dir.audit())?;
    let signer = signer::at(&policy.ca.place)?;
    let authority = Arc::new(Authority::new(rules, registry, signer, audit)?);
    let note = |event, facts: &[_]| authority.audit().write(now(), event, facts);
    note("start", &[("sha256", digest)])?;
    let node = Arc::new(Reload::new(Arc::clone(&authority), tls.clone(), read));
    runtime.block_on(async {
        let socket = admin::adopt(socket)?;
        let end = http::ended()?;
        tokio::spawn(hang_ups(Arc::clone(&node))?);
        tokio::spawn(renewals(Arc::clone(&node), own_tls));
        let scheme = if listen.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let address = listener.local_addr()?;
        eprintln!("tpmssh-ca: listening at {scheme}://{address}/");
        if let Some(metrics) = metrics {
            let address = metrics.local_addr()?;
            eprintln!("tpmssh-ca: counters at http://{address}/metrics");
            tokio::spawn(http::serve_metrics(Arc::clone(&authority), metrics));
        }
        // Weak, so that the registry and the audit log are closed when the node ends.
        let known = Arc::downgrade(&authority);
        oidc::keep_fetched(move || Some(known.upgrade()?.policy().remotes()))?;
        tokio::spawn(admin::serve(node, socket));
        notify::tell("READY=1");
        http::serve(Arc::clone(&authority), listener, tls, connections, end).await?;
        notify::tell("STOPPING=1");
        note("stop", &[])?;
        eprintln!("tpmssh-ca: ended");
        Ok(())
    })
}

/// A function that reads the node's files.
fn reader(dir: &Dir) -> Read {
    let (dir, own, start) = (dir.clone(), tickets::own(), now());
    Box::new(move || {
        let (policy, digest) = dir.policy()?;
        let tickets = tickets::keys(&dir, &own)?;
        let rules = Rules {
            policy,
            tickets,
            tickets_since: tickets::since(&dir).unwrap_or(start),
        };
        Ok((rules, digest))
    })
}

/// Reads the files anew at each SIGHUP.
fn hang_ups(node: Arc<Reload>) -> io::Result<impl Future<Output = ()>> {
    let mut signal = signal(SignalKind::hangup())?;
    Ok(async move {
        while signal.recv().await.is_some() {
            let node = Arc::clone(&node);
            // `reload` prints the result itself.
            let _ = tokio::task::spawn_blocking(move || node.reload("SIGHUP")).await;
        }
    })
}

/// Checks every hour whether the TLS certificate expires soon.
async fn renewals(node: Arc<Reload>, own: PrivateTls) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hours.tick().await;
        let (node, own) = (Arc::clone(&node), own.clone());
        let renew = move || {
            if let Err(err) = node.renew_tls(&own, now()) {
                eprintln!("tpmssh-ca: the TLS certificate is not renewed: {err:#}");
            }
        };
        let _ = tokio::task::spawn_blocking(renew).await;
    }
}

pub(super) fn check(dir: &Dir, out: &Out) -> anyhow::Result<()> {
    let (policy, _) = dir.policy()?;
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
