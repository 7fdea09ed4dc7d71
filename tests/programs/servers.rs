//! Servers that other programs stand behind, with the key of their certificate in the token.

use std::{collections::BTreeSet, fs, path::Path};

use testing::{Home, Server, eventually, namespace};

use crate::clients::{file, key_url, module_path, ok, openssl, two_keys, write};
use crate::program::PIN;

use super::{Certified, certify, needs, two_certified_keys};

/// Fetches the page of the server on `port`, whose certificate must be by `authority`.
fn page(home: &Home, authority: &str, port: u16) -> String {
    let mut curl = home.command("curl");
    curl.args(["--silent", "--show-error", "--cacert", authority]);
    ok(curl.arg(format!("https://localhost:{port}/")))
}

/// The arguments of nginx for a server on `port` with the key `label`, and two workers that are
/// `user`.
fn nginx(home: &Home, label: &str, keys: &Certified, user: &str, port: u16) -> Vec<String> {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary
        .map(|kind| format!("{kind}_temp_path tmp;\n"))
        .concat();
    let config = format!(
        "daemon off; user {user}; worker_processes 2; pid nginx.pid; error_log stderr;\n\
         env HOME; env TPMSSH_TCTI; env TPMSSH_STORE; env TPMSSH_TEST_KDF;\n\
         events {{}}\nhttp {{ access_log off; {temporary}\n\
         server {{ listen 127.0.0.1:{port} ssl; keepalive_timeout 0;\n\
         ssl_certificate {};\n\
         ssl_certificate_key \"engine:pkcs11:{};pin-source=file:{}\";\n\
         location / {{ return 200 \"worker $pid\"; }} }} }}\n",
        keys.certificate,
        key_url(label, "private"),
        file(home, "pin"),
    );
    write(home, "nginx.conf", config);
    let prefix = home.path().display().to_string();
    ["-e", "stderr", "-p", &prefix, "-c", "nginx.conf"]
        .map(str::to_owned)
        .to_vec()
}

/// The configuration of OpenSSL by which nginx finds the engine. nginx does not initialise it, and
/// its `ssl_engine` does so in Debian 12 alone.
fn engine(home: &Home, module: &str) -> String {
    let engine = format!(
        "openssl_conf = main\n[main]\nengines = engines\n[engines]\npkcs11 = pkcs11\n\
         [pkcs11]\nengine_id = pkcs11\nMODULE_PATH = {module}\ninit = 1\n"
    );
    write(home, "engine.cnf", engine)
}

/// Fetches pages until both workers have answered; their process ids.
fn both_workers(home: &Home, authority: &str, server: &Server) -> [String; 2] {
    let mut workers = BTreeSet::new();
    for _ in 0..1000 {
        let page = page(home, authority, server.port());
        let worker = page.strip_prefix("worker ");
        workers.insert(worker.expect("the page").trim().to_owned());
        if workers.len() == 2 {
            break;
        }
    }
    let workers: Vec<_> = workers.into_iter().collect();
    workers
        .try_into()
        .unwrap_or_else(|workers| panic!("{workers:?}: {}", server.log()))
}

/// The master process loads the keys, its workers are forked from it and sign.
#[test]
fn both_workers_of_nginx_prove_the_certificate() {
    needs("/usr/sbin/nginx", "nginx");
    let (program, certified) = two_certified_keys();
    let home = &program.home;
    let user = ok(home.command("id").arg("-un"));
    for (label, keys) in &certified {
        let server = Server::start(home, "nginx", |command, port| {
            command.env("OPENSSL_CONF", engine(home, &module_path()));
            command.args(nginx(home, label, keys, user.trim(), port));
        });
        let workers = both_workers(home, &keys.authority, &server);
        drop(server);
        for worker in workers {
            assert!(
                !Path::new("/proc").join(&worker).exists(),
                "worker {worker} is left"
            );
        }
    }
}

/// As `User=www-data` of a systemd service: master, workers and store are of one user.
#[test]
fn nginx_that_is_www_data_as_a_whole_proves_the_certificate() {
    needs("/usr/sbin/nginx", "nginx");
    if !namespace::is_root() {
        return;
    }
    let program = two_keys();
    let keys = certify(&program, "ecdsa");
    let home = &program.home;
    // The directory of the build may be closed to others.
    let module = file(home, "module.so");
    fs::copy(module_path(), &module).unwrap();
    let engine = engine(home, &module);
    ok(home
        .command("chown")
        .args(["-R", "www-data:"])
        .arg(home.path()));
    let server = Server::start(home, "setpriv", |command, port| {
        command.env("OPENSSL_CONF", engine);
        let ids = ["--reuid=www-data", "--regid=www-data", "--clear-groups"];
        command.args(ids).arg("nginx");
        command.args(nginx(home, "ecdsa", &keys, "www-data", port));
    });
    for worker in both_workers(home, &keys.authority, &server) {
        let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        assert!(status.contains("\nUid:\t33\t33"), "{status}");
    }
}

/// A worker that became another user cannot open the store, so `C_Initialize` fails in it. The system's log
/// always says so; the server's log does with libp11 0.4.12. That version would wait for ever if
/// `C_OpenSession` failed instead.
#[test]
fn workers_of_another_user_fail_and_the_logs_say_why() {
    needs("/usr/sbin/nginx", "nginx");
    if !namespace::is_root() {
        return;
    }
    let program = two_keys();
    let keys = certify(&program, "ecdsa");
    let home = &program.home;
    let traced = file(home, "trace");
    let server = Server::start(home, "strace", |command, port| {
        command.env("OPENSSL_CONF", engine(home, &module_path()));
        // With -D nginx is the child of the test, and strace one of its own.
        command.args(["-D", "-f", "-s", "500", "-e", "trace=sendto"]);
        command.args(["-o", &traced, "nginx"]);
        command.args(nginx(home, "ecdsa", &keys, "www-data", port));
    });
    let mut curl = home.command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20"]);
    curl.args(["--cacert", &keys.authority]);
    curl.arg(format!("https://localhost:{}/", server.port()));
    let refused = curl.output().unwrap();
    // curl's exit codes: 35 is a failed TLS handshake, 28 is no answer in time. libp11 0.4.13 (Debian 13) waits
    // though the module fails at once.
    match refused.status.code() {
        // nginx writes its log after the answer.
        Some(35) => {
            eventually(|| server.log().contains("PKCS#11 module::Function failed"));
        }
        Some(28) => {
            let system = fs::read_to_string("/etc/debian_version").unwrap();
            assert!(!system.starts_with("12"), "{}", server.log());
        }
        _ => panic!("{refused:?}: {}", server.log()),
    }
    drop(server);
    let sent = fs::read_to_string(traced).unwrap();
    // The home directory is closed to others, as that of root.
    let reason = format!(
        ": C_Initialize: this forked process cannot open the store: cannot read or write the \
         store: {}: Permission denied",
        file(home, ".local")
    );
    assert!(
        sent.contains("/dev/log") && sent.contains(&reason),
        "{sent}"
    );
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
