//! What an authority refuses, before a PIN is asked for.

use serde_json::Value;

use super::authority::{key_file, sign, with_authority};
use crate::program::Program;

#[test]
fn authorities_that_are_not_there_or_not_told_apart() {
    let program = Program::with_key();
    let key = key_file(&program, "anna");
    let public = format!("{key}.pub");
    let sign = |more: &[&str]| {
        let mut args = vec![
            "ca",
            "sign-user",
            &public,
            "-I",
            "i",
            "-n",
            "anna",
            "-V",
            "+1h",
        ];
        args.extend(["--pin-file", &program.pin]);
        args.extend(more);
        program.run(&args)
    };
    sign(&[]).fails(
        12,
        "tpmssh: there is no certificate authority yet\n\
         hint: make one first: tpmssh ca init\n",
    );
    sign(&["--ca", "first"]).fails(
        2,
        "tpmssh: key \"first\" is no certificate authority\n\
         hint: to make it one: tpmssh ca init --key LABEL\n",
    );
    sign(&["--ca", "nothing"]).fails(
        12,
        "tpmssh: no key \"nothing\"\nhint: tpmssh list shows what there is\n",
    );
    // To make an existing key an authority takes no PIN; to make a new key takes one.
    program.run(&["ca", "init", "--key", "first"]).ok();
    sign(&[]).ok();
    program
        .run(&[
            "ca",
            "init",
            "--label",
            "second",
            "--pin-file",
            &program.pin,
        ])
        .ok();
    sign(&[]).fails(
        2,
        "tpmssh: there are several certificate authorities: \"first\" and \"second\"\n\
         hint: say which one with --ca LABEL\n",
    );
    sign(&["--ca", "second"]).ok();
    let signed = |ca: &str| -> usize {
        let list = program.run(&["ca", "list", "--json", "--ca", ca]).ok();
        serde_json::from_str::<Vec<Value>>(&list).unwrap().len()
    };
    assert_eq!((signed("first"), signed("second")), (1, 1));
}

#[test]
fn what_cannot_be_certified_or_revoked_is_refused_before_a_pin_is_asked_for() {
    let program = with_authority();
    let key = key_file(&program, "anna");
    let public = format!("{key}.pub");
    let certificate = sign(&program, "sign-user", &key, &["-n", "anna", "-V", "+1h"]);
    // Without a PIN file and without a terminal: asking would be an error of its own.
    let sign = |file: &str, options: &[&str]| {
        let mut args = vec!["ca", "sign-user", file, "-I", "i"];
        args.extend(options);
        program.run(&args)
    };
    let usual = ["-n", "anna", "-V", "+1h"];
    sign(&public, &["-n", "", "-V", "+1h"]).fails(
        2,
        "tpmssh: a certificate cannot have a principal that is empty, or has a comma or a line \
         feed in it\n",
    );
    let missing = sign(&public, &["-V", "+1h"]);
    assert_eq!(missing.code, Some(2));
    assert!(
        missing.stderr.contains("--principals <NAMES>"),
        "{missing:?}"
    );
    let missing = sign(&public, &["-n", "anna"]);
    assert!(missing.stderr.contains("--validity <SPAN>"), "{missing:?}");
    let endless = sign(&public, &["-n", "anna", "-V", "always:forever"]);
    assert_eq!(endless.code, Some(2), "{endless:?}");
    sign(&certificate, &usual).fails(
        2,
        &format!("tpmssh: {certificate}: it is a certificate and not a key\n"),
    );
    sign(&public, &[&usual[..], &["-O", "no-such"]].concat())
        .fails(2, "tpmssh: \"no-such\" is not an option of certificates\n");
    let twice = ["-O", "force-command=true", "-O", "force-command=false"];
    sign(&public, &[&usual[..], &twice].concat())
        .fails(2, "tpmssh: \"force-command\" is given twice\n");
    sign(&key, &usual).fails(
        2,
        &format!(
            "tpmssh: unusable {key}: it is a private key; the public one is in the file that ends in .pub\n"
        ),
    );
    let newer = program.secret("newer", "ssh-mldsa-65 AAAADHNzaC1tbGRzYS02NQ==");
    sign(&newer, &usual).fails(
        2,
        &format!("tpmssh: {newer}: keys of type ssh-mldsa-65 are not known here\n"),
    );
    program.run(&["ca", "revoke", "--serial", "0"]).fails(
        2,
        "tpmssh: a certificate without a serial number cannot be revoked by it\n",
    );
    let pattern = program.run(&["ca", "public-key", "--known-hosts", "a b"]);
    pattern.fails(2, "tpmssh: a pattern of hosts is one word\n");
}
