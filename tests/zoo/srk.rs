//! Storage root keys as others leave them: used if they serve, and never changed.

use testing::{Chip, State, Zoo};

use super::life::Life;

/// The handle at which tpmssh keeps a storage root key of its own.
pub(super) const OWN: u32 = 0x8100_7373;

/// The life of a token on a chip in this state. `why` is the reason why the chip's storage root key
/// does not serve; `None` if it does.
fn live(state: State, why: Option<&str>) {
    let zoo = Zoo::start(Chip::named("intc-600.18.25.2027"), &[state]);
    let life = Life::new(zoo.chip(), &zoo.tcti());
    let before = storage_root_key(&life);
    let made = life.set_up();
    match why {
        Some(why) => {
            let said = format!("does not serve tpmssh: {why}; tpmssh has one of its own");
            assert!(made.contains(&said), "{state}: {made}");
            let doctor = life.ok(&["doctor"]);
            assert!(
                doctor
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .contains(why),
                "{state}: {doctor}"
            );
        }
        None => assert!(!made.contains("storage root key"), "{state}: {made}"),
    }
    let keys = life.make_keys();
    life.log_in_with_the_module(&keys);
    life.doctor(&[]);
    life.delete();
    assert_eq!(storage_root_key(&life), before, "{state}: untouched");
    let left = zoo.left_over();
    assert!(
        left.iter().all(|handle| *handle == OWN),
        "{state}: {left:x?}"
    );
    assert_eq!(left.is_empty(), why.is_none(), "{state}");
}

fn storage_root_key(life: &Life<'_>) -> String {
    let info = life.ok(&["tpm", "info"]);
    let line = info
        .lines()
        .find(|line| line.starts_with("storage root key"));
    line.unwrap_or_default().to_owned()
}

#[test]
fn of_rsa_3072_serves() {
    let chip = Chip::named("stm-1.512.0.0");
    let zoo = Zoo::start(chip, &[State::SrkRsa3072]);
    let life = Life::new(zoo.chip(), &zoo.tcti());
    assert!(!life.set_up().contains("storage root key"));
    life.delete();
    assert_eq!(zoo.left_over(), [0_u32; 0]);
}

#[test]
fn whose_password_the_lockout_guards_serves() {
    live(State::SrkCounted, None);
}

#[test]
fn on_p384_stays_aside() {
    live(
        State::SrkP384,
        Some("it has other algorithms than SHA-256 and AES-128"),
    );
}

#[test]
fn with_a_password_stays_aside() {
    live(State::SrkPassword, Some("it has a password"));
}

#[test]
fn that_takes_no_salt_stays_aside() {
    live(
        State::SrkUnsaltable,
        Some("the TPM opens no session with it"),
    );
}

#[test]
fn with_another_key_in_its_place_stays_aside() {
    live(State::Foreign, Some("another key is in its place"));
}

/// The owner's commands, such as `tpm lockout reset`, have to work without that key too.
#[test]
fn that_takes_no_salt_is_in_nobodys_way() {
    let states = [State::SrkUnsaltable, State::ThreeTries];
    let zoo = Zoo::start(Chip::named("ifx-5.63.13.6400"), &states);
    Life::new(zoo.chip(), &zoo.tcti()).live();
    assert_eq!(zoo.left_over(), [OWN]);
}

/// If the chip has no room for a persistent storage root key, it is made again for each use.
#[test]
fn without_room_is_made_anew() {
    for id in ["stm-1.512.0.0", "ifx-5.0-no-ecc"] {
        let zoo = Zoo::start(Chip::named(id), &[State::PersistentFull, State::ThreeTries]);
        let life = Life::new(zoo.chip(), &zoo.tcti());
        life.set_up();
        life.delete();
        assert_eq!(zoo.left_over(), [0_u32; 0]);
    }
}
