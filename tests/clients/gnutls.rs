//! GnuTLS's `gnutls-cli` and `gnutls-serv`, with the key of a TLS client or server in the token.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use testing::{Home, Server};

use super::{
    KEYS, WebServer, file, key_url, module_path, ok, openssl, p11tool::gnutls, two_keys, write,
    written,
};
use crate::program::PIN;

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// A certificate of the key `label`, signed by that key itself; its path.
fn self_signed(home: &Home, label: &str) -> String {
    let template =
        format!("cn = {label}\ndns_name = localhost\nsigning_key\nexpiration_days = 30\n");
    let template = write(home, &format!("{label}.template"), template);
    let certificate = file(home, &format!("{label}.pem"));
    ok(gnutls(home, "certtool")
        .args(["--generate-self-signed", "--template", &template])
        .args(["--load-privkey", &key_url(label, "private")])
        .args(["--load-pubkey", &key_url(label, "public")])
        .args(["--outfile", &certificate]));
    certificate
}

/// Asks the server on `port` for its page.
fn get(client: &mut Command, port: &str) -> String {
    let mut child = client
        .args(["--port", port, "localhost"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A client that was refused does not read it.
    let _ = child.stdin.take().unwrap().write_all(REQUEST);
    written(&child.wait_with_output().unwrap())
}

#[test]
fn a_client_proves_its_certificate_over_both_versions_of_tls() {
    let program = two_keys();
    let home = &program.home;
    let certificates = KEYS.map(|label| (label, self_signed(home, label)));
    let trusted = certificates
        .each_ref()
        .map(|(_, path)| std::fs::read(path).unwrap());
    let trusted = write(home, "trusted.pem", trusted.concat());
    for (option, version, spoken) in [
        ("-tls1_2", "TLS1.2", "TLSv1.2"),
        ("-tls1_3", "TLS1.3", "TLSv1.3"),
    ] {
        let server = WebServer::start(home, &trusted, option);
        let priority = format!("NORMAL:-VERS-ALL:+VERS-{version}");
        for (label, certificate) in &certificates {
            let mut client = gnutls(home, "gnutls-cli");
            client
                .args(["--priority", &priority])
                .args(["--x509cafile", server.certificate()])
                .args(["--x509certfile", certificate])
                .args(["--x509keyfile", &key_url(label, "private")]);
            let page = get(&mut client, &server.port());
            server.assert_page(&page, &format!("CN={label}"), spoken);
        }
    }
}

#[test]
fn a_server_proves_its_certificate() {
    let program = two_keys();
    let home = &program.home;
    for label in KEYS {
        let certificate = self_signed(home, label);
        let server = Server::start(home, "gnutls-serv", |command, port| {
            command
                .args(["--provider", &module_path(), "--http", "--echo"])
                .args(["--port", &port.to_string()])
                .args(["--x509certfile", &certificate])
                .args(["--x509keyfile", &key_url(label, "private")])
                .env("GNUTLS_PIN", PIN);
        });
        let address = format!("127.0.0.1:{}", server.port());
        let args = ["s_client", "-CAfile", &certificate, "-verify_return_error"];
        let printed = openssl(home, &[&args[..], &["-connect", &address]].concat());
        assert!(printed.contains("Verify return code: 0 (ok)"), "{printed}");
    }
}
