//! The trusted certificates of TPM makers: imported, listed, removed.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use testing::Swtpm;

use super::{Files, manufactured};
use crate::program::{Outcome, Program, text};

/// A directory like an unpacked archive of a maker: PEM, DER, and a file that is not a certificate.
fn archive(program: &Program) -> String {
    let dir = program.home.path().join("roots");
    fs::create_dir(&dir).unwrap();
    let pem = Swtpm::maker_certificates();
    let (root, issuer) = pem.split_at(pem.rfind("-----BEGIN").unwrap());
    fs::write(dir.join("root.pem"), format!("subject: a comment\n{root}")).unwrap();
    let mut convert = program.home.command("openssl");
    convert
        .args(["x509", "-outform", "DER", "-out"])
        .arg(dir.join("issuer.cer"));
    Outcome::with_input(&mut convert, issuer.as_bytes()).ok();
    fs::write(dir.join("README.txt"), "How to use these certificates").unwrap();
    fs::write(dir.join(".hidden"), "not looked at").unwrap();
    fs::create_dir(dir.join("older")).unwrap();
    text(dir)
}

/// The SHA-256 fingerprint by OpenSSL.
fn fingerprint(program: &Program, file: &str) -> String {
    let mut openssl = program.home.command("openssl");
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in", file]);
    let said = Outcome::of(&mut openssl).ok();
    said.trim().split_once('=').unwrap().1.to_owned()
}

#[test]
fn makers_certificates_are_imported_shown_with_fingerprints_and_removed() {
    let program = manufactured();
    let files = Files::made_by(&program);
    let dir = archive(&program);
    let imported = program.run(&["ek", "roots", "import", &dir]);
    let passed_over = format!("tpmssh: {dir}/README.txt is passed over: malformed certificate: ");
    assert!(
        imported.stderr.starts_with(&passed_over),
        "{}",
        imported.stderr
    );
    assert_eq!(imported.stderr.lines().count(), 1, "{}", imported.stderr);
    let shown = imported.ok();
    let root = fingerprint(&program, &format!("{dir}/root.pem"));
    let digits = root.replace(':', "").to_lowercase();
    assert!(shown.contains(&digits), "{shown}");
    let listed = program.run(&["ek", "roots", "list"]).ok();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(lines(&listed), lines(&shown));
    let listed = program.run(&["ek", "roots", "list", "--json"]).ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let listed = listed["certificates"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    let verify = ["verify-proof", &files.proof];
    assert!(program.run(&verify).ok().contains("(mode C)"));

    // By OpenSSL's fingerprint, and by the first digits of the other.
    let removed = program.run(&["ek", "roots", "remove", &root]).ok();
    assert!(removed.contains(&digits), "{removed}");
    let left = program.run(&["ek", "roots", "list", "--json"]).ok();
    let left: Value = serde_json::from_str(&left).unwrap();
    assert_eq!(left["certificates"].as_array().unwrap().len(), 1);
    let other = left["certificates"][0]["sha256"].as_str().unwrap();
    program.run(&["ek", "roots", "remove", &other[..8]]).ok();
    let none = program.run(&["ek", "roots", "list", "--json"]).ok();
    assert_eq!(
        serde_json::from_str::<Value>(&none).unwrap()["certificates"],
        Value::Array(vec![])
    );
    program.run(&verify).fails(
        8,
        "tpmssh: proof refused: nothing vouches for this TPM\n\
         hint: name the TPM with --ek NAME (its owner sees it with: tpmssh ek show), \
         or its maker's certificates with --ek-roots DIR\n",
    );
}

#[test]
fn nothing_is_imported_or_removed_by_halves() {
    let program = Program::new();
    let import = |path: &str| program.run(&["ek", "roots", "import", path]);
    let empty = text(program.home.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    import(&empty).fails(
        2,
        &format!("tpmssh: no certificate of a TPM maker in {empty}\n"),
    );
    let absent = format!("{empty}/none");
    import(&absent).fails(
        1,
        &format!("tpmssh: cannot read {absent}: No such file or directory (os error 2)\n"),
    );
    let nonsense = program.secret("nonsense.pem", "nonsense");
    let unread = import(&nonsense);
    assert_eq!((unread.code, &unread.stdout[..]), (Some(2), ""));
    let why = format!("tpmssh: cannot use {nonsense}: malformed certificate: ");
    assert!(unread.stderr.starts_with(&why), "{}", unread.stderr);
    let pem = Swtpm::maker_certificates();
    let cut = program.secret("cut.pem", &pem[..pem.len() - 40]);
    let why = "malformed certificate file: a certificate has no end";
    import(&cut).fails(2, &format!("tpmssh: cannot use {cut}: {why}\n"));

    let kept = program.secret("roots.pem", pem);
    import(&kept).ok();
    let listed = program.run(&["ek", "roots", "list", "--json"]).ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let first = listed["certificates"][0]["sha256"].as_str().unwrap();
    let absent = if first.starts_with('0') {
        "11111111"
    } else {
        "00000000"
    };
    program
        .run(&["ek", "roots", "remove", first, absent])
        .fails(
            12,
            &format!(
                "tpmssh: no certificate is kept whose SHA-256 begins with {absent}\n\
             hint: see which there are with: tpmssh ek roots list\n"
            ),
        );
    let still = program.run(&["ek", "roots", "list", "--json"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&still).unwrap(), listed);
    let short = program.run(&["ek", "roots", "remove", "5cd47d"]);
    assert_eq!(short.code, Some(2));
    let why = "it takes 8 to 64 hexadecimal digits, as tpmssh ek roots list shows them";
    assert!(short.stderr.contains(why), "{}", short.stderr);
}

/// A file that its owner put there by hand, with all certificates of a maker in it.
#[test]
fn of_a_file_with_several_certificates_one_is_removed() {
    let program = Program::new();
    let dir = program.home.path().join(".config/tpmssh/ek-roots");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("maker.pem");
    fs::write(&file, Swtpm::maker_certificates()).unwrap();
    let listed = program.run(&["ek", "roots", "list", "--json"]).ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let sha256 = |number: usize| listed["certificates"][number]["sha256"].as_str().unwrap();
    program.run(&["ek", "roots", "remove", sha256(0)]).ok();
    let left = program.run(&["ek", "roots", "list"]).ok();
    assert!(
        left.contains(sha256(1)) && !left.contains(sha256(0)),
        "{left}"
    );
    program.run(&["ek", "roots", "remove", sha256(1)]).ok();
    assert!(!file.exists());
}
