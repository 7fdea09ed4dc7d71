//! systemd's way to unlock a disk with a key of the token.

use std::{fs, process::Command};

use testing::Home;

use crate::clients::{file, module_path, ok, openssl, refused, write};
use crate::program::{PIN, Program};

use super::{needs, with_p11_kit, with_p11_kit_module};

const PASSWORD: &str = "the password of the disk";

/// A decrypting RSA key with a certificate of its own, from which systemd takes the public key.
fn decrypting_key() -> Program {
    let program = Program::with_token();
    let home = &program.home;
    ok(home
        .command("pkcs11-tool")
        .args(["--module", &module_path(), "--login", "--pin", PIN])
        .args(["--keypairgen", "--key-type", "RSA:2048", "--usage-decrypt"])
        .args(["--label", "disk", "--id", "77"]));
    let csr = ["csr", "disk", "--subject", "CN=disk", "--pin-file"];
    let csr = program.run(&[&csr[..], &[&program.pin]].concat()).ok();
    let csr = write(home, "disk.csr", csr);
    let [authority, key] = crate::clients::self_signed(home, "authority", "/CN=authority");
    let certificate = file(home, "disk.pem");
    let sign = ["x509", "-req", "-in", &csr, "-out", &certificate];
    openssl(
        home,
        &[&sign[..], &["-CA", &authority, "-CAkey", &key]].concat(),
    );
    program.run(&["cert", "import-x509", &certificate]).ok();
    program
}

#[test]
fn a_disk_is_unlocked_by_a_key_that_decrypts() {
    needs(
        "/usr/bin/systemd-cryptenroll",
        "systemd-cryptsetup (systemd in Debian 12)",
    );
    needs("/usr/sbin/cryptsetup", "cryptsetup-bin");
    let program = decrypting_key();
    let home = &program.home;
    let disk = file(home, "disk.img");
    fs::File::create(&disk).unwrap().set_len(20 << 20).unwrap();
    let password = home.secret_file("password", PASSWORD);
    let cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    let mut format = home.command("cryptsetup");
    format.args(["luksFormat", "--batch-mode", "--type", "luks2"]);
    ok(format.args(cheap).arg(&disk).arg(password));

    let mut enroll = with_p11_kit(home, "systemd-cryptenroll");
    enroll.args(["--pkcs11-token-uri=pkcs11:token=work;object=disk", &disk]);
    ok(enroll.envs([("PASSWORD", PASSWORD), ("PIN", PIN)]));
    let slots = ok(home.command("systemd-cryptenroll").arg(&disk));
    assert!(slots.contains("1 pkcs11"), "{slots}");

    let unlock = |pin: &str| {
        let mut open = with_p11_kit(home, "sh");
        let line = "printf %s \"$0\" | cryptsetup open --test-passphrase --token-only \"$1\"";
        open.args(["-c", line, pin, &disk]);
        open
    };
    refused(&mut unlock("incorrect horse"));
    ok(&mut unlock(PIN));
}

/// After the last token comes the slot for a new one. systemd takes that slot for an error, and then shows
/// no token at all. SoftHSM has such a slot too. `--pkcs11-token-uri` with a name works, as above.
#[test]
fn a_list_of_tokens_ends_as_with_softhsm() {
    let softhsm = "/usr/lib/softhsm/libsofthsm2.so";
    needs(softhsm, "softhsm2");
    let other = Home::new();
    fs::create_dir(other.path().join("tokens")).unwrap();
    let config = format!("directories.tokendir = {}\n", file(&other, "tokens"));
    let config = write(&other, "softhsm2.conf", config);
    let mut init = other.command("softhsm2-util");
    init.args(["--init-token", "--free", "--label", "work"]);
    init.args(["--pin", "123456", "--so-pin", "123456"]);
    ok(init.env("SOFTHSM2_CONF", &config));
    let list = |mut enroll: Command| {
        let output = enroll.arg("--pkcs11-token-uri=list").output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let work = String::from_utf8(output.stdout).unwrap().contains("work");
        (
            work,
            errors.contains("The device is invalid or unrecognizable"),
        )
    };
    let mut theirs = with_p11_kit_module(&other, softhsm, "systemd-cryptenroll");
    theirs.env("SOFTHSM2_CONF", &config);
    let theirs = list(theirs);
    assert!(
        theirs == (true, false) || theirs == (false, true),
        "{theirs:?}"
    );
    let program = Program::with_key();
    let ours = list(with_p11_kit(&program.home, "systemd-cryptenroll"));
    assert!(
        ours == theirs || ours == (true, false),
        "{ours:?}, {theirs:?}"
    );
}
