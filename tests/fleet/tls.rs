//! TLS certificates that the authority makes itself, and that machines recognize by a hash.

use std::fs;
use std::path::Path;

use super::Authority;
use super::people::{enrol, status};
use crate::program::{Program, run};

const HERE: [&str; 2] = ["--tls-name", "127.0.0.1"];

fn ca_of(authority: &Authority) -> String {
    let shown = authority.run(&["tls", "show", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown["ca_sha256"].as_str().unwrap().to_owned()
}

/// After the first contact, machines use only a server with a certificate by this CA. The certificate can change.
#[test]
fn a_machine_knows_the_authority_by_the_hash_that_init_prints() {
    let program = Program::with_key();
    let authority = Authority::start_with(&HERE);
    assert!(authority.url.starts_with("https://127.0.0.1:"));
    let (url, pin) = (&authority.url, ca_of(&authority));
    let token = authority.token("user", "anna");
    let with = |pin: &str, url: &str| {
        enrol(
            &program,
            url,
            &["--join-token", &token, "--tls-ca-sha256", pin],
        )
    };
    let other = |url: &str, pin: &str| {
        format!(
            "tpmssh: what answers at {url} shows no TLS certificate with the SHA-256 {pin}\n\
             hint: nothing secret was sent; compare the address and the SHA-256 with what its administrator sees with: tpmssh-ca tls show\n"
        )
    };
    let wrong = "0".repeat(64);
    with(&wrong, url).fails(8, &other(url, &wrong));
    let elsewhere = Authority::start_with(&HERE);
    with(&pin, &elsewhere.url).fails(8, &other(&elsewhere.url, &pin));
    drop(elsewhere);
    let plain = url.replace("https:", "http:");
    with(&pin, &plain).fails(
        2,
        &format!(
            "tpmssh: {plain} is not the address of an authority: a certificate is known by its hash only with https\n"
        ),
    );
    let short = with("abc", url);
    assert_eq!(short.code, Some(2), "{short:?}");
    assert!(
        short.stderr.contains("a SHA-256 has 64 hexadecimal digits"),
        "{short:?}"
    );

    with(&pin, url).ok();
    let renew = || program.run(&["renew", "--all", "--pin-file", &program.pin]);
    renew().ok();
    authority.run(&["tls", "renew"]);
    renew().ok();
    assert_eq!(status(&program)[0]["failures"], 0);
    // The new certificate no longer has the name.
    authority.run(&["tls", "renew", "--tls-name", "ca.example"]);
    let not_taken = |fault: &str, hint: &str| {
        format!(
            "tpmssh: the TLS certificate of the authority at {url} is not taken: {fault}\nhint: {hint}\n"
        )
    };
    let says = not_taken(
        "it is for another name than this one",
        "use a name that it has, which its administrator sees with: tpmssh-ca tls show",
    );
    with(&pin, url).fails(8, &says);
}

#[test]
fn a_certificate_that_has_ended_is_told() {
    let program = Program::with_key();
    let mut authority = Authority::start_with(&HERE);
    let pin = ca_of(&authority);
    let token = authority.token("user", "anna");
    authority.stop();
    let at = |name: &str| authority.file(&format!("ca/{name}"));
    let [key, ca, ca_key, csr, chain] =
        ["tls.key", "tls-ca.pem", "tls-ca.key", "csr", "tls.pem"].map(at);
    let name = "subjectAltName=IP:127.0.0.1";
    let request = ["req", "-new", "-key", &key, "-subj", "/CN=ca", "-addext"];
    run("openssl", &[&request[..], &[name, "-out", &csr]].concat());
    let by = ["-CA", &ca, "-CAkey", &ca_key, "-days", "0", "-out", &chain];
    let signed = ["x509", "-req", "-in", &csr, "-copy_extensions", "copy"];
    run("openssl", &[&signed[..], &by].concat());
    let whole = fs::read_to_string(&chain).unwrap() + &fs::read_to_string(&ca).unwrap();
    fs::write(&chain, whole).unwrap();
    // Without the key of the CA, the node cannot renew the certificate.
    fs::remove_file(Path::new(&ca_key)).unwrap();
    authority.serve();
    let ask = || {
        enrol(
            &program,
            &authority.url,
            &["--join-token", &token, "--tls-ca-sha256", &pin],
        )
    };
    // The certificate expires a second after it was made.
    std::thread::sleep(std::time::Duration::from_secs(2));
    ask().fails(
        8,
        &format!(
            "tpmssh: the TLS certificate of the authority at {} is not taken: it has ended\n\
             hint: its administrator makes the next one with: tpmssh-ca tls renew; if it is not that old, see whether the clock of this machine is right\n",
            authority.url
        ),
    );
}
