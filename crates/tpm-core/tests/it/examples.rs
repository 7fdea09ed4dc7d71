//! The programs in `examples/`, as they are.

use testing::Swtpm;
use tpm_core::{Tpm, info};

#[path = "../../examples/facts.rs"]
#[expect(dead_code, reason = "its `main` asks for the TPM and calls `run`")]
mod facts;
#[path = "../../examples/pin_counter.rs"]
#[expect(dead_code, reason = "its `main` asks for the TPM and calls `run`")]
mod pin_counter;
#[path = "../../examples/prove.rs"]
#[expect(dead_code, reason = "its `main` asks for the TPM and calls `run`")]
mod prove;
#[path = "../../examples/sign.rs"]
#[expect(dead_code, reason = "its `main` asks for the TPM and calls `run`")]
mod sign;

type Example = fn(&Tpm, &mut dyn std::io::Write) -> Result<(), Box<dyn std::error::Error>>;

/// What the example prints on a new chip, in which it leaves at most the storage root key.
fn printed(run: Example) -> Result<String, Box<dyn std::error::Error>> {
    let swtpm = Swtpm::start();
    let tpm = Tpm::new(swtpm.tcti().parse()?);
    let mut out = Vec::new();
    run(&tpm, &mut out)?;
    let op = tpm.begin()?;
    assert_eq!(info::handles(&op, 0x8000_0000, 0x80ff_ffff)?, [0; 0]);
    assert_eq!(info::handles(&op, 0x0180_0000, 0x01bf_ffff)?, [0; 0]);
    Ok(String::from_utf8(out)?)
}

#[test]
fn a_key_is_made_and_signs() -> Result<(), Box<dyn std::error::Error>> {
    let said = printed(sign::run)?;
    assert!(said.starts_with("made a key: ecdsa-p256 000b"), "{said}");
    assert!(said.ends_with("\nthe signature is right: true\n"), "{said}");
    Ok(())
}

#[test]
fn a_pin_counter_lives_its_life() -> Result<(), Box<dyn std::error::Error>> {
    let said = printed(pin_counter::run)?;
    let wrong = "a wrong PIN: wrong authorization for the PIN counter\n";
    assert_eq!(
        said,
        format!(
            "the right PIN: signed\n\
             {wrong}tries left: 2\n{wrong}tries left: 1\n{wrong}tries left: 0\n\
             the right PIN now: the PIN counter is exhausted\n\
             after the SO's reset: the PIN is right\n\
             the PIN is changed, and the key is the same\n"
        )
    );
    Ok(())
}

#[test]
fn the_facts_of_a_chip_are_read() -> Result<(), Box<dyn std::error::Error>> {
    let said = printed(facts::run)?;
    for line in [
        "manufacturer: IBM",
        "wrong tries: 0 of 3",
        "PIN counters: true",
        "makes keys of type ecdsa-p256",
        "storage root key: none yet",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}\n{said}");
    }
    Ok(())
}

#[test]
fn a_key_is_proven_to_somebody_else() -> Result<(), Box<dyn std::error::Error>> {
    let said = printed(prove::run)?;
    assert!(said.starts_with("ecdsa-sha2-nistp256 AAAA"), "{said}");
    assert!(
        said.ends_with(" proven\nborn-here, PIN wall: none, TPM known by mode B\n"),
        "{said}"
    );
    Ok(())
}
