//! Servers that other programs stand behind, with the key of their certificate in the token.

use std::collections::BTreeSet;
use std::path::Path;

use testing::{Home, Server};

use crate::clients::{key_url, module_path, ok, openssl, write};
use crate::program::PIN;

use super::{needs, two_certified_keys};

/// Fetches the page of the server on `port`, whose certificate must be by `authority`.
fn page(home: &Home, authority: &str, port: u16) -> String {
    let mut curl = home.command("curl");
    curl.args(["--silent", "--show-error", "--cacert", authority]);
    ok(curl.arg(format!("https://localhost:{port}/")))
}

/// The master process loads the keys, its workers are forked from it and sign.
#[test]
fn both_workers_of_nginx_prove_the_certificate() {
    needs("/usr/sbin/nginx", "nginx");
    let (program, certified) = two_certified_keys();
    let home = &program.home;
    for (label, keys) in &certified {
        let server = Server::start(home, "nginx", |command, port| {
            let user = ok(home.command("id").arg("-un"));
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let temporary = temporary
                .map(|kind| format!("{kind}_temp_path tmp;\n"))
                .concat();
            let config = format!(
                "daemon off; user {}; worker_processes 2; pid nginx.pid; error_log stderr;\n\
                 env HOME; env TPMSSH_TCTI; env TPMSSH_STORE; env TPMSSH_TEST_KDF;\n\
                 events {{}}\nhttp {{ access_log off; {temporary}\n\
                 server {{ listen 127.0.0.1:{port} ssl; keepalive_timeout 0;\n\
                 ssl_certificate {};\n\
                 ssl_certificate_key \"engine:pkcs11:{};pin-source=file:{}\";\n\
                 location / {{ return 200 \"worker $pid\"; }} }} }}\n",
                user.trim(),
                keys.certificate,
                key_url(label, "private"),
                program.pin,
            );
            write(home, "nginx.conf", config);
            // nginx does not initialise the engine, and its `ssl_engine` does so in Debian 12 alone.
            let engine = format!(
                "openssl_conf = main\n[main]\nengines = engines\n[engines]\npkcs11 = pkcs11\n\
                 [pkcs11]\nengine_id = pkcs11\nMODULE_PATH = {}\ninit = 1\n",
                module_path()
            );
            command.env("OPENSSL_CONF", write(home, "engine.cnf", engine));
            command.args(["-e", "stderr", "-p"]).arg(home.path());
            command.args(["-c", "nginx.conf"]);
        });
        let mut workers = BTreeSet::new();
        for _ in 0..1000 {
            let page = page(home, &keys.authority, server.port());
            assert!(page.starts_with("worker "), "{page}");
            workers.insert(page);
            if workers.len() == 2 {
                break;
            }
        }
        assert_eq!(workers.len(), 2, "{workers:?}: {}", server.log());
        drop(server);
        for worker in workers {
            let pid = worker.trim_start_matches("worker ").trim();
            assert!(!Path::new("/proc").join(pid).exists(), "{worker} is left");
        }
    }
}

/// Certificate and key are both in the token.
#[test]
fn stunnel_proves_the_certificate_of_the_token() {
    needs("/usr/bin/stunnel", "stunnel4");
    let (program, certified) = two_certified_keys();
    let home = &program.home;
    for (label, keys) in &certified {
        let server = Server::start(home, "stunnel", |command, port| {
            let config = format!(
                "foreground = yes\npid =\nengine = pkcs11\nengineCtrl = MODULE_PATH:{}\n\
                 engineCtrl = PIN:{PIN}\n[page]\naccept = 127.0.0.1:{port}\nengineId = pkcs11\n\
                 cert = {}\nkey = {}\nexec = /bin/printf\n\
                 execArgs = printf HTTP/1.0\\040200\\040OK\\r\\n\\r\\nbehind\n",
                module_path(),
                key_url(label, "cert"),
                key_url(label, "private"),
            );
            command.arg(write(home, "stunnel.conf", config));
        });
        let printed = openssl(
            home,
            &[
                &[
                    "s_client",
                    "-verify_return_error",
                    "-ign_eof",
                    "-CAfile",
                    &keys.authority,
                ],
                &["-connect", &format!("127.0.0.1:{}", server.port())][..],
            ]
            .concat(),
        );
        assert!(printed.contains("Verify return code: 0 (ok)"), "{printed}");
        assert!(printed.contains("behind"), "{printed}\n{}", server.log());
    }
}
