//! OpenSSL 3 with pkcs11-provider, which Debian has from its release 13 on.
//!
//! Each check is one use of a key by way of the provider, looked at by an OpenSSL without it. A check
//! that fails by the provider's own fault is named, and shown to fail with SoftHSM as well.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
};

use testing::module;

use crate::clients::file;
use crate::program::{PIN, Program, SO_PIN, text};

mod keys;
mod signatures;
mod tls;

/// The provider, in the directory in which OpenSSL on this machine looks for its modules.
pub(crate) static PROVIDER: LazyLock<String> = LazyLock::new(|| {
    let asked = Command::new("openssl").args(["version", "-m"]).output();
    let said = shown(&asked.expect("openssl is installed"));
    let dir = said.split('"').nth(1).expect("MODULESDIR: \"DIRECTORY\"");
    format!("{dir}/pkcs11.so")
});
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// The keys of a token; the labels say what they are.
const KEYS: [&str; 3] = ["rsa", "p256", "p384"];

/// A token with [`KEYS`], and a configuration of OpenSSL by which the provider finds it.
struct Token {
    program: Program,
    module: String,
}

impl Token {
    /// A token of ours. `None` on Debian 12, which has no such provider.
    fn ours() -> Option<Self> {
        let provider = PROVIDER.as_str();
        if !Path::new(provider).exists() {
            let release = fs::read_to_string("/etc/os-release").unwrap();
            let old = release.lines().any(|line| line == "VERSION_ID=\"12\"");
            assert!(
                old,
                "{provider} is missing: apt-get install pkcs11-provider"
            );
            eprintln!("skipped: Debian 12 has no pkcs11-provider");
            return None;
        }
        let program = Program::with_token();
        Some(Self::with_keys(program, text(module()), ""))
    }

    /// The same with SoftHSM's module.
    fn of_softhsm() -> Self {
        assert!(Path::new(SOFTHSM).exists(), "apt-get install softhsm2");
        let program = Program::new();
        let home = &program.home;
        let tokens = home.path().join("tokens");
        fs::create_dir(&tokens).unwrap();
        let config = format!("directories.tokendir = {}\n", tokens.display());
        fs::write(file(home, "softhsm2.conf"), config).unwrap();
        let mut init = home.command("softhsm2-util");
        init.env("SOFTHSM2_CONF", file(home, "softhsm2.conf"));
        init.args(["--init-token", "--free", "--label", "work"]);
        assert!(succeeds(init.args(["--pin", PIN, "--so-pin", SO_PIN])));
        // SoftHSM's own end comes before OpenSSL's.
        let quirks = "pkcs11-module-quirks = no-deinit\n";
        Self::with_keys(program, SOFTHSM.to_owned(), quirks)
    }

    fn with_keys(program: Program, module: String, more: &str) -> Self {
        let provider = PROVIDER.as_str();
        let config = format!(
            "openssl_conf = main\n[main]\nproviders = providers\n[providers]\ndefault = own\n\
             pkcs11 = pkcs11\n[own]\nactivate = 1\n[pkcs11]\nmodule = {provider}\n\
             pkcs11-module-path = {module}\npkcs11-module-token-pin = file:{}\n{more}activate = 1\n\
             [req]\ndistinguished_name = name\nx509_extensions = ca\nprompt = no\n[name]\nCN = alice\n\
             [ca]\nbasicConstraints = critical, CA:TRUE\n",
            program.pin
        );
        fs::write(file(&program.home, "provider.cnf"), config).unwrap();
        let token = Self { program, module };
        for (number, label) in KEYS.into_iter().enumerate() {
            let (kind, usage) = match label {
                "rsa" => ("RSA:2048", "--usage-decrypt"),
                "p256" => ("EC:secp256r1", "--usage-derive"),
                _ => ("EC:secp384r1", "--usage-derive"),
            };
            let id = format!("0{number}");
            let mut make = token.command("pkcs11-tool");
            make.args(["--module", &token.module, "--login", "--pin", PIN])
                .args(["--keypairgen", "--key-type", kind, "--usage-sign", usage])
                .args(["--label", label, "--id", &id]);
            assert!(succeeds(&mut make), "{label}");
        }
        token
    }

    /// A program with the provider.
    fn command(&self, program: &str) -> Command {
        let mut command = self.plain(program);
        command.env("OPENSSL_CONF", self.file("provider.cnf"));
        command
    }

    /// A program without it.
    fn plain(&self, program: &str) -> Command {
        let mut command = self.program.home.command(program);
        command.env("SOFTHSM2_CONF", self.file("softhsm2.conf"));
        command
    }

    /// OpenSSL with the provider and these arguments, as a check.
    fn openssl(&self, args: &str) -> Output {
        self.run(self.command("openssl"), args)
    }

    /// OpenSSL without it.
    fn other_openssl(&self, args: &str) -> Output {
        self.run(self.plain("openssl"), args)
    }

    /// `args` are separated by blanks; `@LABEL` stands for the URI of the private key, `+LABEL` for that of
    /// the public key.
    fn run(&self, mut command: Command, args: &str) -> Output {
        for arg in args.split_whitespace() {
            match arg.split_at_checked(1) {
                Some(("@", label)) => command.arg(uri(label, "private")),
                Some(("+", label)) => command.arg(uri(label, "public")),
                _ => command.arg(arg),
            };
        }
        command.output().unwrap()
    }

    fn file(&self, name: &str) -> String {
        file(&self.program.home, name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.file(name), content).unwrap();
    }

    /// Writes each key's public key into `LABEL.pub` and a certificate that it signs itself into
    /// `LABEL.pem`, by way of the provider.
    fn certify(&self) {
        for label in KEYS {
            let args =
                format!("req -x509 -new -days 30 -subj /CN={label} -key @{label} -out {label}.pem");
            shown(&self.openssl(&args));
            shown(&self.other_openssl(&format!(
                "x509 -in {label}.pem -noout -pubkey -out {label}.pub"
            )));
        }
    }
}

/// The name of an object of the token.
fn uri(label: &str, kind: &str) -> String {
    format!("pkcs11:token=work;object={label};type={kind}")
}

fn succeeds(command: &mut Command) -> bool {
    command.output().unwrap().status.success()
}

/// What a program that succeeds wrote to either output.
#[track_caller]
fn shown(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    let written = format!("{out}{err}");
    assert!(output.status.success(), "{written}");
    written
}

/// The checks of a test. All are made, then [`end`](Self::end) fails the test if one has failed.
#[derive(Default)]
struct Checks {
    made: usize,
    failed: Vec<String>,
}

impl Checks {
    /// One check: the commands all succeed.
    fn check(&mut self, name: impl Into<String>, outputs: &[Output]) {
        self.made += 1;
        let name = name.into();
        for output in outputs.iter().filter(|output| !output.status.success()) {
            let errors = String::from_utf8_lossy(&output.stderr);
            self.failed.push(format!("{name}: {errors}"));
        }
    }

    /// Fails if a check has failed, or if the number of checks is not `made`.
    #[track_caller]
    fn end(self, made: usize) {
        assert!(self.failed.is_empty(), "{}", self.failed.join("\n"));
        assert_eq!(self.made, made);
    }
}
