use std::path::Path;

use key_proof::{Kind, Mode};

use super::role::{EXTENSIONS, KEY_TYPES};
use super::*;

const KEY_A: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAD+9COUiX7WYgcvIOdI8+djdoFDVUTxNrcog8sSYdbIzeG+bYdsssvcyy/nRfVhXC5QBCk8IThqs7D4/lFxX5g=";
const KEY_B: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGD+1LolWp0xyWHrdMY1bWjASbiSO2H6bOZpYi5g8p+2eQP+EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk=";

fn good() -> String {
    format!(
        "version = 1\naudience = \"https://ca.example/\"\n[listen]\naddress = \"127.0.0.1:8700\"\n\
         [ca]\nagent = \"/run/agent\"\nuser = \"{KEY_A}\"\nhost = \"{KEY_B}\"\n\
         [role.host]\nkind = \"host\"\nmode = \"D\"\nprincipals = [\"{{name}}\"]\nttl = \"24h\"\n"
    )
}

/// Files that contain their own name.
struct Named;

impl Files for Named {
    fn roots(&mut self, _: &Path, _: &mut Anchors) -> Result<(), String> {
        Ok(())
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let text = path.to_str().ok_or("no text")?;
        match text {
            "missing" => Err("cannot read missing".to_owned()),
            text => Ok(text.replace("KEY", KEY_A).into_bytes()),
        }
    }
}

fn read(text: &str) -> Result<Policy, String> {
    Policy::parse(text, &mut Named).map_err(|err| err.to_string())
}

#[test]
fn a_policy_is_read() {
    let policy = read(&good()).unwrap();
    let role = policy.role("host").unwrap();
    assert_eq!(
        (role.ttl, role.kind, role.mode),
        (86400, Kind::Host, Mode::D)
    );
    assert!(role.approve_first);
    assert_eq!(role.rebind, Rebind::Approve);
    assert_eq!(
        role.principals("web1.example.com"),
        Some(vec!["web1.example.com".to_owned()])
    );
}

/// CVE-2024-7594: a template that makes no principal of a name must not lead to a certificate for all names.
#[test]
fn a_name_that_makes_no_principal_makes_no_certificate() {
    let policy = read(&good()).unwrap();
    let role = policy.role("host").unwrap();
    for name in ["", "a b", "a,b", "a\n", "é", "*", &"x".repeat(256)] {
        assert_eq!(role.principals(name), None, "{name:?}");
    }
    let denying = good() + "deny_principals = [\"root\"]\n";
    let policy = read(&denying).unwrap();
    assert_eq!(policy.role("host").unwrap().principals("root"), None);
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_taken() {
    for (from, to, says) in [
        (
            "version = 1",
            "version = 2",
            "version: only version 1 is known",
        ),
        (
            "\"https://ca.example/\"",
            "\"\"",
            "audience: it has to be a word, such as the URL of the authority",
        ),
        (
            "127.0.0.1",
            "192.0.2.1",
            "listen: without certificate and key the address has to be one of this machine, such as 127.0.0.1",
        ),
        (
            "8700\"",
            "8700\"\ncertificate = \"x\"",
            "listen: certificate and key belong together",
        ),
        (KEY_B, KEY_A, "ca: users and hosts need two different keys"),
        ("\"24h\"", "\"1s\"", "role.host: ttl is between 1m and 366d"),
        (
            "\"24h\"",
            "\"soon\"",
            "role.host: ttl: \"soon\" is no span of time, such as 30m, 24h or 7d",
        ),
        (
            "[\"{name}\"]",
            "[]",
            "role.host: principals are missing: a certificate without any is good for all names",
        ),
        (
            "[\"{name}\"]",
            "[\"{other}\"]",
            "role.host: principal \"{other}\" is none",
        ),
        (
            "\"D\"",
            "\"C\"",
            "role.host: modes A and C need the makers' certificates (ek.roots)",
        ),
        (
            "\"24h\"",
            "\"24h\"\nextensions = [\"permit-pty\"]",
            "role.host: extensions and source_address are for users",
        ),
        (
            "\"host\"\nmode",
            "\"user\"\nextensions = [\"permit-all\"]\nmode",
            "role.host: \"permit-all\" is no extension of OpenSSH",
        ),
        (
            "\"host\"\nmode",
            "\"user\"\nsource_address = [\"10.0.0.0/33\"]\nmode",
            "role.host: \"10.0.0.0/33\" is no address or network, such as 10.0.0.0/8",
        ),
        (
            "\"24h\"",
            "\"24h\"\nkey_types = [\"dsa\"]",
            "role.host: \"dsa\" is no type of key, such as ecdsa-p256",
        ),
        (
            "{name}",
            "{identity}",
            "role.host: {identity} is for roles that take an identity; {name} is the name in a join token or import",
        ),
        (
            "\"24h\"",
            "\"24h\"\nidentity = [{type = \"ssh\", allowed_signers = \"missing\"}]",
            "role.host.identity[0]: cannot read missing",
        ),
        (
            "\"24h\"",
            "\"24h\"\nidentity = [{type = \"ssh\", allowed_signers = \"anna sometimes KEY\"}]",
            "role.host.identity[0]: anna sometimes KEY: line 1 of the allowed signers is skipped: the option sometimes is not known",
        ),
        (
            "\"24h\"",
            "\"24h\"\nidentity = [{type = \"ssh\", allowed_signers = \"*@example.com KEY\"}]",
            "role.host.identity[0]: *@example.com KEY, line 1: a key needs a name and no pattern; patterns are for authorities (cert-authority)",
        ),
        (
            "\"24h\"",
            "\"24h\"\nidentity = [{type = \"ssh\", allowed_signers = \"anna KEY\", cut = \".com\"}]",
            "role.host.identity[0]: cut is the end of the names that is left out, such as \"@example.com\", and not \".com\"",
        ),
        (
            "role.host",
            "role.\"a b\"",
            "role.a b: a role's name has letters, digits and - . _ in it",
        ),
    ] {
        let text = good().replace(from, to);
        assert_ne!(text, good(), "{from}");
        assert_eq!(read(&text).unwrap_err(), says);
    }
    let user = good().replace("\"host\"\nmode", "\"user\"\nmode");
    for (network, is_one) in [
        ("10.0.0.0/8", true),
        ("::1", true),
        ("0.0.0.0/0", true),
        ("2001:db8::/32", true),
        ("10.0.0.1/8", false),
        ("::1/64", false),
        ("10.0.0.0/+8", false),
        ("here", false),
    ] {
        let text = format!("{user}source_address = [\"{network}\"]\n");
        assert_eq!(read(&text).is_ok(), is_one, "{network}");
    }
    for unknown in ["typo = 1\n", "rebind = \"never\"\n"] {
        assert!(
            read(&(good() + unknown))
                .unwrap_err()
                .starts_with("policy: "),
            "{unknown}"
        );
    }
}

/// The policy in the guide is accepted, and the page explains each word that a policy can have.
#[test]
fn the_policy_in_the_guide_is_read() {
    let page = include_str!("../../../../docs/guide/policy.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (block, rest) = rest.split_once("```").unwrap();
    let jwks = "{\\\"keys\\\": [{\\\"kty\\\": \\\"EC\\\", \\\"crv\\\": \\\"P-256\\\", \
                \\\"x\\\": \\\"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY\\\", \\\"y\\\": \\\"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU\\\"}]}";
    let text = block
        .replacen("ecdsa-sha2-nistp256 …", KEY_A, 1)
        .replacen("ecdsa-sha2-nistp256 …", KEY_B, 1)
        .replace("/etc/tpmssh-ca/signers", "anna@example.com KEY")
        .replace("/etc/tpmssh-ca/jwks.json", jwks);
    let policy = read(&text).unwrap();
    let staff = policy.role("staff").unwrap();
    assert_eq!(
        (staff.identities.len(), staff.wall),
        (2, key_proof::Wall::Counter)
    );
    assert_eq!(policy.role("web").unwrap().rebind, Rebind::OldKey);
    for (word, _) in KEY_TYPES {
        assert!(rest.contains(&format!("`{word}`")), "{word}");
    }
    for word in EXTENSIONS {
        assert!(rest.contains(&format!("`{word}`")), "{word}");
    }
    let toml: toml::Table = toml::from_str(&text).unwrap();
    for role in toml["role"].as_table().unwrap().values() {
        for word in role.as_table().unwrap().keys() {
            assert!(rest.contains(&format!("| `{word}` |")), "{word}");
        }
    }
}
