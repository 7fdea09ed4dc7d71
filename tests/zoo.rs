//! The whole life of a token on chips as they are met: a dozen personalities, or those of a file.
//!
//! `TPMSSH_ZOO=FILE` plays the chips of that file in place of the suite's, each in the states of
//! `TPMSSH_ZOO_STATES` (factory, windows and systemd); `cargo xtask zoo FILE` sets both.
//! `TPMSSH_ZOO_AT=TCTI` goes through it with a chip that another program plays there;
//! `TPMSSH_ZOO_CHIP` says which one of the file that is.

mod life;
mod slow;
mod srk;

use std::{env, path::Path};

use testing::{Chip, Home, Mood, State, Zoo};

use self::life::Life;
use crate::program::{Outcome, tpmssh};

/// The suite's chips, each in a state that it is met in.
const MET: [(&str, &[State]); 12] = [
    ("amd-3.87.0.5", &[State::Windows]),
    ("ifx-5.63.13.6400", &[State::Windows]),
    ("ifx-7.85.17.51968", &[State::Systemd]),
    ("intc-10.0.36.1030", &[State::Factory, State::ThreeTries]),
    ("intc-600.18.25.2027", &[State::Factory]),
    ("intc-9.5.65.3000", &[State::Windows]),
    ("msft-6.3.1.603", &[State::Systemd, State::ThreeTries]),
    ("ntc-1.3.0.1", &[State::Systemd, State::ThreeTries]),
    ("ntc-7.2.0.1", &[State::Windows]),
    ("stm-1.512.0.0", &[State::Factory]),
    ("ifx-5.0-no-ecc", &[State::Factory, State::ThreeTries]),
    ("cros-ftpm", &[State::Systemd]),
];

fn live(id: &str) {
    let (_, states) = MET.iter().find(|(met, _)| *met == id).unwrap();
    let zoo = Zoo::start(Chip::named(id), states);
    Life::new(zoo.chip(), &zoo.tcti()).live();
    assert_eq!(zoo.left_over(), expected(&zoo), "left over in {id}");
}

/// What may stay in the chip: the storage root key if tpmssh made it, and tpmssh's own storage root
/// key if the other one cannot serve.
fn expected(zoo: &Zoo) -> Vec<u32> {
    let made = zoo.left_over();
    made.into_iter()
        .filter(|handle| [0x8100_0001, srk::OWN].contains(handle))
        .collect()
}

macro_rules! met {
    ($($name:ident: $id:literal;)+) => {
        $(#[test]
        fn $name() {
            live($id);
        })+
    };
}

met! {
    an_amd_firmware_tpm_with_a_curve_it_cannot_sign_on: "amd-3.87.0.5";
    an_infineon_9665: "ifx-5.63.13.6400";
    an_infineon_9670: "ifx-7.85.17.51968";
    an_intel_10: "intc-10.0.36.1030";
    an_infineon_without_elliptic_curves: "ifx-5.0-no-ecc";
    an_intel_without_elliptic_curves: "intc-9.5.65.3000";
    an_intel_600: "intc-600.18.25.2027";
    a_microsoft_virtual_tpm: "msft-6.3.1.603";
    a_nuvoton_650: "ntc-1.3.0.1";
    a_nuvoton_750_without_pin_indexes: "ntc-7.2.0.1";
    an_st33_with_rsa_3072: "stm-1.512.0.0";
    a_chromebook: "cros-ftpm";
}

#[test]
fn every_chip_of_the_suite_is_met() {
    let met: Vec<_> = MET.iter().map(|(id, _)| (*id).to_owned()).collect();
    for chip in Chip::suite() {
        assert!(met.contains(&chip.id().to_owned()), "{}", chip.id());
    }
}

/// An index for the endorsement key's certificate that somebody defined and never wrote.
#[test]
fn a_certificate_that_was_never_written_is_none() {
    let zoo = Zoo::start(
        Chip::named("ntc-7.2.0.1"),
        &[State::Windows, State::CertificateUnwritten],
    );
    Life::new(zoo.chip(), &zoo.tcti()).look();
}

/// All commands now and then get a burst of each response code that asks to send the command again.
#[test]
fn a_chip_that_often_asks_to_send_a_command_again() {
    let chip = Chip::named("ifx-7.85.17.51968").with_quirks(|quirks| {
        for (rc, every) in [(0x90a, 7), (0x922, 5), (0x908, 11), (0x920, 13)] {
            quirks.moods.push(Mood {
                rc,
                every,
                times: 40,
                commands: Vec::new(),
            });
        }
        quirks.properties_per_reply = Some(8);
        quirks.pss_salt = Some("max".into());
    });
    let zoo = Zoo::start(chip, &[State::Windows]);
    Life::new(zoo.chip(), &zoo.tcti()).live();
    assert_eq!(zoo.left_over(), expected(&zoo));
}

/// A report of a chip is one that can be played.
#[test]
fn a_report_is_a_chip_of_the_zoo() {
    let zoo = Zoo::start(Chip::named("stm-1.512.0.0"), &[State::Factory]);
    let home = Home::with_tcti(zoo.tcti());
    let report = Outcome::of(tpmssh(&home).args(["doctor", "--report", "--try"])).ok();
    let chip = Chip::parse(&report).unwrap().remove(0);
    assert_eq!(chip.id(), "stm-1.512.0.0");
    assert_eq!(chip.key_types(), zoo.chip().key_types());
    assert_eq!(chip.has_pin_indexes(), zoo.chip().has_pin_indexes());
    assert!(!report.contains("error"), "{report}");
    assert!(report.contains("create_rsa3072") && report.contains("rsa_decrypt2048"));
    assert_eq!(zoo.left_over(), expected(&zoo));
    assert!(!home.store().exists());

    // Without `--try` nothing is made in the chip.
    let zoo = Zoo::start(Chip::named("ifx-5.0-no-ecc"), &[State::Windows]);
    let home = Home::with_tcti(zoo.tcti());
    let report = Outcome::of(tpmssh(&home).args(["doctor", "--report"])).ok();
    let chip = Chip::parse(&report).unwrap().remove(0);
    assert_eq!(chip.key_types(), ["rsa2048"]);
    assert_eq!(zoo.left_over(), [0_u32; 0]);
}

/// `cargo xtask zoo FILE`.
#[test]
fn the_chips_of_a_file() {
    let Some(file) = env::var_os("TPMSSH_ZOO") else {
        return;
    };
    let mut chips = Chip::read(Path::new(&file)).unwrap();
    if let Ok(id) = env::var("TPMSSH_ZOO_CHIP") {
        chips.retain(|chip| chip.id() == id);
        assert_eq!(chips.len(), 1, "no chip {id} there");
    }
    if let Ok(tcti) = env::var("TPMSSH_ZOO_AT") {
        Life::new(&chips[0], &tcti).live();
        return;
    }
    let states = env::var("TPMSSH_ZOO_STATES").unwrap_or_else(|_| "factory windows systemd".into());
    let mut failed = Vec::new();
    for chip in &chips {
        for state in states.split_whitespace() {
            let state: State = state.parse().unwrap();
            let lived = std::panic::catch_unwind(|| {
                let zoo = Zoo::start(chip.clone(), &[state]);
                Life::new(zoo.chip(), &zoo.tcti()).live();
                assert_eq!(zoo.left_over(), expected(&zoo), "left over");
            });
            let word = if lived.is_ok() { "ok" } else { "FAILED" };
            println!("{word:<7} {:<24} {state}", chip.id());
            if lived.is_err() {
                failed.push(format!("{} in the state {state}", chip.id()));
            }
        }
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
}
