//! Another TPM in the place of ours, by a program on the bus that says what ours would say.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use testing::{Swtpm, assert_matches};
use tpm_core::{
    ChangeGuard, Error, GuardAuth, OwnerAuth, PinAuth, PinCounter, SoAuth, SoObject, Srk, TokenKey,
    Tpm,
};

type TestResult = Result<(), Box<dyn std::error::Error>>;

const READ_PUBLIC: u32 = 0x173;
const LOAD: u32 = 0x157;

const PIN: &[u8] = b"the PIN of the victim";

fn tpm(port: u16) -> Tpm {
    let tcti = format!("swtpm:host=127.0.0.1,port={port}");
    Tpm::new(tcti.parse().expect("a TCTI"))
}

fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 10];
    stream.read_exact(&mut message)?;
    let length = u32::from_be_bytes([message[2], message[3], message[4], message[5]]);
    message.resize(length as usize, 0);
    stream.read_exact(&mut message[10..])?;
    Ok(message)
}

/// Passes commands on to the TPM at `real`, but answers those in `faked` with what the TPM at
/// `claimed` says. Returns its port and all that it heard.
fn impostor(
    claimed: u16,
    real: u16,
    faked: &'static [u32],
) -> std::io::Result<(u16, Arc<Mutex<Vec<u8>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    // It ends with the test program; a client that hangs up ends its loop.
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            while let Ok(command) = read_message(&mut client) {
                notes.lock().expect("nobody panics").extend(&command);
                let is_faked = faked
                    .iter()
                    .any(|code| command[6..10] == code.to_be_bytes());
                let to = if is_faked { claimed } else { real };
                let mut pass = || {
                    let mut chip = TcpStream::connect(("127.0.0.1", to))?;
                    chip.write_all(&command)?;
                    let reply = read_message(&mut chip)?;
                    client.write_all(&reply)
                };
                if pass().is_err() {
                    break;
                }
            }
        }
    });
    Ok((port, heard))
}

#[test]
fn a_chip_that_only_claims_our_storage_root_key_is_found_out_and_learns_no_pin() -> TestResult {
    let (ours, other) = (Swtpm::start(), Swtpm::start());
    let owner = OwnerAuth::empty();
    let (so_auth, pin) = (SoAuth::random(), PinAuth::new(PIN)?);
    let (srk, counter, key) = {
        let tpm = tpm(ours.port());
        let op = tpm.begin()?;
        let srk = Srk::find_or_create(&op, &owner)?;
        let secret = GuardAuth::random();
        let so = SoObject::create(&srk.open(&op)?, &so_auth, &secret)?;
        let guard = ChangeGuard::create(&srk.open(&op)?, &secret)?;
        let handle = PinCounter::pick_handle(&op)?;
        let counter = PinCounter::from_parts(handle, so.name(), guard.name());
        counter.define(&srk.open(&op)?, &owner, &so, &so_auth, &pin, 5)?;
        let key = TokenKey::behind_counter(&srk.open(&op)?, counter.clone())?;
        (srk, counter, key)
    };
    Srk::find_or_create(&tpm(other.port()).begin()?, &owner)?;

    for faked in [&[READ_PUBLIC][..], &[READ_PUBLIC, LOAD]] {
        let (port, heard) = impostor(ours.port(), other.port(), faked)?;
        let there = tpm(port);
        // It claims to have the key, and cannot show that it holds it.
        assert_matches!(srk.check(&there.begin()?), Err(Error::OtherTpm));
        let opened = key.verify(&srk.open(&there.begin()?)?, &pin);
        // The chip that is to load the key as well does not know the session.
        match opened {
            Err(Error::OtherTpm) => assert_eq!(faked.len(), 1),
            Err(Error::Stale) => assert_eq!(faked.len(), 2),
            other => panic!("{other:?}"),
        }
        let heard = heard.lock().expect("nobody panics");
        assert!(heard.len() > 100, "it heard what was said");
        assert!(!heard.windows(PIN.len()).any(|bytes| bytes == PIN));
    }

    // The control: with our own TPM behind it, the same proxy is no obstacle.
    let (port, _) = impostor(ours.port(), ours.port(), &[READ_PUBLIC])?;
    let there = tpm(port);
    let op = there.begin()?;
    key.verify(&srk.open(&op)?, &pin)?;
    assert_eq!(counter.state(&srk.open(&op)?)?.count, 0);
    Ok(())
}
