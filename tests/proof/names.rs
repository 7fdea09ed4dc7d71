//! Names that other people chose, in certificates and requests, cannot control the terminal that shows them.

use std::fs;

use serde_json::{Value, json};

use super::{Files, maker::Maker, manufactured};
use crate::program::Program;

/// U+202E, which turns the writing direction.
const OVERRIDE: char = '\u{202e}';

/// Makes `name` the principal of the request.
fn ask_to_be(files: &Files, name: &str) {
    let mut request: Value = serde_json::from_slice(&fs::read(&files.request).unwrap()).unwrap();
    request["kind"] = json!("user");
    request["principals"] = json!([name]);
    fs::write(&files.request, request.to_string()).unwrap();
}

fn answered(program: &Program, files: &Files) {
    files.challenge(program);
    files.answer(program).ok();
}

#[track_caller]
fn assert_harmless(shown: &str) {
    let acts = |c: char| c.is_control() && c != '\n' || c == OVERRIDE;
    assert!(!shown.contains(acts), "{shown:?}");
}

#[test]
fn names_in_makers_certificates_do_not_turn_the_writing_direction() {
    let program = manufactured();
    let files = Files::of(&program);
    let maker = Maker {
        name: "Ma\u{202e}rekaM",
        model: "x\u{202e}TPN",
        ..Maker::new(&program.home)
    };
    files.ask(&program, &[]);
    let roots = maker.certify(&files.request, "2");
    answered(&program, &files);
    let shown = program
        .run(&["verify-proof", &files.proof, "--ek-roots", &roots])
        .ok();
    assert_harmless(&shown);
    assert!(shown.contains("TPM x\\u{202e}TPN id:00010001\n"), "{shown}");
    for args in [
        &["ek", "roots", "import", &roots][..],
        &["ek", "roots", "list"],
    ] {
        let shown = program.run(args).ok();
        assert_harmless(&shown);
        assert!(shown.contains("CN=Ma\\u{202e}rekaM"), "{shown}");
    }
}

/// A maker has no reason to write one, and programs that read JSON may print it.
#[test]
fn a_control_character_in_a_model_is_no_model() {
    let program = manufactured();
    let files = Files::of(&program);
    for model in ["a\u{1b}[2Jb", "a\nTPM        real", "a\u{9b}2Jb"] {
        let maker = Maker {
            model,
            ..Maker::new(&program.home)
        };
        files.ask(&program, &[]);
        let roots = maker.certify(&files.request, "2");
        answered(&program, &files);
        let args = ["verify-proof", &files.proof, "--ek-roots", &roots];
        program.run(&args).fails(
            8,
            "tpmssh: proof refused: the certificate lacks the TPM's maker, model or version\n",
        );
    }
}

/// The prover writes them, and the verifier reads them.
#[test]
fn the_principals_of_a_proof_do_nothing_to_a_terminal() {
    let program = manufactured();
    let files = Files::of(&program);
    files.ask(&program, &[]);
    ask_to_be(&files, "anna\u{1b}[2J\nproven    by\u{202e}toor");
    let args = ["ca", "challenge", &files.request, "-o", &files.challenge];
    let told = program.run(&args);
    assert_harmless(&told.stderr);
    told.ok();
    files.answer(&program).ok();
    let shown = program
        .run(&["verify-proof", &files.proof, "--any-tpm"])
        .ok();
    assert_harmless(&shown);
    let line = "for       user anna\\u{1b}[2J\\nproven    by\\u{202e}toor";
    assert!(shown.lines().any(|it| it == line), "{shown}");
}
