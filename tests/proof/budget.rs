//! The number of TPM commands that a proof takes. `TPM2_FlushContext` is not counted.
//!
//! `cargo test -p tpmssh --test e2e proof::budget -- --nocapture` prints each command.

use testing::{Abrmd, Tap};

use super::Files;
use crate::agent::served::Served;
use crate::program::{Outcome, Program};

/// A chip with its maker's endorsement keys if `is_manufactured`; otherwise one whose endorsement keys have to be made for each use.
fn with_key(is_manufactured: bool) -> Program {
    if is_manufactured {
        super::manufactured()
    } else {
        Program::with_key()
    }
}

/// Part 2, section 6.5.2 "TPM_CC Listing".
fn name(code: u32) -> String {
    let name = match code {
        0x131 => "CreatePrimary",
        0x147 => "ActivateCredential",
        0x148 => "Certify",
        0x14e => "NV_Read",
        0x151 => "PolicySecret",
        0x153 => "Create",
        0x157 => "Load",
        0x15d => "Sign",
        0x161 => "ContextLoad",
        0x162 => "ContextSave",
        0x165 => "FlushContext",
        0x169 => "NV_ReadPublic",
        0x173 => "ReadPublic",
        0x176 => "StartAuthSession",
        0x17a => "GetCapability",
        0x17b => "GetRandom",
        _ => return format!("{code:#x}"),
    };
    name.to_owned()
}

/// What a resource manager does around each command on its own account.
const SWAPS: [u32; 2] = [0x161, 0x162];

/// Checks that `program` sends `most` commands at most.
#[track_caller]
fn costs(what: &str, tap: &Tap, most: usize, program: impl FnOnce() -> Outcome) {
    tap.reset();
    program().ok();
    let commands: Vec<_> = tap.commands().into_iter().map(name).collect();
    let said = format!("{what}: {} of {most}: {}", tap.count(), commands.join(" "));
    println!("{said}");
    assert!(tap.count() <= most, "{said}");
}

/// The endorsement keys of both ranges, at their persistent handles and made for the use.
const KEYS: [(bool, [&str; 2]); 2] = [
    (true, ["rsa2048", "ecc-p384"]),
    (false, ["ecc-p256", "ecc-p384"]),
];

#[test]
fn the_first_answer_takes_twelve_commands_at_most() {
    for (is_manufactured, ek_types) in KEYS {
        let program = with_key(is_manufactured);
        let tap = Tap::start(&program.swtpm);
        let files = Files::of(&program);
        let run = |args: &[&str]| {
            let mut command = program.command();
            Outcome::of(command.args(args).args(["--tcti", &tap.tcti()]))
        };
        // The first request makes the attestation key.
        for (ek_type, most) in ek_types.into_iter().zip([8, 5]) {
            let what = |step| format!("{step}, {ek_type}, manufactured: {is_manufactured}");
            let request = ["prove", "first", "--ek-type", ek_type, "-o", &files.request];
            costs(&what("request"), &tap, most, || run(&request));
            files.challenge(&program);
            let answer = ["prove", "--request", &files.request];
            let rest = ["--challenge", &files.challenge, "-o", &files.proof];
            let pin = ["--pin-file", &program.pin];
            let args = [&answer[..], &rest, &pin].concat();
            costs(&what("answer"), &tap, 12, || run(&args));
            let verify = ["verify-proof", &files.proof, "--any-tpm"];
            program.run(&verify).ok();
        }
    }
}

/// With the token open, the agent's part of a proof takes no login.
#[test]
fn a_renewal_with_an_open_token_takes_three_commands_behind_a_resource_manager() {
    let mut program = super::manufactured();
    let tap = Tap::start(&program.swtpm);
    let abrmd = Abrmd::behind(&tap);
    program.home.set_tcti(abrmd.tcti());
    let env = abrmd.env();
    let agent = Served::with(&program.home, &["--no-ask"], &env);
    let files = Files::of(&program);
    let run = |args: &[&str]| Outcome::of(program.command().envs(abrmd.env()).args(args));
    run(&["unlock", "--pin-file", &program.pin]).ok();
    run(&["prove", "--ek-type", "ecc-p384", "-o", &files.request]).ok();
    files.challenge(&program);
    let answer = ["prove", "--request", &files.request];
    let rest = ["--challenge", &files.challenge, "-o", &files.proof];
    for _ in 0..2 {
        tap.reset();
        run(&[&answer[..], &rest].concat()).ok();
        let own = tap.commands().into_iter().filter(|it| !SWAPS.contains(it));
        let own: Vec<_> = own.map(name).filter(|it| it != "FlushContext").collect();
        println!("answer by the agent: {}", own.join(" "));
        let activation = own
            .iter()
            .position(|it| it == "ActivateCredential")
            .unwrap();
        let renewal = &own[activation + 1..];
        assert_eq!(renewal, ["Load", "Certify", "Sign"], "{}", agent.log());
    }
}
