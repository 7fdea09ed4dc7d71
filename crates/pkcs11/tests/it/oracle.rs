//! SoftHSM as an oracle: the same calls to both modules, and every difference with its reason.
//!
//! SoftHSM is the module that PKCS#11 programs are tested with. A case is one call, or a few, and
//! its answer is text. If the answers differ, [`differences::all`] has both and the reason; an
//! entry that is not true any more fails the test as well.

mod attributes;
mod checking;
mod differences;
mod finding;
mod generating;
mod mechanisms;
mod names;
mod objects;
mod sessions;
mod signing;

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    ptr,
};

use cryptoki_sys::*;

use crate::{
    isolated::isolated,
    keys::P256,
    loaded::{Module, call, done},
    stage::{RW, Stage, bytes, constant, flag, open, slot_of, slots},
    world::{LOCKED, PIN, SO_PIN, World},
};

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A session with a token, and key pairs that it sees.
#[derive(Clone, Copy)]
struct Hsm {
    stage: Stage,
    ec: Pair,
    rsa: Pair,
    /// Keys of a session, whose templates said no more than they must.
    silent_ec: Pair,
    silent_rsa: Pair,
}

/// The handles of the two halves of a key.
#[derive(Clone, Copy)]
struct Pair {
    public: CK_OBJECT_HANDLE,
    private: CK_OBJECT_HANDLE,
}

/// A case: its name, and what it says of a module.
type Case = (String, Box<dyn Fn(Hsm) -> String>);

/// A case with this name.
fn case<A: Answer>(name: impl Into<String>, body: impl Fn(Hsm) -> A + 'static) -> Case {
    (name.into(), Box::new(move |hsm| body(hsm).text()))
}

/// What a case can say.
trait Answer {
    fn text(self) -> String;
}

impl Answer for String {
    fn text(self) -> String {
        self
    }
}

/// A return value.
impl Answer for CK_RV {
    fn text(self) -> String {
        names::of(self)
    }
}

/// The return values of calls that follow one another.
impl<const N: usize> Answer for [CK_RV; N] {
    fn text(self) -> String {
        self.map(names::of).join(", ")
    }
}

/// A home with a token of ours, and the configuration of a SoftHSM without tokens.
fn world() -> World {
    assert!(Path::new(SOFTHSM).exists(), "apt-get install softhsm2");
    let world = World::new().token(LOCKED, &[]);
    let home = world.home.path();
    let tokens = home.join("softhsm");
    fs::create_dir(&tokens).unwrap();
    let config = home.join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\n", tokens.display());
    fs::write(&config, text).unwrap();
    world.telling("SOFTHSM2_CONF", config)
}

/// Gives SoftHSM a token as ours has one.
fn initialize_token(module: Module) {
    let label = format!("{LOCKED:32}");
    let slot = slots(module, CK_FALSE)[0];
    let (pin, so) = (PIN.as_ptr().cast_mut(), SO_PIN.as_ptr().cast_mut());
    let (pin_len, so_len) = (PIN.len() as CK_ULONG, SO_PIN.len() as CK_ULONG);
    let text = label.as_ptr().cast_mut();
    done!(module, C_InitToken(slot, so, so_len, text));
    let session = open(module, slot_of(module, LOCKED), RW);
    done!(module, C_Login(session, CKU_SO, so, so_len));
    done!(module, C_InitPIN(session, pin, pin_len));
    done!(module, C_CloseSession(session));
}

/// A key pair whose templates say this, the size of the key aside.
fn make_key(
    stage: Stage,
    rsa: bool,
    mut public: Vec<CK_ATTRIBUTE>,
    private: &[CK_ATTRIBUTE],
) -> Pair {
    let kind = if rsa {
        public.push(constant(CKA_MODULUS_BITS, 2048));
        CKM_RSA_PKCS_KEY_PAIR_GEN
    } else {
        public.push(bytes(CKA_EC_PARAMS, P256));
        CKM_EC_KEY_PAIR_GEN
    };
    let (returned, public, private) = stage.key_pair(kind, &public, private);
    assert_eq!(returned, CKR_OK);
    Pair { public, private }
}

/// A key pair in the token, as `pkcs11-tool --keypairgen` makes it.
fn usual_key(stage: Stage, rsa: bool) -> Pair {
    let label: &'static [u8] = if rsa { b"rsa" } else { b"ec" };
    let common = || {
        vec![
            flag(CKA_TOKEN, true),
            bytes(CKA_LABEL, label),
            bytes(CKA_ID, &[7]),
        ]
    };
    let mut public = common();
    public.extend([flag(CKA_VERIFY, true), flag(CKA_PRIVATE, false)]);
    let mut private = common();
    private.extend([
        flag(CKA_PRIVATE, true),
        flag(CKA_SENSITIVE, true),
        flag(CKA_SIGN, true),
    ]);
    make_key(stage, rsa, public, &private)
}

/// What a module says to each case, by the name of the case.
fn answers(module: Module, is_ours: bool) -> BTreeMap<String, String> {
    done!(module, C_Initialize(ptr::null_mut()));
    if !is_ours {
        initialize_token(module);
    }
    let slot = slot_of(module, LOCKED);
    let stage = Stage {
        module,
        slot,
        session: open(module, slot, RW),
    };
    assert_eq!(stage.login(CKU_USER, PIN), CKR_OK);
    let silent = |rsa| make_key(stage, rsa, Vec::new(), &[]);
    let hsm = Hsm {
        stage,
        ec: usual_key(stage, false),
        rsa: usual_key(stage, true),
        silent_ec: silent(false),
        silent_rsa: silent(true),
    };
    let mut answers = BTreeMap::new();
    let mut ask = |(name, body): Case, hsm| {
        let answer = catch_unwind(AssertUnwindSafe(|| body(hsm)));
        // Not the same text for both modules, which would be agreement.
        let whose = if is_ours { "ours" } else { "SoftHSM" };
        let answer = answer.unwrap_or_else(|_| format!("the case fails with {whose}"));
        assert!(answers.insert(name.clone(), answer).is_none(), "{name}");
    };
    // These have a user who is logged in, and a new session each.
    let mut cases = attributes::cases();
    cases.extend(generating::cases());
    cases.extend(objects::cases());
    cases.extend(mechanisms::cases());
    cases.extend(signing::cases());
    cases.extend(checking::cases());
    cases.extend(finding::cases());
    for case in cases {
        let stage = stage.another(RW);
        ask(case, Hsm { stage, ..hsm });
        done!(module, C_CloseSession(stage.session));
    }
    // These begin without any session.
    done!(module, C_CloseAllSessions(slot));
    for case in sessions::cases() {
        let session = open(module, slot, RW);
        let stage = Stage { session, ..stage };
        ask(case, Hsm { stage, ..hsm });
        done!(module, C_CloseAllSessions(slot));
    }
    assert_eq!(call!(module, C_Finalize(ptr::null_mut())), CKR_OK);
    answers
}

#[test]
fn softhsm_says_the_same_or_there_is_a_reason() {
    isolated(world, || {
        let ours = answers(Module::load(), true);
        let theirs = answers(Module::of_version_2(Path::new(SOFTHSM)), false);
        assert!(ours.len() > 900, "{}", ours.len());
        let mut known = BTreeMap::new();
        for difference in differences::all() {
            assert!(!difference.reason.is_empty());
            for &(name, ours, softhsm) in difference.cases {
                let before = known.insert(name, (ours, softhsm));
                assert!(before.is_none(), "twice: {name}");
            }
        }
        let mut wrong = Vec::new();
        for (name, ours) in &ours {
            let (ours, theirs) = (ours.as_str(), theirs[name].as_str());
            let expected = known.remove(name.as_str());
            let is_expected = match expected {
                Some(expected) => expected == (ours, theirs) && ours != theirs,
                None => ours == theirs,
            };
            if !is_expected {
                wrong.push(format!("{name}: ours {ours:?}, SoftHSM {theirs:?}"));
            }
        }
        wrong.extend(known.keys().map(|name| format!("no such case: {name}")));
        println!("{} cases", ours.len());
        assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
    });
}
