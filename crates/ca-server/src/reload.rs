//! Reloads the rules of a running node: all of them, or none if anything is wrong.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use ssh_format::text::error_line;

use crate::authority::{Authority, Rules, now};
use crate::http::Tls;
use crate::policy::{CaPlace, Listen, Policy};
use crate::private_tls::PrivateTls;

/// Reads the node's files. Returns the rules, and the SHA-256 of the policy's text in hexadecimal.
pub type Read = Box<dyn Fn() -> anyhow::Result<(Rules, String)> + Send + Sync>;

/// A node whose rules can be reloaded.
pub struct Reload {
    authority: Arc<Authority>,
    tls: Tls,
    read: Read,
    /// Held during a reload, so that there is only one at a time.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

impl Reload {
    /// Reloads for a node and its TLS certificate, with `read` to read the files.
    #[must_use]
    pub fn new(authority: Arc<Authority>, tls: Tls, read: Read) -> Self {
        Self {
            authority,
            tls,
            read,
            turn: Mutex::new(()),
        }
    }

    /// The node.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Reads the files again, and applies them to requests that begin from now on. Returns the SHA-256 of the policy's text in hexadecimal.
    ///
    /// The result is a line in the audit log, with `by`, and a line on standard error.
    ///
    /// # Errors
    ///
    /// If anything in the files is wrong, or the audit log cannot be written. Then nothing is changed.
    pub fn reload(&self, by: &str) -> anyhow::Result<String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let by = || ("by", by.to_owned());
        let done = self.check().and_then(|(rules, tls, digest)| {
            let facts = [("sha256", digest.clone()), by()];
            let noted = self.authority.audit().write(now(), "reload", &facts);
            noted.context("the audit log cannot be written")?;
            self.authority.replace(rules);
            self.tls.replace(&tls);
            Ok(digest)
        });
        match &done {
            Ok(digest) => eprintln!("tpmssh-ca: the policy with the SHA-256 {digest} is in force"),
            Err(err) => {
                let why = error_line(err.as_ref());
                eprintln!("tpmssh-ca: nothing is reloaded: {why}");
                let facts = [("refused", "policy".to_owned()), ("why", why), by()];
                if let Err(err) = self.authority.audit().write(now(), "reload", &facts) {
                    eprintln!("tpmssh-ca: the audit log cannot be written: {err}");
                }
            }
        }
        done
    }

    /// Makes the next TLS certificate if the one in use was made by `own` and expires soon. New connections use it. Nothing else is reloaded.
    ///
    /// # Errors
    ///
    /// If the certificate cannot be made; then the old one stays in use.
    pub(crate) fn renew_tls(&self, own: &PrivateTls, now: u64) -> anyhow::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let listen = self.authority.policy().listen.clone();
        let Some(until) = renew_if_due(&listen, own, now)? else {
            return Ok(());
        };
        self.tls.replace(&Tls::new(&listen)?);
        let facts = [("until", until.to_string()), ("by", "serve".to_owned())];
        let noted = self.authority.audit().write(now, "tls-renew", &facts);
        noted.context("the audit log cannot be written")
    }

    fn check(&self) -> anyhow::Result<(Rules, Tls, String)> {
        let (rules, digest) = (self.read)()?;
        check_fixed(&self.authority.policy(), &rules.policy)?;
        let tls = Tls::new(&rules.policy.listen)?;
        Ok((rules, tls, digest))
    }
}

/// Makes the next TLS certificate if the one in the policy was made by `own` and expires soon. Returns the end of the new one.
pub(crate) fn renew_if_due(
    listen: &Listen,
    own: &PrivateTls,
    now: u64,
) -> anyhow::Result<Option<u64>> {
    let certificate = listen.certificate.as_deref();
    if !certificate.is_some_and(|it| own.is_own(it)) || !own.seen()?.is_due(now) {
        return Ok(None);
    }
    let seen = own.renew(None, now)?;
    Ok(Some(seen.until))
}

/// Refuses changes that need a restart of the node: its name, its addresses, and its keys.
fn check_fixed(now: &Policy, new: &Policy) -> anyhow::Result<()> {
    let where_ = match now.ca.place {
        CaPlace::Agent(_) => "ca.agent",
        CaPlace::Token(_) => "ca.token",
        CaPlace::Sealed(_) => "ca.sealed",
    };
    for (what, same) in [
        ("audience", now.audience == new.audience),
        ("listen.address", now.listen.address == new.listen.address),
        ("metrics.address", now.metrics == new.metrics),
        (where_, now.ca.place == new.ca.place),
        ("ca.user", now.ca.user.blob() == new.ca.user.blob()),
        ("ca.host", now.ca.host.blob() == new.ca.host.blob()),
    ] {
        ensure!(
            same,
            "{what} is another one than that of the running node, and changes only when the node is restarted"
        );
    }
    Ok(())
}
