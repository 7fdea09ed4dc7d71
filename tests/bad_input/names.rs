//! Keys, sizes, labels and names that do not exist or are not told apart.

use testing::{Fault, Tap, When};

use crate::program::{Outcome, Program, text};

/// `TPM2_Create`.
const CREATE: u32 = 0x153;

#[test]
fn key_types_and_sizes_that_do_not_exist() {
    let program = Program::with_token();
    program.run(&["keygen", "-t", "dsa"]).fails(
        2,
        "tpmssh: invalid value 'dsa' for '--type <ALGORITHM>' [possible values: ecdsa, rsa]\n\
         hint: TPMs make no such keys; leave -t out for ecdsa, which every current server takes\n",
    );
    program
        .run(&["keygen", "-t", "rsa", "-b", "1024"])
        .fails(2, "tpmssh: an rsa key has 2048 or 3072 bits, not 1024\n");
    program.run(&["keygen", "-b", "255"]).fails(
        2,
        "tpmssh: an ecdsa key has 256, 384 or 521 bits, not 255\n",
    );
    program.run(&["keygen", "--id", "xyz"]).fails(
        2,
        "tpmssh: invalid value 'xyz' for '--id <HEX>': it takes pairs of hexadecimal digits\n\
         hint: see tpmssh keygen --help\n",
    );
}

/// `TPM_RC_CURVE`, as a chip answers that has fewer curves than the simulator.
#[test]
fn a_size_that_the_chip_lacks() {
    let program = Program::with_token();
    let tap = Tap::start(&program.swtpm);
    tap.inject(When::Command(CREATE), Fault::Answer(0x2e6));
    program
        .run(&[
            "--tcti",
            &tap.tcti(),
            "keygen",
            "-b",
            "521",
            "--pin-file",
            &program.pin,
        ])
        .fails(
            1,
            "tpmssh: cannot make an ecdsa-p521 key: this TPM does not support ecdsa-p521\n\
             hint: tpmssh tpm info shows what this TPM can do\n",
        );
    assert_eq!(program.run(&["list-objects", "--json"]).ok(), "[]\n");
}

#[test]
fn labels_and_ids_that_are_too_long() {
    let program = Program::with_token();
    let long = "x".repeat(33);
    program
        .run(&["token", "init", "--label", &long])
        .fails(2, "tpmssh: the token label is longer than 32 bytes\n");
    let long = "x".repeat(129);
    program
        .run(&["keygen", "--label", &long, "--pin-file", &program.pin])
        .fails(2, "tpmssh: unusable label: it is longer than 128 bytes\n");
    let long = "00".repeat(129);
    program
        .run(&["keygen", "--id", &long, "--pin-file", &program.pin])
        .fails(
            2,
            "tpmssh: cannot make an ecdsa-p256 key: the id is longer than 128 bytes\n",
        );
}

#[test]
fn tokens_that_are_not_there_or_not_told_apart() {
    let program = Program::new();
    let store = text(program.home.store());
    for command in ["list-objects", "export"] {
        program.run(&[command]).fails(
            12,
            &format!(
                "tpmssh: there is no store at {store}\nhint: make a token and a key first: tpmssh setup\n"
            ),
        );
    }
    program.init("work");
    program.run(&["--token", "play", "keygen"]).fails(
        12,
        "tpmssh: no token \"play\"\nhint: tpmssh token list shows what there is\n",
    );
    program.init("play");
    program.run(&["keygen"]).fails(
        2,
        "tpmssh: there are several tokens: \"work\" and \"play\"\n\
         hint: say which one with --token LABEL\n",
    );
    // As PKCS#11 programs and older versions may make them.
    program.init("third");
    let store = program.home.store().join("store.db");
    let store = rusqlite::Connection::open(store).unwrap();
    let rename = "UPDATE token SET label = 'play' WHERE label = 'third'";
    assert_eq!(store.execute(rename, []).unwrap(), 1);
    program.run(&["--token", "play", "keygen"]).fails(
        2,
        "tpmssh: several tokens are called \"play\"\n\
         hint: give the serial number instead, which tpmssh token list shows\n",
    );
}

/// The refusal comes before the question for a PIN: the test gives neither a PIN file nor a terminal.
#[test]
fn a_label_that_is_taken_or_cannot_be_one_is_refused() {
    let program = Program::with_key();
    program.init("play");
    for command in [
        &["token", "init", "--label", "play"][..],
        &["--token", "work", "token", "rename", "play"],
        &[
            "--token", "work", "token", "init", "--again", "--label", "play",
        ],
    ] {
        program.run(command).fails(
            2,
            "tpmssh: there is a token called \"play\" already\n\
             hint: give another label; tpmssh token list shows what there is\n",
        );
    }
    program
        .run(&["--token", "play", "token", "rename", "play"])
        .ok();
    for command in [["keygen", "--label"], ["ca", "init"]] {
        let with = |label: &str| {
            let mut args = vec!["--token", "work"];
            args.extend(command.iter().filter(|word| **word != "--label"));
            args.extend(["--label", label]);
            program.run(&args)
        };
        with("first").fails(
            2,
            "tpmssh: there is a key called \"first\" already\n\
             hint: give another with --label; tpmssh list shows what there is\n",
        );
        for empty in ["", " "] {
            with(empty).fails(2, "tpmssh: unusable label: it is empty\n");
        }
        for lines in ["a\nb", "a\tb", "a\u{85}b", "a\u{2028}b"] {
            with(lines).fails(2, "tpmssh: unusable label: it has control characters\n");
        }
    }
    // A key that nobody named gets a label of its own.
    for _ in 0..2 {
        let args = ["--token", "work", "keygen", "--pin-file", &program.pin];
        program.run(&args).ok();
    }
    let listed = program.run(&["--token", "work", "list-objects"]).ok();
    assert!(listed.contains(" key 2"), "{listed}");
    // Another token may have a key of the same label.
    let args = ["--token", "play", "keygen", "--label", "first"];
    let pin = ["--pin-file", &program.pin];
    program.run(&[&args[..], &pin].concat()).ok();
}

#[test]
fn keys_that_are_not_there_or_not_told_apart() {
    let program = Program::with_token();
    program.run(&["export"]).fails(
        12,
        "tpmssh: there is no key yet\nhint: make one first: tpmssh keygen\n",
    );
    program.keygen("same");
    let mut make = program.home.command("pkcs11-tool");
    let pair = ["--keypairgen", "--key-type", "EC:prime256v1", "--label"];
    make.arg("--module").arg(testing::module());
    make.args(["--login", "--pin", crate::program::PIN]);
    Outcome::of(make.args(pair).args(["same", "--id", "02"])).ok();
    for command in ["export", "delete"] {
        program.run(&[command, "other"]).fails(
            12,
            "tpmssh: no key \"other\"\nhint: tpmssh list shows what there is\n",
        );
        program.run(&[command, "same"]).fails(
            2,
            "tpmssh: several keys are called \"same\"\n\
             hint: give the id or the fingerprint instead, which tpmssh list shows\n",
        );
    }
}

#[test]
fn deleting_without_saying_yes() {
    let program = Program::with_key();
    let mut setsid = program.home.command("setsid");
    setsid.args(["--wait", env!("CARGO_BIN_EXE_tpmssh"), "delete", "first"]);
    Outcome::of(&mut setsid).fails(
        2,
        "tpmssh: this has to be confirmed, and there is no terminal to ask on\n\
         hint: add --yes if you mean it\n",
    );
    assert_eq!(program.run(&["export"]).ok().lines().count(), 1);
}
