//! The process that is killed: this very test program, run again.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use token_store::{
    Error, KeySpec, OpenToken, SoToken, Store, StoreDir, Token, WallKind,
    object::{NewCertificate, ObjectChange},
    token::{self, InitOptions, Renewal},
};
use tpm_core::{KeyType, OwnerAuth, Tpm};

use super::{LABELS, NEW_PIN, NEW_SO_PIN};
use crate::{PIN, SO_PIN, TestResult, pin, so_pin, tpm_at};

/// Does one thing to a store, in the process that will be killed.
#[test]
#[ignore = "the victim of the tests of kill.rs"]
fn works() -> TestResult {
    let Some(what) = std::env::var_os("VICTIM") else {
        return Ok(());
    };
    let mut store = Store::open(&StoreDir::at(std::env::var("VICTIM_STORE")?)?)?;
    let tpm = tpm_at(&std::env::var("VICTIM_TCTI")?);
    act(what.to_str().ok_or("text")?, &mut store, &tpm)?;
    Ok(())
}

/// Does `what` to the token "work", or makes another one.
pub(super) fn act(what: &str, store: &mut Store, tpm: &Arc<Tpm>) -> Result<(), Error> {
    let owner = OwnerAuth::empty();
    if what == "init" {
        let (so, pin) = (so_pin(SO_PIN), pin(PIN));
        let options = InitOptions {
            wall: Some(WallKind::Counter),
            ..InitOptions::new("new")
        };
        return token::init(store, tpm, &options, Some(&so), Some(&pin), &owner).map(drop);
    }
    let token = store.find_token("work")?;
    let so = |store: &Store| SoToken::open(store, tpm, &token, &so_pin(SO_PIN));
    match what {
        "keygen" => {
            let open = OpenToken::open(store, tpm, &token, Some(&pin(PIN)))?;
            open.generate(store, &KeySpec::new(KeyType::EccP256, "second"))
                .map(drop)
        }
        "import" => {
            let open = OpenToken::open(store, tpm, &token, Some(&pin(PIN)))?;
            let spec = KeySpec::new(KeyType::EccP256, "from outside");
            open.import(store, &crate::moving_in::software(), &spec)
                .map(drop)
        }
        "change pin" => token::change_pin(store, tpm, &token, &pin(PIN), &pin(NEW_PIN)),
        "reset pin" => so(store)?.reset_pin(store, &pin(NEW_PIN)),
        "change so pin" => so(store)?.change_so_pin(store, &so_pin(NEW_SO_PIN)),
        "repair" => so(store)?.repair(store, &pin(NEW_PIN), &owner),
        "reinit" => token::reinit(store, tpm, &token, "work", &so_pin(SO_PIN)).map(drop),
        "renew" => {
            let (so, pin) = (so_pin(SO_PIN), pin(NEW_PIN));
            let renewal = Renewal {
                label: "work",
                max_tries: None,
                so: &so,
                pin: Some(&pin),
            };
            token::renew(store, tpm, &token, &renewal, &owner).map(drop)
        }
        "delete" => token::delete(store, tpm, &token, &owner),
        "write" => write_for_ever(store, &token),
        what => panic!("nobody can {what}"),
    }
}

/// Relabels the token and its key, and adds and deletes a certificate, as long as it lives.
fn write_for_ever(store: &mut Store, token: &Token) -> Result<(), Error> {
    let key = store.objects(token.id)?[0].id;
    let certificate = NewCertificate {
        value: vec![0x30; 2000],
        subject: vec![0x30; 200],
        ..NewCertificate::default()
    };
    loop {
        for label in LABELS {
            store.change_object(key, &ObjectChange::label(label))?;
            token::rename(store, token, label)?;
            let added = store.add_certificate(token.id, &certificate)?;
            store.delete_object(added.id)?;
        }
    }
}

/// A victim at work, which dies when dropped.
pub(super) struct Victim(Child);

impl Victim {
    pub(super) fn start(what: &str, store: &Path, tcti: &str) -> Self {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "kill::victim::works"])
            .env("VICTIM", what)
            .env("VICTIM_STORE", store)
            .env("VICTIM_TCTI", tcti)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program again");
        Self(child)
    }

    /// Waits until it has ended or `stuck` holds, and returns whether it has ended.
    pub(super) fn ends_before(&mut self, stuck: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.0.try_wait().expect("a child of ours") {
                assert!(status.success(), "the victim failed by itself");
                return true;
            }
            if stuck() {
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "the victim neither ends nor gets stuck"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
