//! Where the private key is not: on the bus, in the store, in a log, in arguments and environments.

use std::fs;
use std::path::Path;

use ssh_format::{PrivateKeyFile, PrivateNumbers};
use testing::Tap;
use testing::eavesdropper::Eavesdropper;

use super::{PASSPHRASE, old_key};
use crate::program::{Program, text};

/// The secret numbers of a file, each with its name.
fn numbers(file: &str) -> Vec<(&'static str, Vec<u8>)> {
    let file = PrivateKeyFile::parse(&fs::read(file).unwrap()).unwrap();
    let numbers = file.open(PASSPHRASE.as_bytes(), |numbers, _| match *numbers {
        PrivateNumbers::Rsa { d, iqmp, p, q, .. } => vec![
            ("d", d.to_vec()),
            ("iqmp", iqmp.to_vec()),
            ("p", p.to_vec()),
            ("q", q.to_vec()),
        ],
        PrivateNumbers::Ecdsa { d, .. } => vec![("d", d.to_vec())],
        _ => Vec::new(),
    });
    numbers.unwrap()
}

/// All bytes of all files below a directory.
fn contents(dir: &Path, except: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path, except));
        } else if path.is_file() && !except.iter().any(|name| Path::new(name) == path) {
            all.push((text(path.clone()), fs::read(&path).unwrap()));
        }
    }
    all
}

#[test]
fn the_private_key_is_in_no_recording_of_the_bus_and_in_no_file() {
    for wall in ["counter", "lockout", "none"] {
        for kind in [["ecdsa", "256"], ["rsa", "2048"]] {
            let program = Program::new();
            let tap = Tap::start(&program.swtpm);
            let tcti = tap.tcti();
            let run = |args: &[&str]| program.run(&[&["--tcti", &tcti], args].concat()).ok();
            let init = ["token", "init", "--label", "work", "--pin-wall", wall];
            let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
            run(&[&init[..], if wall == "none" { &pins[2..] } else { &pins }].concat());
            let file = old_key(&program, "id", kind, PASSPHRASE);
            let passphrase = program.secret("passphrase", PASSPHRASE);
            let pin = ["--pin-file", &program.pin];
            let import = ["import", "--yes", &file, "--passphrase-file", &passphrase];
            run(&[&import[..], &pin].concat());
            run(&[&["sign", &passphrase][..], &pin].concat());

            let secrets = numbers(&file);
            let recording = tap.exchanges();
            let codes: Vec<u32> = recording.iter().map(testing::Exchange::code).collect();
            assert!(codes.contains(&0x156), "TPM2_Import is in the recording");
            let files = contents(program.home.path(), &[&file, &passphrase]);
            for (what, secret) in &secrets {
                let (first, second) = secret.split_at(secret.len() / 2);
                for part in [secret, first, second] {
                    assert!(!tap.saw(part), "{wall} {kind:?}: {what}");
                    let found = files
                        .iter()
                        .find(|(_, bytes)| bytes.windows(part.len()).any(|window| window == part));
                    assert!(
                        found.is_none(),
                        "{what} is in {:?}",
                        found.map(|file| &file.0)
                    );
                }
            }
            assert!(!tap.saw(PASSPHRASE.as_bytes()));
            // The control: the public half is there.
            let public = fs::read_to_string(format!("{file}.pub")).unwrap();
            let public = ssh_format::AnyKey::from_line(&public).unwrap().0;
            assert!(tap.saw(&public.blob()[public.blob().len() - 32..]));
            // No guess of the key or the PIN can be tested against the recording.
            let pin = ("the PIN", crate::program::PIN.as_bytes());
            let guesses: Vec<(&str, &[u8])> = secrets
                .iter()
                .map(|(what, secret)| (*what, secret.as_slice()))
                .chain([pin])
                .collect();
            let heard = Eavesdropper::guessing(&guesses).listen(&recording);
            assert_eq!(heard.confirmed, Vec::<String>::new(), "{wall}");
        }
    }
}
