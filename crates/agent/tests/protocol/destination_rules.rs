//! What the destinations of a key permit, without an agent around it.

use agent::bind::Binds;
use agent::destination::{permits, visible};
use agent::protocol::{Destination, Hop, HopKey, put_string};
use ssh_key::certificate::CertType;

use crate::host::Host;

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

/// As OpenSSH's agent has it: the condition's host is the pattern, a principal is text.
#[test]
fn a_certificate_is_for_the_names_in_it_and_for_no_pattern() {
    let (host, authority) = (Host::new(1), Host::new(9));
    let sees = |condition: &str, principal: &str| {
        let mut to = to(&authority, None);
        to.to.host = condition.to_owned();
        to.to.keys[0].is_ca = true;
        let until = u64::from(u32::MAX);
        let certificate = authority.certify(&host.blob(), CertType::Host, principal, until);
        let mut binds = Binds::default();
        binds.add(&host.bind_as(&certificate, b"s", false)).unwrap();
        visible(&[to], &binds)
    };
    for (condition, principal, expected) in [
        ("web", "web", true),
        ("web", "db", false),
        ("web", "*", false),
        ("web", "w*", false),
        ("web", "w?b", false),
        ("web", "!db", false),
        ("web", "db,web", false),
        ("*", "web", true),
        ("*", "*", true),
        ("w*", "web", true),
        ("w?b", "web", true),
        ("w?b", "weeb", false),
        ("*.example.org", "a.example.org", true),
        ("*.example.org", "example.org", false),
        ("web", "WEB", false),
        // Without principals: stricter than OpenSSH.
        ("web", "", false),
        ("*", "", false),
    ] {
        assert_eq!(
            sees(condition, principal),
            expected,
            "{condition} {principal}"
        );
    }
}

#[test]
fn a_bind_names_a_session() {
    let mut binds = Binds::default();
    assert!(binds.add(&Host::new(1).bind(b"", false)).is_err());
    assert!(binds.failed());
}

/// A forwarding hop.
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
