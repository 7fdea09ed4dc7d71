//! A recording of the bus gives nobody a secret, nor a way to try guesses of one.

use testing::{
    Swtpm, Tap,
    interposer::{Message, cc},
};

use testing::eavesdropper::{Eavesdropper, hmac, session_key};

use crate::{
    TestResult,
    chip::{Chip, RH_NULL, RH_OWNER},
    life::{self, SECRETS},
    world::{Kind, OWNER},
};

#[test]
fn no_secret_and_no_half_of_one_is_in_the_recording_of_a_life() -> TestResult {
    for kind in Kind::ALL {
        let recording = life::record(kind)?;
        let seen = |bytes: &[u8]| {
            recording.iter().any(|exchange| {
                let within = |all: &[u8]| all.windows(bytes.len()).any(|part| part == bytes);
                within(&exchange.command) || within(&exchange.response)
            })
        };
        for (what, secret) in SECRETS {
            let (first, second) = secret.split_at(secret.len() / 2);
            for part in [secret, first, second] {
                assert!(!seen(part), "{kind:?}: {what}");
            }
        }
        // The control: what is no secret is there.
        assert!(seen(b"SECRET") || seen(&0x8100_0001_u32.to_be_bytes()));
    }
    Ok(())
}

#[test]
fn no_guess_can_be_tried_on_the_recording_of_a_life() -> TestResult {
    for kind in Kind::ALL {
        let heard = Eavesdropper::guessing(&SECRETS).listen(&life::record(kind)?);
        assert_eq!(heard.confirmed, Vec::<String>::new(), "{kind:?}");
        assert!(heard.hmacs > 50, "{} HMACs", heard.hmacs);
    }
    Ok(())
}

/// Records a proof of the owner's password in a session that is unsalted, or salted to the key whose private half is 1.
fn prove_owner_password(salted: bool) -> Vec<testing::Exchange> {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let mut chip = Chip::connect(tap.port());
    let nonce_caller = [0x11; 32];
    let mut parameters = vec![0, 32];
    parameters.extend(nonce_caller);
    // The ephemeral point of the salt is the generator.
    let point = crate::variation::GENERATOR;
    let salt = if salted {
        let mut salt = vec![0, 68];
        for coordinate in point {
            salt.extend([0, 32]);
            salt.extend(coordinate);
        }
        salt
    } else {
        vec![0, 0]
    };
    parameters.extend(salt);
    // HMAC, no symmetric algorithm, SHA-256.
    parameters.extend([0, 0, 0x10, 0, 0x0b]);
    let key = if salted {
        create_primary(&mut chip)
    } else {
        RH_NULL
    };
    let start = Message::command(cc::START_AUTH_SESSION)
        .with_handle(key)
        .with_handle(RH_NULL)
        .with_parameters(&parameters);
    let started = chip.send(&start);
    assert!(started.succeeded(), "{started:?}");
    let nonce_tpm = started.get("nonceTPM");
    // The HMAC is made as if the salt were for the key with private half 1, whose public point is the generator, too.
    let key = if salted {
        let one = 1_u32.to_be_bytes();
        let [x, _] = point;
        let secret = testing::eavesdropper::digest(&[&one, &x, b"SECRET\0", &x, &x]);
        session_key(&secret, &nonce_tpm, &nonce_caller)
    } else {
        Vec::new()
    };
    let handle = started.number("sessionHandle");
    let command = Message::command(cc::NV_UNDEFINE_SPACE)
        .with_handle(RH_OWNER)
        .with_handle(RH_OWNER);
    let names = [RH_OWNER.to_be_bytes(), RH_OWNER.to_be_bytes()].concat();
    let hash = testing::eavesdropper::digest(&[&command.code().to_be_bytes(), &names]);
    let nonce = [0x22; 32];
    let text = [&hash[..], &nonce, &nonce_tpm, &[1]].concat();
    let proof = hmac(&[&key, OWNER].concat(), &text);
    let command = command.with_session(handle, &nonce, 1, &proof);
    // The chip refuses it, but the HMAC has crossed the bus.
    assert!(!chip.send(&command).succeeded());
    drop(chip);
    tap.exchanges()
}

/// The TCG's template in the null hierarchy.
fn create_primary(chip: &mut Chip) -> u32 {
    let template = b"\0\x23\0\x0b\0\x03\x04\x72\0\0\0\x06\0\x80\0\x43\0\x10\0\x03\0\x10\0\0\0\0";
    let mut parameters = vec![0, 4, 0, 0, 0, 0, 0, 26];
    parameters.extend(template);
    parameters.extend([0; 6]);
    let command = Message::command(cc::CREATE_PRIMARY)
        .with_handle(RH_NULL)
        .with_password(&[])
        .with_parameters(&parameters);
    let made = chip.send(&command);
    assert!(made.succeeded(), "{made:?}");
    made.number("objectHandle")
}

/// The control: the eavesdropper finds the password by an HMAC of a session that is unsalted, or salted to a key of his.
#[test]
fn a_guess_is_confirmed_where_there_is_no_salt_or_a_known_one() {
    let unsalted = prove_owner_password(false);
    let heard = Eavesdropper::guessing(&SECRETS).listen(&unsalted);
    let expected = ["owner password, by the command TPM2_NV_UndefineSpace"];
    assert_eq!(heard.confirmed, expected);

    let salted = prove_owner_password(true);
    let heard = Eavesdropper::guessing(&SECRETS).listen(&salted);
    assert_eq!(heard.confirmed, Vec::<String>::new());
    let heard = Eavesdropper::guessing(&SECRETS).holding(1).listen(&salted);
    assert_eq!(heard.confirmed, expected);
}
