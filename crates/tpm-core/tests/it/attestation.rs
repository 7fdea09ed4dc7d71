//! The attestation key: it proves this chip and no other, and its certificates are verified.

use key_proof::{Name, PublicArea, make_credential};
use rand_core::OsRng;
use testing::{Swtpm, Tap};
use tpm_core::{
    AttestationKey, AuthValue, Credential, Entity, Error, KeyBlob, KeyType, Operation, OwnerAuth,
    PinAuth, Srk, TokenKey, Tpm, Usage,
    ek::{self, EkType},
    info, ownership,
};

use crate::empty;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const SECRET: [u8; 32] = [5; 32];

fn tpm(tcti: &str) -> Tpm {
    Tpm::new(tcti.parse().expect("a TCTI of the test crate"))
}

fn assert_idle(op: &Operation<'_>) -> TestResult {
    for (first, last) in [(0x8000_0000, 0x80ff_ffff), (0x0200_0000, 0x02ff_ffff)] {
        assert_eq!(info::handles(op, first, last)?, [0; 0]);
    }
    Ok(())
}

/// `TPM2_MakeCredential` in software, for the endorsement key that `ek` shows.
fn credential(
    ek: &ek::Ek,
    key: &AttestationKey,
) -> Result<key_proof::Credential, key_proof::Error> {
    let area = PublicArea::parse(&ek.public)?;
    let name = Name::from_bytes(key.name().bytes())?;
    make_credential(&area, &name, &SECRET, &mut OsRng)
}

fn parts(credential: &key_proof::Credential) -> Credential<'_> {
    Credential {
        id_object: &credential.id_object,
        secret: &credential.secret,
    }
}

/// The endorsement key is made for the use, or is at its persistent handle.
#[test]
fn each_endorsement_key_brings_out_a_secret_that_was_made_for_it() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    let root = srk.open(&op)?;
    let key = AttestationKey::create(&root)?;
    let stored = AttestationKey::from_blob(key.blob().clone())?;
    assert_eq!(stored, key);
    for ek_type in EkType::ALL {
        for is_made in [true, false] {
            let ek = ek::show(&root, ek_type, &empty())?;
            let made = credential(&ek, &key)?;
            tap.reset();
            let secret = stored.activate(&root, ek_type, &empty(), &parts(&made))?;
            assert_eq!(&secret[..], SECRET, "{ek_type:?}");
            assert!(!tap.saw(&SECRET), "{ek_type:?}: the secret crossed the bus");
            // The high range needs no policy session.
            let budget = match (ek_type, is_made) {
                (EkType::Rsa2048 | EkType::EccP256, true) => 7,
                (EkType::Rsa2048 | EkType::EccP256, false) => 6,
                (_, true) => 6,
                (_, false) => 4,
            };
            assert!(tap.count() <= budget, "{ek_type:?}: {}", tap.count());
            ek::create(&op, Some(&srk), ek_type, &empty(), &empty())?;
        }
    }
    assert_idle(&op)
}

#[test]
fn a_secret_for_another_chip_or_another_attestation_key_stays_in() -> TestResult {
    let (one, other) = (Swtpm::start(), Swtpm::start());
    let (one, other) = (tpm(&one.tcti()), tpm(&other.tcti()));
    let (op, elsewhere) = (one.begin()?, OtherThread::of(other));
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    let root = srk.open(&op)?;
    let (key, second) = (
        AttestationKey::create(&root)?,
        AttestationKey::create(&root)?,
    );
    for ek_type in EkType::ALL {
        let own = ek::show(&root, ek_type, &empty())?;
        for made in [
            credential(&elsewhere.ek(ek_type), &key)?,
            credential(&own, &second)?,
        ] {
            let result = key.activate(&root, ek_type, &empty(), &parts(&made));
            assert!(
                matches!(result, Err(Error::OtherChallenge)),
                "{ek_type:?} {result:?}"
            );
        }
        let mut changed = credential(&own, &key)?;
        changed.id_object[5] ^= 1;
        let result = key.activate(&root, ek_type, &empty(), &parts(&changed));
        assert!(
            matches!(result, Err(Error::OtherChallenge)),
            "{ek_type:?} {result:?}"
        );
        // The chip still works.
        let right = credential(&own, &key)?;
        key.activate(&root, ek_type, &empty(), &parts(&right))?;
    }
    assert_idle(&op)
}

/// A thread has one operation at a time, so the other chip is asked by another one.
struct OtherThread(Tpm);

impl OtherThread {
    fn of(tpm: Tpm) -> Self {
        Self(tpm)
    }

    fn ek(&self, ek_type: EkType) -> ek::Ek {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let op = self.0.begin()?;
                let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
                let root = srk.open(&op)?;
                ek::show(&root, ek_type, &empty())
            });
            asked
                .join()
                .expect("it does not panic")
                .expect("a chip has endorsement keys")
        })
    }
}

/// Keys of the low range ask for the hierarchy's password; those of the high range have an empty value of their own.
#[test]
fn the_endorsement_password_is_asked_for_where_the_template_wants_it() -> TestResult {
    let high = [EkType::EccP256High, EkType::EccP384];
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    let root = srk.open(&op)?;
    let key = AttestationKey::create(&root)?;
    for ek_type in [&high[..], &[EkType::EccP256]].concat() {
        ek::create(&op, Some(&srk), ek_type, &empty(), &empty())?;
    }
    let password = AuthValue::new(b"secret")?;
    let hierarchy = ownership::Hierarchy::Endorsement;
    ownership::change_auth(&root, hierarchy, &AuthValue::empty(), &password)?;
    let ek = ek::show(&root, EkType::EccP256, &empty())?;
    let made = credential(&ek, &key)?;
    let result = key.activate(&root, EkType::EccP256, &empty(), &parts(&made));
    assert!(
        matches!(result, Err(Error::AuthRejected { .. })),
        "{result:?}"
    );
    key.activate(&root, EkType::EccP256, &password.into(), &parts(&made))?;
    for ek_type in high {
        let ek = ek::show(&root, ek_type, &empty())?;
        let made = credential(&ek, &key)?;
        key.activate(&root, ek_type, &empty(), &parts(&made))?;
    }
    // An endorsement key that is not persistent has to be made, which takes the password for each type.
    let result = ek::show(&root, EkType::Rsa2048High, &empty());
    assert!(
        matches!(
            result,
            Err(Error::AuthRejected {
                entity: Entity::Endorsement,
                ..
            })
        ),
        "{result:?}"
    );
    assert_idle(&op)
}

/// Somebody else's key at the handle of an endorsement key: the right one is made for each use.
#[test]
fn a_handle_with_another_key_is_passed_by() -> TestResult {
    let (swtpm, home) = (Swtpm::start(), testing::Home::new());
    for (ek_type, handle) in [
        (EkType::EccP256, "0x81010002"),
        (EkType::EccP384, "0x81010016"),
    ] {
        let run = |program: &str, args: &[&str]| tool(&home, &swtpm.tcti(), program, args);
        run(
            "tpm2_createprimary",
            &["-C", "o", "-G", "ecc", "-c", "other"],
        );
        run("tpm2_evictcontrol", &["-C", "o", "-c", "other", handle]);
        run("tpm2_flushcontext", &["-t"]);
        let tpm = tpm(&swtpm.tcti());
        let op = tpm.begin()?;
        let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
        let root = srk.open(&op)?;
        let found = ek::find(&op, ek_type);
        assert!(
            matches!(found, Err(Error::HandleOccupied(at)) if at == ek_type.handle()),
            "{found:?}"
        );
        let key = AttestationKey::create(&root)?;
        let made = credential(&ek::show(&root, ek_type, &empty())?, &key)?;
        let secret = key.activate(&root, ek_type, &empty(), &parts(&made))?;
        assert_eq!(&secret[..], SECRET, "{ek_type:?}");
        assert_idle(&op)?;
    }
    Ok(())
}

/// As a machine's firmware can set it up.
#[test]
fn a_disabled_endorsement_hierarchy_is_named() -> TestResult {
    let (swtpm, home) = (Swtpm::start(), testing::Home::new());
    let tpm = tpm(&swtpm.tcti());
    let (key, made) = {
        let op = tpm.begin()?;
        let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
        let root = srk.open(&op)?;
        ek::create(&op, Some(&srk), EkType::EccP384, &empty(), &empty())?;
        let ek = ek::show(&root, EkType::EccP384, &empty())?;
        let key = AttestationKey::create(&root)?;
        let made = credential(&ek, &key)?;
        (key, made)
    };
    drop(tpm);
    let args = ["-C", "p", "ehEnable", "clear"];
    tool(&home, &swtpm.tcti(), "tpm2_hierarchycontrol", &args);
    let tpm = self::tpm(&swtpm.tcti());
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    let root = srk.open(&op)?;
    for ek_type in [EkType::EccP384, EkType::EccP256] {
        let result = ek::show(&root, ek_type, &empty());
        assert!(
            matches!(result, Err(Error::HierarchyDisabled(_))),
            "{result:?}"
        );
        let result = key.activate(&root, ek_type, &empty(), &parts(&made));
        assert!(
            matches!(result, Err(Error::HierarchyDisabled(_))),
            "{result:?}"
        );
    }
    assert_idle(&op)
}

/// The simulator's factory made keys and certificates where the profile says they are.
#[test]
fn the_keys_of_a_factory_are_found_with_their_certificates() -> TestResult {
    for (chip, types) in [
        (Swtpm::manufactured(), [EkType::Rsa2048, EkType::EccP384]),
        (
            testing::Factory::new().with_rsa_bits(3072).chip(),
            [EkType::EccP384, EkType::Rsa3072],
        ),
    ] {
        let tpm = tpm(&chip.tcti());
        let op = tpm.begin()?;
        assert_eq!(ek::certified(&op)?, types);
        for ek_type in types {
            let found = ek::find(&op, ek_type)?.ok_or("the factory made it")?;
            let der = ek::certificate(&op, ek_type)?.ok_or("the factory certified it")?;
            let certificate = key_proof::EkCertificate::parse(&der)?;
            certificate.check_is_for(&PublicArea::parse(&found.public)?)?;
            assert_eq!(EkType::of_public(&found.public), Some(ek_type));
            // Who has the certificate alone knows the Name.
            let area = certificate.public_area(key_proof::EkRange::Low)?;
            assert_eq!(area.name().bytes(), found.name.bytes(), "{ek_type:?}");
        }
    }
    Ok(())
}

#[test]
fn a_key_is_certified_in_three_commands() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    let root = srk.open(&op)?;
    let attestation_key = AttestationKey::create(&root)?;
    let parent = TokenKey::without_pin(&root)?;
    let none = PinAuth::empty();
    let blob = parent.create_key(&root, &none, KeyType::EccP256, Usage::SIGN)?;
    let key = parent.load_key(&root, &none, &KeyBlob::parse(blob)?)?;
    tap.reset();
    let certified = attestation_key.certify(&root, &key, &[9; 32])?;
    // The key is still loaded.
    assert!(tap.count() <= 2, "{}", tap.count());
    assert!(certified.attest.windows(32).any(|it| it == [9; 32]));
    assert!(
        certified
            .attest
            .windows(34)
            .any(|it| it == key.name().bytes())
    );
    drop(root);
    drop(op);
    let op = tpm.begin()?;
    tap.reset();
    attestation_key.certify(&srk.open(&op)?, &key, &[9; 32])?;
    assert!(tap.count() <= 3, "{}", tap.count());
    drop(op);
    assert_idle(&tpm.begin()?)
}

#[test]
fn a_key_that_is_no_attestation_key_is_refused_before_the_chip_sees_it() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    let root = srk.open(&op)?;
    let mut blob = AttestationKey::create(&root)?.blob().clone();
    // Not restricted: such a key signs anything.
    blob.public[5] &= !1;
    let result = AttestationKey::from_blob(blob);
    assert!(matches!(result, Err(Error::KeyRefused(_))), "{result:?}");
    Ok(())
}

/// A `TPM2B_*`.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("short");
    [&len.to_be_bytes()[..], bytes].concat()
}

/// Before both parts in a file of tpm2-tools: magic and version.
const HEAD: [u8; 8] = [0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1];

/// Runs a program of tpm2-tools in `home`.
fn tool(home: &testing::Home, tcti: &str, program: &str, args: &[&str]) -> Vec<u8> {
    let mut command = home.command(program);
    let output = command.args(args).env("TPM2TOOLS_TCTI", tcti).output();
    let output = output.unwrap_or_else(|err| panic!("{program} (package tpm2-tools): {err}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    output.stdout
}

#[test]
fn a_credential_of_tpm2_tools_is_brought_out_here() -> TestResult {
    let (swtpm, home) = (Swtpm::start(), testing::Home::new());
    let tpm = tpm(&swtpm.tcti());
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    let root = srk.open(&op)?;
    let key = AttestationKey::create(&root)?;
    std::fs::write(home.path().join("secret"), SECRET)?;
    let name = key.name().to_string();
    for ek_type in EkType::ALL {
        let ek = ek::show(&root, ek_type, &empty())?;
        std::fs::write(home.path().join("ek.pub"), sized(&ek.public))?;
        let files = ["-u", "ek.pub", "-s", "secret", "-o", "credential"];
        let args = [&["-T", "none", "-n", &name], &files[..]].concat();
        tool(&home, "none", "tpm2_makecredential", &args);
        let file = std::fs::read(home.path().join("credential"))?;
        let rest = file.strip_prefix(&HEAD).ok_or("a file of tpm2-tools")?;
        let (len, rest) = rest.split_at(2);
        let (id_object, rest) = rest.split_at(usize::from(u16::from_be_bytes([len[0], len[1]])));
        let made = Credential {
            id_object,
            secret: &rest[2..],
        };
        let secret = key.activate(&root, ek_type, &empty(), &made)?;
        assert_eq!(&secret[..], SECRET, "{ek_type:?}");
    }
    Ok(())
}

#[test]
fn our_credential_is_brought_out_by_tpm2_tools() -> TestResult {
    let (swtpm, home) = (Swtpm::start(), testing::Home::new());
    let run = |program: &str, args: &[&str]| tool(&home, &swtpm.tcti(), program, args);
    for kind in ["rsa", "ecc"] {
        run(
            "tpm2_createek",
            &["-G", kind, "-c", "ek.ctx", "-u", "ek.pub"],
        );
        let scheme = ["-G", "ecc", "-g", "sha256", "-s", "ecdsa"];
        let files = ["-C", "ek.ctx", "-c", "ak.ctx", "-n", "ak.name"];
        run("tpm2_createak", &[&scheme[..], &files].concat());
        run("tpm2_flushcontext", &["-t"]);
        let public = std::fs::read(home.path().join("ek.pub"))?;
        let ek = PublicArea::parse(&public[2..])?;
        let name = Name::from_bytes(&std::fs::read(home.path().join("ak.name"))?)?;
        let made = make_credential(&ek, &name, &SECRET, &mut OsRng)?;
        let file = [&HEAD[..], &sized(&made.id_object), &sized(&made.secret)].concat();
        std::fs::write(home.path().join("credential"), file)?;
        run(
            "tpm2_startauthsession",
            &["--policy-session", "-S", "session"],
        );
        run("tpm2_policysecret", &["-S", "session", "-c", "e"]);
        let keys = ["-c", "ak.ctx", "-C", "ek.ctx", "-P", "session:session"];
        let files = ["-i", "credential", "-o", "secret"];
        run("tpm2_activatecredential", &[&keys[..], &files].concat());
        run("tpm2_flushcontext", &["session"]);
        run("tpm2_flushcontext", &["-t"]);
        assert_eq!(std::fs::read(home.path().join("secret"))?, SECRET, "{kind}");
    }
    Ok(())
}
