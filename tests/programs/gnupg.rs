//! GnuPG's S/MIME program, with gnupg-pkcs11-scd in the place of its own smartcard daemon.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::process::Command;

use testing::Home;

use crate::clients::{file, module_path, ok, openssl, two_keys, write};
use crate::program::PIN;

use super::{certify, needs};

/// What gpg-agent asks for the PIN.
const PINENTRY: &str = "#!/bin/sh
echo OK
while read -r line; do
    case $line in
        GETPIN*) echo 'D PIN'; echo OK ;;
        BYE*) echo OK; exit ;;
        *) echo OK ;;
    esac
done
";

/// Ends the daemons that GnuPG's programs start, also if the test fails.
struct Daemons<'a>(&'a Home);

impl Drop for Daemons<'_> {
    fn drop(&mut self) {
        let _ = gnupg(self.0, "gpgconf", &["--kill", "all"]).status();
    }
}

/// A program of GnuPG with a directory of its own.
fn gnupg(home: &Home, program: &str, args: &[&str]) -> Command {
    // gpg-agent 2.4 restarts a smartcard daemon without end if that does not answer as expected.
    let mut command = home.command("timeout");
    command
        .args(["60", program])
        .env("GNUPGHOME", home.path().join("gnupg"));
    command.args(args);
    command
}

/// gnupg-pkcs11-scd 0.10 knows only RSA keys. With GnuPG 2.4 it hangs if the token has a certificate of an EC
/// key; with SoftHSM too.
#[test]
fn gpgsm_signs_with_an_rsa_key() {
    needs("/usr/bin/gpgsm", "gpgsm");
    needs("/usr/bin/gpg-agent", "gpg-agent");
    needs("/usr/bin/gnupg-pkcs11-scd", "gnupg-pkcs11-scd");
    let program = two_keys();
    let keys = certify(&program, "rsa");
    let home = &program.home;
    let dir = home.path().join("gnupg");
    DirBuilder::new().mode(0o700).create(&dir).unwrap();
    let _daemons = Daemons(home);
    let pinentry = home.script("pinentry", &PINENTRY.replace("PIN'", &format!("{PIN}'")));
    let config = format!(
        "providers tpmssh\nprovider-tpmssh-library {}\n",
        module_path()
    );
    fs::write(dir.join("gnupg-pkcs11-scd.conf"), config).unwrap();
    let config = format!(
        "scdaemon-program /usr/bin/gnupg-pkcs11-scd\npinentry-program {}\n",
        pinentry.display()
    );
    fs::write(dir.join("gpg-agent.conf"), config).unwrap();
    fs::write(dir.join("gpgsm.conf"), "disable-crl-checks\n").unwrap();
    let fingerprint = ["x509", "-noout", "-fingerprint", "-sha1", "-in"];
    let fingerprint = openssl(home, &[&fingerprint[..], &[&keys.authority]].concat());
    let trusted = fingerprint.trim().rsplit('=').next().unwrap();
    fs::write(dir.join("trustlist.txt"), format!("{trusted} S relax\n")).unwrap();

    let import = ["--batch", "--import", &keys.authority, &keys.certificate];
    ok(&mut gnupg(home, "gpgsm", &import));
    let data = write(home, "data", "to be signed");
    let message = file(home, "message");
    let sign = [
        "--batch",
        "--local-user",
        "rsa",
        "--output",
        &message,
        "--sign",
        &data,
    ];
    ok(&mut gnupg(home, "gpgsm", &["--batch", "--learn-card"]));
    ok(&mut gnupg(home, "gpgsm", &sign));
    // Not by openssl: if the first bit of a signature is set, gpgsm 2.2 puts a zero byte before it, so that
    // it is a byte longer than the modulus. RFC 8017, section 8.2.2, has a verifier refuse that.
    let printed = ok(&mut gnupg(home, "gpgsm", &["--verify", &message]));
    assert!(
        printed.contains("Good signature from \"/CN=rsa\""),
        "{printed}"
    );
}
