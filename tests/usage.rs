//! What a key may be used for, as its owner said when it was made.

use serde_json::{Value, json};

use crate::program::Program;

fn keys(program: &Program) -> Vec<Value> {
    let list = program.run(&["list", "--json"]).ok();
    serde_json::from_str(&list).expect("a list of keys")
}

#[test]
fn a_key_is_for_what_keygen_said() {
    let program = Program::with_key();
    let make = |args: &[&str]| {
        let pin = ["--pin-file", &program.pin];
        program.run(&[&["keygen"], args, &pin[..]].concat())
    };
    let both = ["-t", "rsa", "--usage", "sign,decrypt", "--label", "disk"];
    let shown = make(&both).ok();
    assert!(shown.contains("usage        sign, decrypt\n"), "{shown}");
    let mail = ["--usage", "derive", "--label", "mail"];
    let shown = make(&mail).ok();
    assert!(shown.contains("usage        derive\n"), "{shown}");
    let usages: Vec<_> = keys(&program)
        .into_iter()
        .map(|key| key["usage"].clone())
        .collect();
    let expected = [
        json!(["sign"]),
        json!(["sign", "decrypt"]),
        json!(["derive"]),
    ];
    assert_eq!(usages, expected);
    let list = program.run(&["list"]).ok();
    assert_eq!(list.matches("key, not for signing").count(), 1, "{list}");

    // A key that does not sign is not for logins.
    let exported = program.run(&["export", "--all"]).ok();
    assert!(
        exported.contains(" disk\n") && !exported.contains(" mail\n"),
        "{exported}"
    );
    let file = program.secret("text", "text");
    let sign = ["sign", "--key", "mail", "--pin-file", &program.pin, &file];
    program
        .run(&sign)
        .fails(1, "tpmssh: cannot sign: the key is not for signing\n");
    make(&["--usage", "decrypt", "--label", "x"]).fails(
        2,
        "tpmssh: only an rsa key decrypts: choose it with --type\n",
    );
    make(&["-t", "rsa", "--usage", "sign,derive", "--label", "x"]).fails(
        2,
        "tpmssh: only an ecdsa key derives keys: choose it with --type\n",
    );
}
