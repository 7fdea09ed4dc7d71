//! Certificates, public keys and data: written, read back, renamed, deleted.

use std::fs;

use super::{PIN, Program, ok, tool};
use crate::clients::{file, openssl, refused, self_signed};

const LOGIN: [&str; 3] = ["--login", "--pin", PIN];

#[test]
fn certificates_are_written_read_back_renamed_and_deleted() {
    let program = Program::with_token();
    let home = &program.home;
    let [pem, _] = self_signed(home, "alice", "/CN=alice");
    let [der, back] = ["alice.der", "back.der"].map(|name| file(home, name));
    let convert = ["x509", "-in", &pem, "-outform", "DER", "-out", &der];
    openssl(home, &convert);
    let write = ["--write-object", &der, "--id", "77", "--label", "alice"];
    let printed = ok(
        &program,
        &[&LOGIN[..], &["--type", "cert"], &write].concat(),
    );
    assert!(printed.contains("subject:    DN: CN=alice"), "{printed}");
    let read = ["--read-object", "--type", "cert", "--output-file", &back];
    ok(&program, &[&read[..], &["--id", "77"]].concat());
    assert_eq!(fs::read(&back).unwrap(), fs::read(&der).unwrap());

    let change = ["--type", "cert", "--id", "77", "--set-id", "78"];
    ok(&program, &[&LOGIN[..], &change].concat());
    let objects = ok(&program, &["-O"]);
    assert!(objects.contains("ID:         78\n"), "{objects}");
    let delete = ["--delete-object", "--type", "cert", "--id", "78"];
    ok(&program, &[&LOGIN[..], &delete].concat());
    assert!(!ok(&program, &["-O"]).contains("Certificate Object"));
}

#[test]
fn public_keys_are_written_and_read_back() {
    let program = Program::with_token();
    let home = &program.home;
    let [pem, der, back] = ["rsa.pem", "rsa.der", "back.der"].map(|name| file(home, name));
    let make = ["genpkey", "-algorithm", "RSA", "-out", &pem];
    openssl(home, &make);
    let convert = ["pkey", "-in", &pem, "-pubout", "-outform", "DER"];
    openssl(home, &[&convert[..], &["-out", &der]].concat());
    let write = ["--write-object", &der, "--type", "pubkey", "--id", "05"];
    ok(&program, &[&LOGIN[..], &write].concat());
    let objects = ok(&program, &["-O"]);
    assert!(
        objects.contains("Public Key Object; RSA 2048 bits"),
        "{objects}"
    );
    assert!(
        !objects.contains("local"),
        "it was not made here: {objects}"
    );
    let read = ["--read-object", "--type", "pubkey", "--id", "05"];
    ok(&program, &[&read[..], &["--output-file", &back]].concat());
    assert_eq!(fs::read(&back).unwrap(), fs::read(&der).unwrap());
}

#[test]
fn data_are_written_read_back_and_deleted_and_private_ones_are_hidden() {
    let program = Program::with_token();
    let home = &program.home;
    let data = crate::clients::write(home, "data", "some data");
    let back = file(home, "back");
    for (label, more) in [("open", &[][..]), ("hidden", &["--private"])] {
        let write = ["--write-object", &data, "--type", "data"];
        let named = ["--label", label, "--application-label", "notes"];
        ok(&program, &[&LOGIN[..], &write, &named, more].concat());
        let read = ["--read-object", "--type", "data", "--label", label];
        ok(
            &program,
            &[&LOGIN[..], &read, &["--output-file", &back]].concat(),
        );
        assert_eq!(fs::read(&back).unwrap(), b"some data");
    }
    let objects = ok(&program, &["-O"]);
    assert!(
        objects.contains("'open'") && !objects.contains("'hidden'"),
        "{objects}"
    );
    let delete = ["--delete-object", "--type", "data", "--label", "hidden"];
    refused(tool(&program).args(delete));
    ok(&program, &[&LOGIN[..], &delete].concat());
    let objects = ok(&program, &[&["-O"], &LOGIN[..]].concat());
    assert!(!objects.contains("'hidden'"), "{objects}");
}

#[test]
fn the_id_of_a_key_is_changed() {
    let program = Program::with_token();
    let make = ["--keypairgen", "--key-type", "EC:prime256v1", "--id", "01"];
    ok(&program, &[&LOGIN[..], &make].concat());
    for kind in ["privkey", "pubkey"] {
        let change = ["--type", kind, "--id", "01", "--set-id", "0a"];
        ok(&program, &[&LOGIN[..], &change].concat());
    }
    let objects = ok(&program, &[&["-O"], &LOGIN[..]].concat());
    assert_eq!(objects.matches("ID:         0a\n").count(), 2, "{objects}");
}
