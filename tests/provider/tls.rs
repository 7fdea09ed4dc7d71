//! TLS, and programs that have the provider in their configuration: curl, nginx, OpenSSH.

use std::collections::BTreeSet;

use testing::{Server, Sshd};

use super::{Checks, KEYS, Token, shown, uri};
use crate::clients::{WebServer, ok};

const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

#[test]
fn clients_prove_their_certificates() {
    let Some(token) = Token::ours() else { return };
    token.certify();
    let home = &token.program.home;
    let mut checks = Checks::default();
    for label in KEYS {
        for (version, spoken) in VERSIONS {
            let server = WebServer::start(home, token.file(&format!("{label}.pem")), version);
            let (port, trusted) = (server.port(), server.certificate());
            let client = format!(
                "s_client -key @{label} -cert {label}.pem -CAfile {trusted} -verify_return_error \
                 -connect 127.0.0.1:{port}"
            );
            let key = format!(
                "{}?pin-source=file:{}",
                uri(label, "private"),
                token.program.pin
            );
            let output = token.openssl(&client);
            checks.check(
                format!("s_client {label} {spoken}"),
                std::slice::from_ref(&output),
            );
            assert!(shown(&output).contains(spoken));
            // curl has a context of its own for the provider, which reads no configuration.
            let mut curl = token.plain("curl");
            curl.env("PKCS11_PROVIDER_MODULE", &token.module)
                .args(["--silent", "--show-error", "--cacert", trusted])
                .args(["--cert", &format!("{label}.pem")])
                .args(["--key-type", "PROV", "--key", &key])
                .arg(format!("https://127.0.0.1:{port}/"));
            let output = curl.output().unwrap();
            checks.check(
                format!("curl {label} {spoken}"),
                std::slice::from_ref(&output),
            );
            server.assert_page(&shown(&output), &format!("CN={label}"), spoken);
        }
    }
    checks.end(12);
}

#[test]
fn servers_prove_their_certificates() {
    let Some(token) = Token::ours() else { return };
    token.certify();
    let home = &token.program.home;
    let mut checks = Checks::default();
    for label in KEYS {
        for (version, spoken) in VERSIONS {
            let server = Server::start(home, "openssl", |command, port| {
                command
                    .env("OPENSSL_CONF", token.file("provider.cnf"))
                    .args([
                        "s_server",
                        "-www",
                        version,
                        "-cert",
                        &format!("{label}.pem"),
                    ])
                    .args(["-key", &uri(label, "private")])
                    .args(["-accept", &format!("127.0.0.1:{port}")]);
            });
            let client = format!(
                "s_client -CAfile {label}.pem -verify_return_error -connect 127.0.0.1:{}",
                server.port()
            );
            let output = token.other_openssl(&client);
            checks.check(
                format!("s_server {label} {spoken}"),
                std::slice::from_ref(&output),
            );
            assert!(shown(&output).contains(spoken), "{}", server.log());
        }
    }
    checks.end(6);
}

/// nginx's master process reads the key, and its workers, which are forked from it, sign.
#[test]
fn forked_workers_sign() {
    let Some(token) = Token::ours() else { return };
    token.certify();
    let home = &token.program.home;
    let mut checks = Checks::default();
    let config = std::fs::read_to_string(token.file("provider.cnf")).unwrap();
    let named = "pkcs11-module-encode-provider-uri-to-pem = true\n[req]\n";
    token.write("provider.cnf", config.replace("[req]\n", named));
    for label in KEYS {
        // A file that names the key: nginx before 1.29 takes nothing else.
        shown(&token.openssl(&format!("pkey -in @{label} -out {label}.key")));
        let server = Server::start(home, "nginx", |command, port| {
            let user = ok(home.command("id").arg("-un"));
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let temporary = temporary.map(|kind| format!("{kind}_temp_path tmp;\n"));
            let config = format!(
                "daemon off; user {}; worker_processes 2; pid nginx.pid; error_log stderr;\n\
                 env HOME; env TPMSSH_TCTI; env TPMSSH_STORE; env TPMSSH_TEST_KDF;\nevents {{}}\n\
                 http {{ access_log off; {}\nserver {{ listen 127.0.0.1:{port} ssl;\n\
                 ssl_certificate {label}.pem; ssl_certificate_key {label}.key;\n\
                 location / {{ return 200 \"worker $pid\"; }} }} }}\n",
                user.trim(),
                temporary.concat(),
            );
            token.write("nginx.conf", config);
            command.env("OPENSSL_CONF", token.file("provider.cnf"));
            command
                .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
                .arg(home.path());
        });
        let mut workers = BTreeSet::new();
        for _ in 0..1000 {
            let mut curl = token.plain("curl");
            curl.args(["--silent", "--show-error", "--insecure"]);
            let page = curl
                .arg(format!("https://127.0.0.1:{}/", server.port()))
                .output()
                .unwrap();
            workers.insert(shown(&page));
            if workers.len() == 2 {
                checks.check(format!("nginx {label}"), &[page]);
                break;
            }
        }
    }
    checks.end(3);
}

/// ssh loads the module, and its libcrypto loads the provider, which loads the module a second time.
#[test]
fn ssh_signs_with_the_module_while_the_provider_is_loaded() {
    let Some(token) = Token::ours() else { return };
    let home = &token.program.home;
    let sshd = Sshd::start(home);
    let mut checks = Checks::default();
    let askpass = home.askpass(token.program.pin.as_ref());
    for label in KEYS {
        let public = token.program.run(&["export", label]).ok();
        std::fs::write(sshd.authorized_keys(), public).unwrap();
        let mut ssh = sshd.ssh(home, &["-I", &token.module], "echo in");
        ssh.envs(askpass.clone());
        ssh.env("OPENSSL_CONF", token.file("provider.cnf"));
        checks.check(format!("ssh {label}"), &[ssh.output().unwrap()]);
    }
    checks.end(3);
}
