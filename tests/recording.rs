//! A recording of all commands to the TPM, from taking ownership to the last change of a PIN: it
//! contains no secret, and no guess of a secret can be tested against it.

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use testing::Tap;
use testing::eavesdropper::Eavesdropper;

use crate::program::{Outcome, Program};

/// The secrets that people type: the file of each in the home, and its text.
const TYPED: [(&str, &str); 11] = [
    ("owner", "the owner's first password"),
    ("endorsement", "first one of endorsement"),
    ("lockout", "a lockout password"),
    ("new-owner", "what the owner has now"),
    ("new-endorsement", "endorsement, again"),
    ("new-lockout", "lockout, the second"),
    ("pin", "correct horse"),
    ("new-pin", "battery staple"),
    ("reset-pin", "after the reset"),
    ("so-pin", "a recovery code"),
    ("new-so-pin", "another code"),
];

/// Those from which Argon2id derives a value, with the associated data for their role.
const DERIVED: [(&str, &[u8]); 5] = [
    ("pin", b"tpmssh user PIN"),
    ("new-pin", b"tpmssh user PIN"),
    ("reset-pin", b"tpmssh user PIN"),
    ("so-pin", b"tpmssh SO PIN"),
    ("new-so-pin", b"tpmssh SO PIN"),
];

struct Life {
    program: Program,
    tap: Tap,
}

impl Life {
    fn new() -> Self {
        let program = Program::new();
        let tap = Tap::start(&program.swtpm);
        for (name, secret) in TYPED {
            program.secret(name, secret);
        }
        Self { program, tap }
    }

    /// Runs `tpmssh`; `@NAME` stands for the file with that secret.
    fn run(&self, line: &str) -> Outcome {
        let home = self.program.home.path();
        let words = line.split(' ').map(|word| match word.strip_prefix('@') {
            Some(name) => home.join(name).into_os_string(),
            None => word.into(),
        });
        let mut command = self.program.command();
        Outcome::of(command.args(["--tcti", &self.tap.tcti()]).args(words))
    }

    /// What Argon2id makes of the PINs, with the salts that the token had.
    fn values(&self, salts: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
        let mut values = Vec::new();
        for (name, label) in DERIVED {
            let (_, typed) = TYPED.iter().find(|(typed, _)| *typed == name).unwrap();
            for salt in salts {
                values.push((format!("value of {name}"), derive(typed, label, salt)));
            }
        }
        values
    }

    fn salt(&self) -> Vec<u8> {
        let store = self.program.home.store().join("store.db");
        let store = rusqlite::Connection::open(store).unwrap();
        let query = "SELECT salt FROM token";
        store.query_row(query, [], |row| row.get(0)).unwrap()
    }
}

fn derive(pin: &str, label: &[u8], salt: &[u8]) -> Vec<u8> {
    let params = ParamsBuilder::new()
        .m_cost(19 * 1024)
        .t_cost(2)
        .p_cost(1)
        .output_len(32)
        .data(AssociatedData::new(label).unwrap())
        .build()
        .unwrap();
    let mut value = vec![0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(pin.as_bytes(), salt, &mut value)
        .unwrap();
    value
}

#[test]
fn a_recording_of_all_commands_gives_nobody_a_secret() {
    for wall in ["counter", "lockout"] {
        let life = Life::new();
        let mut salts = Vec::new();
        for line in [
            "tpm take-ownership --yes --owner-auth-file @owner --endorsement-auth-file @endorsement \
             --lockout-auth-file @lockout",
            "tpm change-auth owner --auth-file @owner --new-auth-file @new-owner",
            "tpm change-auth endorsement --auth-file @endorsement --new-auth-file @new-endorsement",
            "tpm change-auth lockout --auth-file @lockout --new-auth-file @new-lockout",
            &format!(
                "token init --label work --pin-wall {wall} --pin-file @pin --so-pin-file @so-pin \
                 --owner-auth-file @new-owner"
            ),
            "keygen --label first --pin-file @pin",
            "sign --key first --pin-file @pin pin",
            "token change-pin --pin-file @pin --new-pin-file @new-pin",
            "sign --key first --pin-file @new-pin pin",
            "token change-so-pin --so-pin-file @so-pin --new-so-pin-file @new-so-pin",
            "token reset-pin --so-pin-file @new-so-pin --new-pin-file @reset-pin",
            "sign --key first --pin-file @reset-pin pin",
            "tpm lockout reset --lockout-auth-file @new-lockout",
        ] {
            let done = life.run(line);
            assert_eq!(done.code, Some(0), "{wall}: {line}: {done:#?}");
            if line.starts_with("token") {
                salts.push(life.salt());
            }
        }
        salts.dedup();
        let typed = TYPED.map(|(name, secret)| (name.to_owned(), secret.as_bytes().to_vec()));
        let secrets = [typed.to_vec(), life.values(&salts)].concat();
        assert!(secrets.len() >= 16, "11 that are typed, 5 that are derived");

        let recording = life.tap.exchanges();
        for (what, secret) in &secrets {
            let (first, second) = secret.split_at(secret.len() / 2);
            for part in [secret, first, second] {
                assert!(!life.tap.saw(part), "{wall}: {what}");
            }
        }
        // A control: what is no secret is there, such as the handle of the storage root key.
        assert!(life.tap.saw(&0x8100_0001_u32.to_be_bytes()));

        let guesses: Vec<(&str, &[u8])> = secrets
            .iter()
            .map(|(what, secret)| (what.as_str(), secret.as_slice()))
            .collect();
        let heard = Eavesdropper::guessing(&guesses).listen(&recording);
        assert_eq!(heard.confirmed, Vec::<String>::new(), "{wall}");
        assert!(heard.hmacs > 50, "{} HMACs", heard.hmacs);
    }
}
