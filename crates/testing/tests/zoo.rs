//! The zoo: chips look as their facts say, and refuse what they lack.

mod tpm;

use testing::{Chip, Mood, State, Zoo};

use crate::tpm::{Client, GET_RANDOM};

const GET_CAPABILITY: u32 = 0x17a;

/// The response to a command without sessions, from the response code on.
fn ask(client: &mut Client, code: u32, body: &str) -> Vec<u8> {
    let response = client.call(0x8001, code, &hex(body)).expect("it answers");
    response[6..].to_vec()
}

fn hex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    base16ct::mixed::decode_vec(text).expect("hexadecimal")
}

fn client(zoo: &Zoo) -> Client {
    Client::through(zoo.tap())
}

/// Capability, first value, count.
const CURVES: &str = "00000008 00000000 00000040";
const PROPERTIES: &str = "00000006 00000100 00000040";

#[test]
fn a_chip_says_of_itself_what_its_facts_say() {
    let zoo = Zoo::start(Chip::named("ifx-5.63.13.6400"), &[State::Factory]);
    let mut client = client(&zoo);
    let curves = ask(&mut client, GET_CAPABILITY, CURVES);
    assert_eq!(curves, hex("00000000 00 00000008 00000002 0003 0010"));
    let properties = ask(&mut client, GET_CAPABILITY, PROPERTIES);
    // Revision 1.16, the third property.
    let revision = hex("00000102 00000074");
    assert!(properties.windows(8).any(|pair| pair == revision));
    assert!(ask(&mut client, GET_RANDOM, "0008").starts_with(&[0; 4]));
}

#[test]
fn a_chip_without_curves_refuses_the_question() {
    let zoo = Zoo::start(Chip::named("ifx-5.0-no-ecc"), &[State::Factory]);
    let refused = ask(&mut client(&zoo), GET_CAPABILITY, CURVES);
    assert_eq!(refused, hex("000001c4"));
    let empty = Chip::named("ifx-5.0-no-ecc").with_quirks(|quirks| {
        quirks.no_curves_rc = Some(false);
    });
    let zoo = Zoo::start(empty, &[]);
    let none = ask(&mut client(&zoo), GET_CAPABILITY, CURVES);
    assert_eq!(none, hex("00000000 00 00000008 00000000"));
}

#[test]
fn properties_come_in_portions_where_a_chip_does_that() {
    let chip = Chip::named("amd-3.87.0.5").with_quirks(|quirks| {
        quirks.properties_per_reply = Some(8);
    });
    let zoo = Zoo::start(chip, &[]);
    let properties = ask(&mut client(&zoo), GET_CAPABILITY, PROPERTIES);
    assert_eq!(properties[4..13], hex("01 00000006 00000008"));
}

#[test]
fn a_mood_passes() {
    let chip = Chip::named("amd-3.87.0.5").with_quirks(|quirks| {
        quirks.moods.push(Mood {
            rc: 0x90a,
            times: 2,
            every: 1,
            commands: vec!["GetRandom".into()],
        });
    });
    let zoo = Zoo::start(chip, &[]);
    let mut client = client(&zoo);
    let codes: Vec<_> = (0..3)
        .map(|_| ask(&mut client, GET_RANDOM, "0008")[..4].to_vec())
        .collect();
    assert_eq!(codes, [hex("0000090a"), hex("0000090a"), hex("00000000")]);
}

#[test]
fn every_state_can_be_set_and_is_no_leftover() {
    for state in State::ALL {
        let zoo = Zoo::start(Chip::named("stm-1.512.0.0"), &[state]);
        assert_eq!(zoo.left_over(), [0_u32; 0], "{state}");
        assert_eq!(state.name().parse(), Ok(state));
    }
}
