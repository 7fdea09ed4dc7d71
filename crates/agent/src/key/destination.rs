//! Whether the destinations of a key permit what a connection wants.
//!
//! # Source
//!
//! OpenSSH's `ssh-agent.c`: `identity_permitted`, `permitted_by_dest_constraints`,
//! `match_key_hop`, and the checks of `process_sign_request2`.

use ssh_format::{Certificate, CertificateKind, CertificateState};

use crate::key::bind::{Bind, Binds};
use crate::key::certificate::now;
use crate::protocol::{Destination, Hop, UserAuth};

/// Whether a key with these destinations is to be seen over a connection.
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
    // Where the agent was forwarded, a key that may only be used to get there is hidden.
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
/// What stands against it.
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
                    (Some(pattern), Some(user)) => matches(pattern, user),
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

/// Whether `certificate` is one of the authority with this key, for this host, now.
fn is_certified(certificate: &Certificate, authority: &[u8], host: &str) -> bool {
    let principals = certificate.principals();
    certificate.authority().blob() == authority
        && certificate.verify().is_ok()
        && certificate.kind() == CertificateKind::Host
        && certificate.check_critical_options().is_ok()
        && certificate.state(now()) == CertificateState::Valid
        && principals.iter().any(|pattern| matches(pattern, host))
}

/// Whether `text` fits a pattern with `*` for anything and `?` for one character.
///
/// Takes time of at most the product of the lengths, whatever the pattern: it goes back to the
/// last star alone.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else {
                    return false;
                };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ssh_key::certificate::CertType;

    use super::*;
    use crate::host::Host;
    use crate::protocol::{HopKey, put_string};

    const KEY: &[u8] = b"\0\0\0\x13ecdsa-sha2-nistp256";

    fn hop(host: &Host, user: Option<&str>) -> Hop {
        Hop {
            host: "host".into(),
            user: user.map(str::to_owned),
            keys: vec![HopKey {
                blob: host.blob(),
                is_ca: false,
            }],
        }
    }

    fn to(host: &Host, user: Option<&str>) -> Destination {
        Destination {
            from: None,
            to: hop(host, user),
        }
    }

    fn login(session: &[u8], user: &str, host: Option<&Host>) -> Vec<u8> {
        let method = if host.is_some() {
            "publickey-hostbound-v00@openssh.com"
        } else {
            "publickey"
        };
        let mut data = Vec::new();
        put_string(&mut data, session);
        data.push(50);
        for field in [user, "ssh-connection", method] {
            put_string(&mut data, field.as_bytes());
        }
        data.push(1);
        put_string(&mut data, b"ecdsa-sha2-nistp256");
        put_string(&mut data, KEY);
        if let Some(host) = host {
            put_string(&mut data, &host.blob());
        }
        data
    }

    fn binds(hops: &[(&Host, &[u8], bool)]) -> Binds {
        let mut binds = Binds::default();
        for (host, session, forwarding) in hops {
            binds.add(&host.bind(session, *forwarding)).unwrap();
        }
        binds
    }

    /// A23.
    #[test]
    fn a_key_signs_for_its_host_and_user_alone() {
        let (good, bad) = (Host::new(1), Host::new(2));
        let key = [to(&good, Some("an*"))];
        let at_good = binds(&[(&good, b"s", false)]);
        let may = |binds: &Binds, data: &[u8]| permits(&key, binds, data, KEY);
        assert_eq!(may(&at_good, &login(b"s", "anna", Some(&good))), Ok(()));
        assert_eq!(may(&at_good, &login(b"s", "anna", None)), Ok(()));
        assert!(may(&at_good, &login(b"s", "bert", Some(&good))).is_err());
        assert!(may(&at_good, &login(b"x", "anna", Some(&good))).is_err());
        assert!(may(&at_good, &login(b"s", "anna", Some(&bad))).is_err());
        assert!(may(&at_good, b"anything else").is_err());
        assert!(may(&Binds::default(), &login(b"s", "anna", Some(&good))).is_err());
        let at_bad = binds(&[(&bad, b"s", false)]);
        assert!(may(&at_bad, &login(b"s", "anna", Some(&bad))).is_err());
        assert!(visible(&key, &Binds::default()) && visible(&key, &at_good));
        assert!(!visible(&key, &at_bad));
    }

    #[test]
    fn a_host_is_known_by_the_authority_that_certifies_it() {
        let (host, authority) = (Host::new(1), Host::new(9));
        let mut to = to(&authority, None);
        to.to.keys[0].is_ca = true;
        let sees = |certificate: &[u8]| {
            let mut binds = Binds::default();
            binds.add(&host.bind_as(certificate, b"s", false)).unwrap();
            visible(&[to.clone()], &binds)
        };
        let by = |authority: &Host, kind, name| {
            let until = u64::from(u32::MAX);
            authority.certify(&host.blob(), kind, name, until)
        };
        assert!(sees(&by(&authority, CertType::Host, "host")));
        assert!(!sees(&by(&authority, CertType::Host, "other")));
        assert!(!sees(&by(&authority, CertType::User, "host")));
        assert!(!sees(&by(&Host::new(8), CertType::Host, "host")));
        assert!(!sees(&authority.certify(
            &host.blob(),
            CertType::Host,
            "host",
            2
        )));
        assert!(!sees(&host.blob()), "its key alone");
    }

    /// A23: a forwarding hop.
    #[test]
    fn a_key_is_used_and_seen_beyond_a_hop_only_where_that_is_permitted() {
        let (jump, far) = (Host::new(1), Host::new(2));
        let forwarded = binds(&[(&jump, b"j", true)]);
        let beyond = binds(&[(&jump, b"j", true), (&far, b"f", false)]);
        let data = login(b"f", "anna", Some(&far));

        let only_jump = [to(&jump, None)];
        assert!(!visible(&only_jump, &forwarded));
        assert!(permits(&only_jump, &beyond, &data, KEY).is_err());

        let both = [
            to(&jump, None),
            Destination {
                from: Some(hop(&jump, None)),
                to: hop(&far, None),
            },
        ];
        assert!(visible(&both, &forwarded));
        assert_eq!(permits(&both, &beyond, &data, KEY), Ok(()));
        let unnamed = login(b"f", "anna", None);
        assert!(permits(&both, &beyond, &unnamed, KEY).is_err());
        let at_hop = login(b"j", "anna", Some(&jump));
        assert!(permits(&both, &forwarded, &at_hop, KEY).is_err());
    }

    /// A21.
    #[test]
    fn after_a_refused_bind_a_constrained_key_is_out_of_reach() {
        let good = Host::new(1);
        let mut bad = good.bind(b"s", false);
        bad.truncate(10);
        let mut binds = Binds::default();
        assert!(binds.add(&bad).is_err());
        assert!(!visible(&[to(&good, None)], &binds));
        binds.add(&good.bind(b"s", false)).unwrap();
        let data = login(b"s", "anna", Some(&good));
        assert!(permits(&[to(&good, None)], &binds, &data, KEY).is_err());
        assert_eq!(
            permits(&[], &binds, &data, KEY),
            Ok(()),
            "a free key is free"
        );
    }

    #[test]
    fn patterns_match_as_a_shell_would() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*.example.org", "a.b.example.org", true),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    /// A24.
    #[test]
    fn a_pattern_of_stars_is_quick() {
        let start = Instant::now();
        assert!(!matches(&"*a".repeat(128), &"a".repeat(120)));
        assert!(!matches(&format!("{}b", "*".repeat(255)), &"a".repeat(256)));
        assert!(start.elapsed() < Duration::from_millis(10));
    }
}
