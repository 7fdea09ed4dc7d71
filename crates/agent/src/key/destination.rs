//! Whether the destinations of a key permit what a connection wants.
//!
//! # Source
//!
//! OpenSSH's `ssh-agent.c`: `identity_permitted`, `permitted_by_dest_constraints`,
//! `match_key_hop`, and the checks of `process_sign_request2`.

use ssh_format::pattern::matches;
use ssh_format::{Certificate, CertificateKind, CertificateState};

use crate::key::bind::{Bind, Binds};
use crate::key::certificate::now;
use crate::protocol::{Destination, Hop, UserAuth};

/// Whether a key with these destinations is listed for a connection.
#[must_use]
pub fn visible(destinations: &[Destination], binds: &Binds) -> bool {
    if destinations.is_empty() {
        return true;
    }
    if binds.failed() {
        return false;
    }
    let Some(last) = binds.list().last() else {
        return true;
    };
    // If the agent was forwarded, a key that may only be used to get there is hidden.
    hops(destinations, binds.list(), None)
        && (!last.forwarding
            || destinations
                .iter()
                .any(|entry| leaves(entry, Some(&last.host_key))))
}

/// Whether a key with these destinations may sign `data`, given with `key`, the blob that the
/// client named.
///
/// # Errors
///
/// The reason why it may not.
pub fn permits(
    destinations: &[Destination],
    binds: &Binds,
    data: &[u8],
    key: &[u8],
) -> Result<(), &'static str> {
    if destinations.is_empty() {
        return Ok(());
    }
    if binds.failed() {
        return Err("a bind of this connection was refused");
    }
    let last = binds
        .list()
        .last()
        .ok_or("the connection is not bound to a server")?;
    let auth = UserAuth::decode(data, key).map_err(|_| "it is not a login")?;
    if last.forwarding {
        return Err("the agent is only forwarded to that server");
    }
    if !hops(destinations, binds.list(), Some(auth.user)) {
        return Err("the server or user is not permitted");
    }
    if auth.session_id != last.session_id {
        return Err("it is for another session");
    }
    match auth.host_key {
        None if binds.list().len() > 1 => Err("a forwarded login names no server"),
        Some(host_key) if host_key != last.host_key => Err("it is for another server"),
        _ => Ok(()),
    }
}

/// Whether each hop of a connection is permitted, the last one for `user`.
fn hops(destinations: &[Destination], binds: &[Bind], user: Option<&str>) -> bool {
    let mut from = None;
    for (i, bind) in binds.iter().enumerate() {
        let is_last = i + 1 == binds.len();
        if !is_last && !bind.forwarding {
            return false;
        }
        let user = user.filter(|_| is_last);
        let permitted = destinations.iter().any(|entry| {
            leaves(entry, from)
                && fits(&entry.to, &bind.host_key)
                && match (&entry.to.user, user) {
                    (Some(pattern), Some(user)) => matches(pattern.as_bytes(), user.as_bytes()),
                    _ => true,
                }
        });
        if !permitted {
            return false;
        }
        from = Some(&bind.host_key);
    }
    true
}

/// Whether `entry` permits a hop from the host with this key, or from here.
fn leaves(entry: &Destination, from: Option<&Vec<u8>>) -> bool {
    match (&entry.from, from) {
        (None, None) => true,
        (Some(hop), Some(key)) => fits(hop, key),
        _ => false,
    }
}

/// Whether a host that shows `host_key` is the one of `hop`.
fn fits(hop: &Hop, host_key: &[u8]) -> bool {
    match Certificate::from_blob(host_key) {
        Ok(certificate) => hop
            .keys
            .iter()
            .any(|key| key.is_ca && is_certified(&certificate, &key.blob, &hop.host)),
        Err(_) => hop
            .keys
            .iter()
            .any(|key| !key.is_ca && key.blob == host_key),
    }
}

/// Whether `certificate` is valid now, is signed by the authority with this key, and names a host
/// that the condition permits.
///
/// The condition's host name is the pattern, and the certificate's principals are plain text: a
/// certificate for `*` is one for a host of that name. A certificate without principals is for
/// no host here.
///
/// # Source
///
/// `match_key_hop` of OpenSSH's `ssh-agent.c`, `sshkey_cert_check_host` with wildcards.
fn is_certified(certificate: &Certificate, authority: &[u8], host: &str) -> bool {
    let principals = certificate.principals();
    certificate.authority().blob() == authority
        && certificate.verify().is_ok()
        && certificate.kind() == CertificateKind::Host
        && certificate.check_critical_options().is_ok()
        && certificate.state(now()) == CertificateState::Valid
        && principals
            .iter()
            .any(|principal| matches(host.as_bytes(), principal.as_bytes()))
}
