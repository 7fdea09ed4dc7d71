//! The module in programs of Debian that use PKCS#11.
//!
//! Each file has one client, and each test its own TPM and token. The results of a client are
//! checked with another program that does not use the module.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use testing::{Home, Server, module};

use crate::program::{Prepared, Program, text};

mod chromium;
mod crowd;
mod cryptoki;
mod git;
mod gnutls;
mod nss;
mod openssh;
mod openssl_engine;
mod p11tool;
mod pkcs11_tool;

/// The path of the module, as an argument.
pub(crate) fn module_path() -> String {
    text(module())
}

/// Runs a client that has to succeed; what it wrote to either output.
#[track_caller]
pub(crate) fn ok(command: &mut Command) -> String {
    let output = finish(command);
    let written = written(&output);
    assert!(output.status.success(), "{command:?}: {written}");
    written
}

/// Runs a client that has to fail; what it wrote to either output.
#[track_caller]
pub(crate) fn refused(command: &mut Command) -> String {
    let output = finish(command);
    let written = written(&output);
    assert!(
        !output.status.success(),
        "{command:?} was not refused: {written}"
    );
    written
}

#[track_caller]
fn finish(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|err| panic!("cannot start {command:?}: {err}"))
}

fn written(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// OpenSSL, without any engine.
pub(crate) fn openssl(home: &Home, args: &[&str]) -> String {
    ok(home.command("openssl").args(args))
}

/// The labels of the keys of [`two_keys`], which are their types as well.
pub(crate) const KEYS: [&str; 2] = ["ecdsa", "rsa"];

/// A program with the token `work` and a key of each kind in it; all of them have the same TPM.
pub(crate) fn two_keys() -> Program {
    static TWO_KEYS: Prepared = Prepared::new();
    TWO_KEYS.copy(|| {
        let program = Program::with_token();
        for label in KEYS {
            let args = ["keygen", "-t", label, "--label", label, "--pin-file"];
            program.run(&[&args[..], &[&program.pin]].concat()).ok();
        }
        program
    })
}

/// The RFC 7512 name of an object of the token `work`; `kind` is `private`, `public` or `cert`.
pub(crate) fn key_url(label: &str, kind: &str) -> String {
    format!("pkcs11:token=work;object={label};type={kind}")
}

/// The file `name` in `home`, as an argument.
pub(crate) fn file(home: &Home, name: &str) -> String {
    text(home.path().join(name))
}

/// Puts `content` into the file `name` in `home`; its path as an argument.
pub(crate) fn write(home: &Home, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = file(home, name);
    fs::write(&path, content).unwrap();
    path
}

/// Makes a key in a file and a certificate for `127.0.0.1` that it signs itself; the paths of
/// certificate and key.
pub(crate) fn self_signed(home: &Home, name: &str, subject: &str) -> [String; 2] {
    let [certificate, key] = ["pem", "key"].map(|kind| file(home, &format!("{name}.{kind}")));
    ok(home
        .command("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", subject])
        .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .args(["-keyout", &key, "-out", &certificate]));
    [certificate, key]
}

/// A web server over TLS that lets in only who has the key of a certificate that it trusts, and
/// whose one page shows that certificate.
pub(crate) struct WebServer {
    server: Server,
    /// The server's own certificate, for `127.0.0.1` and `localhost`.
    certificate: PathBuf,
}

impl WebServer {
    /// Starts one that trusts the certificates in the file `trusted`; `version` is `-tls1_2`
    /// or `-tls1_3`.
    pub(crate) fn start(home: &Home, trusted: impl AsRef<Path>, version: &str) -> Self {
        Self::with_page(home, trusted, &["-www", version])
    }

    /// The same with the options that say which pages there are.
    fn with_page(home: &Home, trusted: impl AsRef<Path>, page: &[&str]) -> Self {
        let [certificate, key] = self_signed(home, "server", "/CN=localhost");
        let server = Server::start(home, "openssl", |command, port| {
            command
                .arg("s_server")
                .args(["-accept", &format!("127.0.0.1:{port}")])
                .args(["-cert", &certificate, "-key", &key, "-CAfile"])
                .arg(trusted.as_ref())
                .args(["-Verify", "1", "-verify_return_error"])
                .args(page);
        });
        let started = Self {
            server,
            certificate: certificate.into(),
        };
        started.assert_strangers_stay_out(home);
        started
    }

    /// Checks that a client without a certificate gets no page, so that a page shows that the
    /// certificate was accepted.
    #[track_caller]
    fn assert_strangers_stay_out(&self, home: &Home) {
        let mut stranger = home.command("curl");
        stranger.args(["--silent", "--show-error", "--cacert", self.certificate()]);
        let printed = refused(stranger.arg(format!("https://127.0.0.1:{}/", self.port())));
        assert!(!printed.contains("Protocol"), "{printed}");
    }

    pub(crate) fn port(&self) -> String {
        self.server.port().to_string()
    }

    pub(crate) fn certificate(&self) -> &str {
        self.certificate.to_str().unwrap()
    }

    /// Whether `page` shows that the server saw the certificate of `subject` over `protocol`.
    #[track_caller]
    pub(crate) fn assert_page(&self, page: &str, subject: &str, protocol: &str) {
        let shown = page.lines().map(str::trim).any(|line| {
            line.strip_prefix("Subject:")
                .is_some_and(|name| name.trim() == subject)
        });
        let spoken = page.contains(protocol);
        assert!(shown && spoken, "{page}\nserver: {}", self.server.log());
    }
}
