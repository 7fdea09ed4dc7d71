//! OpenSSL with `engine_pkcs11`, by its own program and by curl.
//!
//! The engine becomes the default of the process's libcrypto here, so a module that did its
//! own cryptography with that libcrypto would call itself.

use std::{fs, process::Command};

use testing::{Home, Server};

use super::{KEYS, WebServer, file, key_url, module_path, ok, openssl, refused, two_keys, write};
use crate::program::{PIN, Program};

/// A program with an RSA key and an ECDSA key, and a configuration for the engine.
fn engine() -> Program {
    let program = two_keys();
    let config = format!(
        "openssl_conf = main\n[main]\nengines = engines\n[engines]\npkcs11 = pkcs11\n\
         [pkcs11]\nengine_id = pkcs11\nMODULE_PATH = {}\nPIN = \"{PIN}\"\ninit = 0\n\
         [req]\ndistinguished_name = name\nx509_extensions = authority\nprompt = no\n\
         [name]\nCN = alice\n[authority]\nbasicConstraints = critical, CA:TRUE\n",
        module_path()
    );
    write(&program.home, "engine.cnf", config);
    program
}

/// `program` with the engine's configuration.
fn with_engine(home: &Home, program: &str) -> Command {
    let mut command = home.command(program);
    command.env("OPENSSL_CONF", file(home, "engine.cnf"));
    command
}

const ENGINE: [&str; 4] = ["-engine", "pkcs11", "-keyform", "engine"];

/// `openssl` with the engine: the subcommand, then what follows it.
fn signing(home: &Home, subcommand: &str, args: &[&str]) -> String {
    ok(with_engine(home, "openssl")
        .arg(subcommand)
        .args(ENGINE)
        .args(args))
}

/// A certificate of the key `label`, signed by that key itself; its path.
fn self_signed(home: &Home, label: &str) -> String {
    let path = file(home, &format!("{label}.pem"));
    let args = [
        "-new",
        "-x509",
        "-days",
        "30",
        "-key",
        &key_url(label, "private"),
    ];
    signing(home, "req", &[&args[..], &["-out", &path]].concat());
    path
}

/// The public key of a certificate; its path.
fn public_key(home: &Home, certificate: &str) -> String {
    let pem = openssl(home, &["x509", "-in", certificate, "-noout", "-pubkey"]);
    write(home, "public.pem", pem)
}

#[test]
fn requests_and_certificates_are_signed() {
    let program = engine();
    let home = &program.home;
    for label in KEYS {
        let authority = self_signed(home, label);
        let [request, issued] = ["request.pem", "issued.pem"].map(|name| file(home, name));
        let args = [
            "-new",
            "-subj",
            "/CN=bob",
            "-key",
            &key_url(label, "private"),
        ];
        signing(home, "req", &[&args[..], &["-out", &request]].concat());
        openssl(home, &["req", "-in", &request, "-verify", "-noout"]);
        ok(with_engine(home, "openssl")
            .args(["x509", "-req", "-in", &request, "-out", &issued])
            .args(["-engine", "pkcs11", "-CAkeyform", "engine"])
            .args(["-CA", &authority, "-CAkey", &key_url(label, "private")]));
        openssl(home, &["verify", "-CAfile", &authority, &issued]);
    }
}

#[test]
fn digests_are_signed_with_each_hash_and_padding() {
    let program = engine();
    let home = &program.home;
    let data = write(home, "data", "to be signed");
    let signature = file(home, "signature");
    for label in KEYS {
        let public = public_key(home, &self_signed(home, label));
        let pss = ["rsa_padding_mode:pss", "rsa_pss_saltlen:digest"];
        let pss = pss.map(|option| ["-sigopt", option]).concat();
        let paddings: &[&[&str]] = match label {
            "rsa" => &[&[], &pss],
            _ => &[&[]],
        };
        for padding in paddings {
            for hash in ["-sha1", "-sha256", "-sha384", "-sha512"] {
                let key = key_url(label, "private");
                let sign = [hash, "-sign", &key, "-out", &signature];
                signing(home, "dgst", &[&sign[..], padding, &[&data]].concat());
                let verify = ["dgst", hash, "-verify", &public, "-signature", &signature];
                openssl(home, &[&verify[..], padding, &[&data]].concat());
                let other = file(home, "engine.cnf");
                let verify = [&verify[..], padding, &[&other]].concat();
                refused(home.command("openssl").args(verify));
            }
        }
    }
}

#[test]
fn messages_are_signed() {
    let program = engine();
    let home = &program.home;
    let data = write(home, "data", "to be signed");
    let message = file(home, "message");
    for label in KEYS {
        let certificate = self_signed(home, label);
        let key = key_url(label, "private");
        let args = ["-sign", "-inkey", &key, "-signer", &certificate];
        let files = ["-in", &data, "-out", &message];
        signing(home, "cms", &[&args[..], &files].concat());
        let verify = ["cms", "-verify", "-in", &message, "-CAfile", &certificate];
        let printed = openssl(home, &[&verify[..], &["-purpose", "any"]].concat());
        assert!(printed.contains("to be signed"), "{printed}");
    }
}

#[test]
fn a_tls_client_proves_its_certificate_and_so_does_curl() {
    let program = engine();
    let home = &program.home;
    let certificates = KEYS.map(|label| (label, self_signed(home, label)));
    let trusted = certificates
        .each_ref()
        .map(|(_, path)| fs::read(path).unwrap());
    let trusted = write(home, "trusted.pem", trusted.concat());
    for (version, spoken) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let server = WebServer::start(home, &trusted, version);
        let address = format!("127.0.0.1:{}", server.port());
        for (label, certificate) in &certificates {
            let mut curl = with_engine(home, "curl");
            curl.args(["--silent", "--show-error", "--engine", "pkcs11"])
                .args(["--key-type", "ENG", "--key", &key_url(label, "private")])
                .args(["--cert", certificate, "--cacert", server.certificate()])
                .arg(format!("https://{address}/"));
            server.assert_page(&ok(&mut curl), "CN=alice", spoken);

            let mut client = with_engine(home, "openssl");
            client
                .arg("s_client")
                .args(ENGINE)
                .args(["-key", &key_url(label, "private"), "-cert", certificate])
                .args(["-CAfile", server.certificate(), "-verify_return_error"])
                .args(["-connect", &address]);
            let printed = ok(&mut client);
            assert!(printed.contains("Verify return code: 0 (ok)"), "{printed}");
            assert!(printed.contains(spoken), "{printed}");
        }
    }
}

#[test]
fn a_tls_server_proves_its_certificate() {
    let program = engine();
    let home = &program.home;
    for label in KEYS {
        let certificate = self_signed(home, label);
        for (version, spoken) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let server = Server::start(home, "openssl", |command, port| {
                command
                    .env("OPENSSL_CONF", file(home, "engine.cnf"))
                    .arg("s_server")
                    .args(ENGINE)
                    .args(["-accept", &format!("127.0.0.1:{port}"), "-www", version])
                    .args(["-cert", &certificate, "-key", &key_url(label, "private")]);
            });
            let address = format!("127.0.0.1:{}", server.port());
            let args = ["s_client", "-CAfile", &certificate, "-verify_return_error"];
            let printed = openssl(home, &[&args[..], &["-connect", &address]].concat());
            assert!(printed.contains("Verify return code: 0 (ok)"), "{printed}");
            assert!(printed.contains(spoken), "{printed}");
        }
    }
}

/// As README has it: no configuration, and a file with the PIN.
#[test]
fn the_module_is_named_by_a_variable_and_the_pin_by_the_url_of_the_key() {
    let program = engine();
    let home = &program.home;
    let data = write(home, "data", "to be signed");
    let certificate = self_signed(home, "ecdsa");
    let public = public_key(home, &certificate);
    let key = format!(
        "{};pin-source=file:{}",
        key_url("ecdsa", "private"),
        program.pin
    );
    let signature = file(home, "signature");
    let out = ["-sha256", "-sign", &key, "-out", &signature, &data];
    ok(home
        .command("openssl")
        .env("PKCS11_MODULE_PATH", module_path())
        .arg("dgst")
        .args(ENGINE)
        .args(out));
    let verify = ["dgst", "-sha256", "-verify", &public, "-signature"];
    openssl(home, &[&verify[..], &[&signature, &data]].concat());

    let server = WebServer::start(home, &certificate, "-tls1_3");
    let mut curl = home.command("curl");
    curl.env("PKCS11_MODULE_PATH", module_path())
        .args(["--silent", "--engine", "pkcs11", "--key-type", "ENG"])
        .args(["--key", &key, "--cert", &certificate])
        .args(["--cacert", server.certificate()])
        .arg(format!("https://127.0.0.1:{}/", server.port()));
    server.assert_page(&ok(&mut curl), "CN=alice", "TLSv1.3");
}

/// The engine uses the PIN of its configuration.
#[test]
fn a_wrong_pin_signs_nothing() {
    let program = engine();
    let home = &program.home;
    let config = fs::read_to_string(home.path().join("engine.cnf")).unwrap();
    write(home, "engine.cnf", config.replace(PIN, "incorrect horse"));
    let data = write(home, "data", "to be signed");
    let sign = ["-sha256", "-sign", &key_url("ecdsa", "private"), &data];
    let args = [&["dgst"], &ENGINE[..], &sign].concat();
    refused(with_engine(home, "openssl").args(&args));
    write(home, "engine.cnf", config);
    ok(with_engine(home, "openssl").args(&args));
}
