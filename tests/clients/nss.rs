//! NSS, the library of Firefox and Chromium, by its own programs.

use std::process::Command;

use testing::Server;

use super::{WebServer, file, module_path, ok, openssl, refused, self_signed, write};
use crate::program::{PIN, Program};

/// A program with the token `work`, and a database of NSS that has the module.
struct Nss {
    program: Program,
}

impl Nss {
    fn new() -> Self {
        let nss = Self {
            program: Program::with_token(),
        };
        let home = &nss.program.home;
        std::fs::create_dir(home.path().join("db")).unwrap();
        write(
            home,
            "passwords",
            format!("NSS Certificate DB:\nwork:{PIN}\n"),
        );
        // What a person would give by pressing keys at random.
        write(home, "noise", [0x5a; 4096]);
        ok(nss.command("certutil", "-N").arg("--empty-password"));
        let add = ["tpmssh", "-force", "-libfile", &module_path()];
        ok(nss.modutil("-add").args(add));
        nss
    }

    /// A program of NSS in the mode `mode`.
    fn command(&self, name: &str, mode: &str) -> Command {
        let home = &self.program.home;
        let mut command = home.command(name);
        command.args([mode, "-d", &self.database()]);
        command
    }

    fn database(&self) -> String {
        format!("sql:{}", file(&self.program.home, "db"))
    }

    /// A program of NSS that is told the PIN.
    fn with_pin(&self, name: &str, mode: &str) -> Command {
        let mut command = self.command(name, mode);
        command.args(["-f", &file(&self.program.home, "passwords")]);
        command
    }

    fn certutil(&self, mode: &str, args: &[&str]) -> String {
        ok(self
            .with_pin("certutil", mode)
            .args(["-h", "work"])
            .args(args))
    }

    fn modutil(&self, mode: &str) -> Command {
        let mut command = self.program.home.command("modutil");
        command.args(["-dbdir", &self.database(), mode]);
        command
    }

    /// Makes a key in the token and a certificate of it, signed by that key itself.
    fn self_signed(&self, kind: [&str; 4]) {
        let [name, key @ ..] = kind;
        let noise = file(&self.program.home, "noise");
        let subject = format!("CN={name}");
        let args = ["-n", name, "-s", &subject, "-x", "-t", "CT,C,C", "-v", "3"];
        let key = [&["-z", &noise, "-k"], &key[..]].concat();
        self.certutil("-S", &[&args[..], &key].concat());
    }

    /// A certificate of the token as a file.
    fn export(&self, name: &str) -> String {
        let args = ["-n", &format!("work:{name}"), "-a"];
        let pem = self.certutil("-L", &args);
        write(&self.program.home, &format!("{name}.pem"), pem)
    }
}

const EC: [&str; 4] = ["ec", "ec", "-q", "nistp256"];
const RSA: [&str; 4] = ["rsa", "rsa", "-g", "2048"];

#[test]
fn the_module_is_added_listed_and_removed() {
    let nss = Nss::new();
    let listed = ok(nss.modutil("-list").arg("tpmssh"));
    for line in [
        "Manufacturer: tpmssh",
        "Token Name: work",
        "Login Type: Login required",
        "User Pin: Initialized",
    ] {
        assert!(listed.contains(line), "{line}: {listed}");
    }
    ok(nss.modutil("-delete").args(["tpmssh", "-force"]));
    refused(nss.modutil("-list").arg("tpmssh"));
}

#[test]
fn keys_and_certificates_are_made_listed_and_deleted() {
    let nss = Nss::new();
    let none = refused(nss.with_pin("certutil", "-K").args(["-h", "work"]));
    assert!(none.contains("no keys found"), "{none}");
    for kind in [EC, RSA] {
        nss.self_signed(kind);
    }
    let keys = nss.certutil("-K", &[]);
    for (kind, name) in [("> ec ", "work:ec"), ("> rsa ", "work:rsa")] {
        assert!(keys.contains(kind) && keys.contains(name), "{keys}");
    }
    let certificates = nss.certutil("-L", &[]);
    for name in ["work:ec", "work:rsa"] {
        assert!(certificates.contains(name), "{certificates}");
    }
    for name in ["ec", "rsa"] {
        let path = nss.export(name);
        openssl(&nss.program.home, &["verify", "-CAfile", &path, &path]);
    }
    nss.certutil("-F", &["-n", "work:rsa"]);
    let keys = nss.certutil("-K", &[]);
    assert!(keys.contains("> ec ") && !keys.contains("> rsa "), "{keys}");
    let certificates = nss.certutil("-L", &[]);
    assert!(!certificates.contains("work:rsa"), "{certificates}");
    nss.certutil("-D", &["-n", "work:ec"]);
    let keys = nss.certutil("-K", &[]);
    assert!(keys.contains("(orphan)"), "the key stays: {keys}");
}

#[test]
fn a_requested_certificate_is_added_and_finds_its_key() {
    let nss = Nss::new();
    let home = &nss.program.home;
    let [request, issued] = ["request.pem", "issued.pem"].map(|name| file(home, name));
    let noise = file(home, "noise");
    let key = ["-k", "ec", "-q", "nistp384", "-z", &noise];
    let args = ["-s", "CN=bob", "-a", "-o", &request];
    nss.certutil("-R", &[&key[..], &args].concat());
    openssl(home, &["req", "-in", &request, "-verify", "-noout"]);
    let [authority, key] = self_signed(home, "authority", "/CN=authority");
    let sign = ["x509", "-req", "-in", &request, "-out", &issued];
    openssl(
        home,
        &[&sign[..], &["-CA", &authority, "-CAkey", &key]].concat(),
    );
    nss.certutil("-A", &["-n", "bob", "-t", ",,", "-a", "-i", &issued]);
    let keys = nss.certutil("-K", &[]);
    assert!(keys.contains("work:bob"), "{keys}");
}

#[test]
fn a_message_is_signed_and_verified() {
    let nss = Nss::new();
    let home = &nss.program.home;
    let data = write(home, "data", "to be signed");
    let message = file(home, "message");
    for kind in [EC, RSA] {
        nss.self_signed(kind);
        let name = kind[0];
        let sign = ["-N", &format!("work:{name}"), "-i", &data, "-o", &message];
        ok(nss.with_pin("cmsutil", "-S").args(sign).arg("-G"));
        let certificate = nss.export(name);
        let verify = ["cms", "-verify", "-inform", "DER", "-in", &message];
        let trust = ["-CAfile", &certificate, "-purpose", "any"];
        let printed = openssl(home, &[&verify[..], &trust].concat());
        assert!(printed.contains("to be signed"), "{printed}");
    }
}

#[test]
fn a_tls_client_proves_its_certificate() {
    let nss = Nss::new();
    let home = &nss.program.home;
    for kind in [EC, RSA] {
        nss.self_signed(kind);
    }
    let pems = ["ec", "rsa"].map(|name| std::fs::read(nss.export(name)).unwrap());
    let trusted = write(home, "trusted.pem", pems.concat());
    let request = write(home, "request", "GET / HTTP/1.0\r\n\r\n");
    for (version, spoken) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let server = WebServer::start(home, &trusted, version);
        let trust = ["-n", "server", "-t", "CT,C,C", "-a", "-i"];
        ok(nss
            .with_pin("certutil", "-A")
            .args(trust)
            .arg(server.certificate()));
        for name in ["ec", "rsa"] {
            let mut client = home.command("tstclnt");
            client
                .args(["-d", &nss.database(), "-h", "localhost", "-4"])
                .args(["-p", &server.port(), "-n", &format!("work:{name}")])
                .args(["-w", PIN, "-V", "tls1.2:tls1.3", "-A", &request]);
            server.assert_page(&ok(&mut client), &format!("CN={name}"), spoken);
        }
    }
}

#[test]
fn a_tls_server_proves_its_certificate() {
    let nss = Nss::new();
    let home = &nss.program.home;
    nss.self_signed(EC);
    let certificate = nss.export("ec");
    let server = Server::start(home, "selfserv", |command, port| {
        command
            .args(["-d", &nss.database(), "-p", &port.to_string()])
            .args(["-e", "work:ec", "-w", PIN, "-V", "tls1.2:tls1.3"]);
    });
    let address = format!("127.0.0.1:{}", server.port());
    let args = ["s_client", "-CAfile", &certificate, "-verify_return_error"];
    let printed = openssl(home, &[&args[..], &["-connect", &address]].concat());
    assert!(printed.contains("Verify return code: 0 (ok)"), "{printed}");
}
