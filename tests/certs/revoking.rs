//! Revocations, and the lists by which servers learn of them.

use std::fs;

use serde_json::Value;

use super::authority::{key_file, sign, with_authority};
use crate::program::{Outcome, run, text};

#[test]
fn a_revocation_that_matches_nothing_fails() {
    let program = with_authority();
    for (option, value, what) in [
        ("--key-id", "typo", "key id"),
        ("--serial", "7", "serial number"),
    ] {
        let hint = "hint: tpmssh ca list shows what was signed; --force revokes it anyway\n";
        program.run(&["ca", "revoke", option, value]).fails(
            12,
            &format!("tpmssh: this authority signed no certificate with this {what}\n{hint}"),
        );
        program
            .run(&["ca", "revoke", "--force", option, value])
            .ok();
    }
    let list = text(program.home.path().join("revoked"));
    assert!(
        program
            .run(&["ca", "krl", &list])
            .stderr
            .ends_with(": 2 revocations by serial number or key id, 0 keys revoked\n")
    );
}

#[test]
fn keys_and_key_ids_are_revoked_too() {
    let program = with_authority();
    let list = text(program.home.path().join("revoked"));
    let [anna, bert, carl] = ["anna", "bert", "carl"].map(|name| {
        let key = key_file(&program, name);
        sign(&program, "sign-user", &key, &["-n", name, "-V", "+1h"])
    });
    program.run(&["ca", "revoke", "--key-id", "anna"]).ok();
    // A comment and an empty line before the key, which ssh-keygen accepts too.
    let key = bert.replace("-cert.pub", ".pub");
    let public = fs::read_to_string(&key).unwrap();
    fs::write(&key, format!("# of bert\n\n{public}")).unwrap();
    let by_certificate = program.run(&["ca", "revoke", "--key", &bert]);
    assert!(
        by_certificate.stderr.contains(&format!(
            "{bert} is a certificate: its key is meant, with every certificate for it; for this one \
             alone: tpmssh ca revoke --serial "
        )),
        "{by_certificate:?}"
    );
    by_certificate.ok();
    program
        .run(&["ca", "revoke", "--key", &key])
        .fails(1, "tpmssh: that has been revoked before\n");
    // Serial number 0 is that of every certificate without one.
    let without = key_file(&program, "dora");
    let other = key_file(&program, "other");
    run(
        "ssh-keygen",
        &["-q", "-s", &other, "-I", "dora", "-n", "dora", &without],
    );
    let without = format!("{without}-cert.pub");
    let told = program.run(&["ca", "revoke", "--key", &without, "--force"]);
    let line = "is a certificate: its key is meant, with every certificate for it\n";
    assert!(told.stderr.contains(line), "{told:?}");
    program.run(&["ca", "krl", &list]).ok();
    for (file, revoked) in [(&anna, true), (&bert, true), (&key, true), (&carl, false)] {
        let theirs = program
            .home
            .command("ssh-keygen")
            .args(["-Q", "-f", &list, file])
            .output();
        assert_eq!(!theirs.unwrap().status.success(), revoked, "{file}");
        let ours = program.run(&["ca", "read-krl", &list, file]);
        assert_eq!(ours.code, Some(if revoked { 8 } else { 0 }), "{ours:?}");
    }
    // With another last digit of the signature, no authority signed the certificate.
    let line = fs::read_to_string(&carl).unwrap();
    let mut words = line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let at = words[1].trim_end_matches('=').len() - 4;
    let other = if words[1].as_bytes()[at] == b'A' {
        "B"
    } else {
        "A"
    };
    words[1].replace_range(at..=at, other);
    let forged = program.secret("forged-cert.pub", &words.join(" "));
    let ours = program.run(&["ca", "read-krl", &list, &forged]);
    assert_eq!((ours.code, ours.stdout.as_str()), (Some(8), ""), "{ours:?}");
    assert!(
        ours.stderr.contains("the signature does not match"),
        "{ours:?}"
    );
    let json = program
        .run(&["ca", "read-krl", "--json", &list, &carl])
        .ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    let year_2026 = 1_767_225_600;
    assert!(json["number"].as_u64() > Some(year_2026), "{json}");
    assert_eq!(json["comment"], "ca");
    assert_eq!(json["asked"][0]["revoked"], false);
}

/// An old copy of the store has fewer records.
#[test]
fn a_revocation_is_not_taken_back_by_an_old_store() {
    let program = with_authority();
    let list = text(program.home.path().join("revoked"));
    let revoke = |id: &str| {
        program
            .run(&["ca", "revoke", "--force", "--key-id", id])
            .ok()
    };
    let write = |options: &[&str]| program.run(&[&["ca", "krl", &list], options].concat());
    revoke("anna");
    let copy = fs::read(program.home.store().join("store.db")).unwrap();
    revoke("bert");
    write(&[]).ok();
    write(&[]).ok(); // the same once more
    let before = fs::read(&list).unwrap();

    fs::write(program.home.store().join("store.db"), &copy).unwrap();
    let hint = "hint: the store may be an old copy: revoke again what is missing \
                (tpmssh ca revoke), or add --force\n";
    let forgets = format!("tpmssh: the list in {list} revokes what this store does not\n{hint}");
    write(&[]).fails(1, &forgets);
    revoke("carl");
    write(&[]).fails(1, &forgets);
    assert_eq!(fs::read(&list).unwrap(), before);
    revoke("bert");
    write(&[]).ok();

    // A list that revokes nothing more has only a higher number.
    fs::write(program.home.store().join("store.db"), &copy).unwrap();
    revoke("bert");
    revoke("carl");
    let public = program.run(&["ca", "public-key"]).ok();
    let ca = text(program.home.secret_file("ca.pub", &public));
    let spec = text(program.home.secret_file("spec", "id: anna\n"));
    let number = "18446744073709551615";
    let args = ["-k", "-q", "-f", &list, "-s", &ca, "-z", number, &spec];
    Outcome::of(program.home.command("ssh-keygen").args(args)).ok();
    let outcome = write(&[]);
    let back =
        format!("tpmssh: the list in {list} has number {number}, and the new one would have ");
    assert!(outcome.stderr.starts_with(&back), "{outcome:?}");
    assert!(outcome.stderr.ends_with(hint), "{outcome:?}");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    write(&["--force"]).ok();
    write(&[]).ok();

    // sshd takes a list of keys as text as well.
    fs::write(&list, "ssh-ed25519 AAAA revoked@example.org\n").unwrap();
    write(&[]).fails(
        1,
        &format!(
            "tpmssh: {list} is not replaced: the revocation list is malformed: \
             it does not begin as one\n\
             hint: name another file, or replace it anyway with --force\n"
        ),
    );
    write(&["--force"]).ok();
    // An empty one revokes nothing.
    fs::write(&list, "").unwrap();
    write(&[]).ok();
}

#[test]
fn a_revocation_list_that_is_cut_or_none_is_refused() {
    let program = with_authority();
    let revoke = ["ca", "revoke", "--force", "--key-id", "anna"];
    program.run(&revoke).ok();
    let list = text(program.home.path().join("revoked"));
    program.run(&["ca", "krl", &list]).ok();
    let whole = fs::read(&list).unwrap();
    let cut = text(program.home.path().join("cut"));
    fs::write(&cut, &whole[..whole.len() - 3]).unwrap();
    program.run(&["ca", "read-krl", &cut]).fails(
        2,
        &format!("tpmssh: {cut}: the revocation list is cut short\n"),
    );
    let text_file = program.secret("text", "this is text\n");
    program.run(&["ca", "read-krl", &text_file]).fails(
        2,
        &format!(
            "tpmssh: {text_file}: the revocation list is malformed: it does not begin as one\n"
        ),
    );
    program.run(&["ca", "krl", "/nowhere/list"]).fails(
        11,
        "tpmssh: cannot write /nowhere/list: No such file or directory (os error 2)\n",
    );
    program.run(&["ca", "krl", &list]).ok();
    assert_eq!(fs::read(&list).unwrap().len(), whole.len());
}
