//! Whoever may use everything on the machine cannot get an imported key out again: not with
//! `TPM2_Duplicate`, and not with `TPM2_Rewrap` from what was wrapped for the arrival key.
//!
//! The thief uses plain commands, and knows the PIN: the token has none. Both ways work on keys
//! that may leave, which is the control.

use testing::interposer::{Message, cc};
use tpm_core::Blob;

use crate::{
    TestResult,
    chip::{Chip, RH_NULL, RH_OWNER},
    variation::GENERATOR,
    world::{Kind, SCALAR, World},
};

/// `TPM_RC_AUTH_TYPE`, `TPM_RC_AUTH_UNAVAILABLE`, and those about session 1: `TPM_RC_POLICY_FAIL`,
/// `TPM_RC_POLICY_CC`, `TPM_RC_ATTRIBUTES`. About parameter 1: `TPM_RC_VALUE`.
const AUTH_TYPE: u32 = 0x124;
const AUTH_UNAVAILABLE: u32 = 0x12f;
const POLICY_FAIL: u32 = 0x99d;
const POLICY_CC: u32 = 0x9a4;
const TRIAL: u32 = 0x982;
const VALUE: u32 = 0x1c4;

/// What the chip says of a private part that is no duplicate: `TPM_RC_HANDLE` of handle 1 and
/// `TPM_RC_INTEGRITY` of parameter 1 (Rewrap), `TPM_RC_SIZE` and `TPM_RC_INTEGRITY` of parameter 3
/// (Import).
const HANDLE: u32 = 0x18b;
const INTEGRITY: u32 = 0x1df;
const SIZE: u32 = 0x3d5;
const INTEGRITY_OF_PRIVATE: u32 = 0x3df;

/// A step of a policy.
#[derive(Debug, Clone, Copy)]
enum Step {
    Command(u32),
    AuthValue,
    Password,
    /// For the object with the thief's own parent.
    DuplicationSelect,
    /// Of a branch that allows Duplicate and the key's own policy.
    Or,
}

use Step::{AuthValue, Command, DuplicationSelect, Or, Password};

fn sized(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("short").to_be_bytes();
    [&len[..], bytes].concat()
}

/// The policy that allows one command.
fn policy_of(code: u32) -> Vec<u8> {
    let parts = [
        &[0; 32][..],
        &cc::POLICY_COMMAND_CODE.to_be_bytes(),
        &code.to_be_bytes(),
    ];
    testing::eavesdropper::digest(&parts).to_vec()
}

impl Chip {
    #[track_caller]
    fn must(&mut self, command: &Message) -> Message {
        let reply = self.send(command);
        assert!(reply.succeeded(), "{}: {:#x}", command.name(), reply.code());
        reply
    }

    fn flush(&mut self, handle: u32) {
        let parameters = handle.to_be_bytes();
        self.send(&Message::command(cc::FLUSH_CONTEXT).with_parameters(&parameters));
    }

    /// A policy session, or a trial one.
    fn session(&mut self, kind: u8) -> u32 {
        let mut parameters = sized(&[0x3c; 16]);
        parameters.extend([0, 0, kind, 0, 0x10, 0, 0x0b]);
        let start = Message::command(cc::START_AUTH_SESSION)
            .with_handle(RH_NULL)
            .with_handle(RH_NULL)
            .with_parameters(&parameters);
        self.must(&start).number("sessionHandle")
    }

    /// Runs one step; its response code.
    fn step(&mut self, session: u32, step: Step, name: &[u8]) -> u32 {
        let command = |code| Message::command(code).with_handle(session);
        let command = match step {
            Command(code) => command(cc::POLICY_COMMAND_CODE).with_parameters(&code.to_be_bytes()),
            AuthValue => command(cc::POLICY_AUTH_VALUE),
            Password => command(cc::POLICY_PASSWORD),
            DuplicationSelect => command(cc::POLICY_DUPLICATION_SELECT)
                .with_parameters(&[sized(name), sized(&[]), vec![0]].concat()),
            Or => {
                let branches = [policy_of(cc::DUPLICATE), policy_of(cc::SIGN)];
                let list = [vec![0, 0, 0, 2], sized(&branches[0]), sized(&branches[1])];
                command(cc::POLICY_OR).with_parameters(&list.concat())
            }
        };
        self.send(&command).code()
    }

    /// Loads `blob` below `parent`, by a password or a session.
    fn load(&mut self, parent: u32, session: Option<u32>, blob: &Blob) -> u32 {
        let command = Message::command(cc::LOAD).with_handle(parent);
        let command = match session {
            None => command.with_password(&[]),
            Some(session) => command.with_session(session, &[], 0, &[]),
        };
        let parameters = [sized(&blob.private), sized(&blob.public)].concat();
        self.must(&command.with_parameters(&parameters))
            .number("objectHandle")
    }

    /// What `TPM2_Duplicate` answers, to nobody in particular or to `parent`.
    fn duplicate(&mut self, key: u32, parent: u32, session: Option<u32>) -> Message {
        let command = Message::command(cc::DUPLICATE)
            .with_handle(key)
            .with_handle(parent);
        let command = match session {
            None => command.with_password(&[]),
            Some(session) => command.with_session(session, &[], 0, &[]),
        };
        self.send(&command.with_parameters(&[0, 0, 0, 0x10]))
    }

    /// What `TPM2_Rewrap` from `parent` to nobody answers.
    fn rewrap(&mut self, parent: u32, session: Option<u32>, wrapped: &[Vec<u8>; 3]) -> Message {
        let command = Message::command(cc::REWRAP)
            .with_handle(parent)
            .with_handle(RH_NULL);
        let command = match session {
            None => command.with_password(&[]),
            Some(session) => command.with_session(session, &[], 0, &[]),
        };
        let parameters = wrapped.each_ref().map(|part| sized(part)).concat();
        self.send(&command.with_parameters(&parameters))
    }

    /// The arrival key of `world`, loaded; nothing else is.
    fn arrival(&mut self, world: &World) -> u32 {
        let token_key = self.load(tpm_core::Srk::HANDLE, None, world.token_key.blob());
        let arrival = self.load(token_key, None, world.arrival.blob());
        self.flush(token_key);
        arrival
    }

    /// A session that satisfies the arrival key's policy for `code`.
    fn for_arrival(&mut self, code: u32) -> u32 {
        let session = self.session(1);
        assert_eq!(self.step(session, Command(code), &[]), 0);
        let branches = [policy_of(cc::IMPORT), policy_of(cc::LOAD)];
        let list = [vec![0, 0, 0, 2], sized(&branches[0]), sized(&branches[1])];
        let or = Message::command(cc::POLICY_OR).with_handle(session);
        self.must(&or.with_parameters(&list.concat()));
        session
    }

    /// A storage key of the thief's own, of which he holds the private half.
    fn parent_of_his_own(&mut self) -> u32 {
        let mut public = vec![0, 0x23, 0, 0x0b, 0, 3, 0, 0x40, 0, 0];
        public.extend([0, 6, 0, 0x80, 0, 0x43, 0, 0x10, 0, 3, 0, 0x10]);
        for coordinate in GENERATOR {
            public.extend(sized(&coordinate));
        }
        let parameters = [vec![0, 0], sized(&public), RH_NULL.to_be_bytes().to_vec()].concat();
        self.must(&Message::command(cc::LOAD_EXTERNAL).with_parameters(&parameters))
            .number("objectHandle")
    }

    /// A key that may leave, made below `parent`; loaded, and its Name.
    fn key_that_may_leave(&mut self, parent: u32) -> (u32, Vec<u8>) {
        let mut public = vec![0, 0x23, 0, 0x0b, 0, 4, 4, 0x60];
        public.extend(sized(&policy_of(cc::DUPLICATE)));
        public.extend([0, 0x10, 0, 0x10, 0, 3, 0, 0x10, 0, 0, 0, 0]);
        let parameters = [vec![0, 4, 0, 0, 0, 0], sized(&public), vec![0; 6]].concat();
        let create = Message::command(cc::CREATE)
            .with_handle(parent)
            .with_password(&[])
            .with_parameters(&parameters);
        let made = self.must(&create);
        let blob = Blob {
            public: made.get("outPublic"),
            private: made.get("outPrivate"),
        };
        let name = testing::eavesdropper::name_of(&blob.public);
        (self.load(parent, None, &blob), name)
    }

    /// A key wrapped for `parent`: its private part, its Name and the encrypted seed. For a token
    /// key it is what other tools make of a key file.
    fn wrapped_for(&mut self, world: &World, parent: u32) -> [Vec<u8>; 3] {
        let token_key = self.load(tpm_core::Srk::HANDLE, None, world.token_key.blob());
        let (leaves, name) = self.key_that_may_leave(token_key);
        self.flush(token_key);
        let session = self.session(1);
        self.step(session, Command(cc::DUPLICATE), &name);
        let made = self.duplicate(leaves, parent, Some(session));
        assert!(made.succeeded(), "{:#x}", made.code());
        self.flush(leaves);
        let duplicate = made.get("duplicate");
        assert!(!is_open(&duplicate), "it is wrapped");
        [duplicate, name, made.get("outSymSeed")]
    }

    /// What `TPM2_Import` below `parent` answers, by a password or a session.
    fn import(
        &mut self,
        parent: u32,
        session: Option<u32>,
        public: &[u8],
        private: &[u8],
        seed: &[u8],
    ) -> Message {
        let command = Message::command(cc::IMPORT).with_handle(parent);
        let command = match session {
            None => command.with_password(&[]),
            Some(session) => command.with_session(session, &[], 0, &[]),
        };
        let parameters = [
            sized(&[]),
            sized(public),
            sized(private),
            sized(seed),
            vec![0, 0x10],
        ];
        self.send(&command.with_parameters(&parameters.concat()))
    }
}

/// Whether a private part is in the open: `TPM2B_SENSITIVE` of an ECC key with its scalar.
fn is_open(private: &[u8]) -> bool {
    private.get(2..4) == Some(&[0, 0x23]) && private.len() >= 2 + 2 + 2 + 2 + 2 + 32
}

#[test]
fn an_imported_key_is_not_duplicated_in_any_way() -> TestResult {
    let world = World::new(Kind::None)?;
    let name = world.imported.name().bytes();
    let mut chip = Chip::connect(world.swtpm.port());
    let load = |chip: &mut Chip| {
        let arrival = chip.arrival(&world);
        let session = chip.for_arrival(cc::LOAD);
        let key = chip.load(arrival, Some(session), world.imported.blob());
        chip.flush(arrival);
        key
    };
    let key = load(&mut chip);
    let ways: [(&[Step], u8, u32); 9] = [
        (&[], 1, POLICY_FAIL),
        (&[Command(cc::DUPLICATE)], 1, POLICY_FAIL),
        (&[DuplicationSelect], 1, POLICY_FAIL),
        (&[AuthValue, Command(cc::DUPLICATE)], 1, POLICY_FAIL),
        (&[Password, Command(cc::DUPLICATE)], 1, POLICY_FAIL),
        (&[Command(cc::SIGN)], 1, POLICY_CC),
        (&[Command(cc::DUPLICATE), Or], 1, POLICY_FAIL),
        (&[Command(cc::SIGN), Or], 1, POLICY_FAIL),
        (&[Command(cc::SIGN)], 3, TRIAL),
    ];
    let own = chip.parent_of_his_own();
    for parent in [RH_NULL, own] {
        assert_eq!(chip.duplicate(key, parent, None).code(), AUTH_TYPE);
        for (steps, kind, code) in ways {
            let session = chip.session(kind);
            for step in steps {
                assert_eq!(chip.step(session, *step, name), 0, "{step:?} of {steps:?}");
            }
            let refused = chip.duplicate(key, parent, Some(session));
            assert_eq!(refused.code(), code, "{steps:?} to {parent:#x}");
            chip.flush(session);
        }
    }
    // A policy session cannot allow two commands.
    let session = chip.session(1);
    assert_eq!(chip.step(session, Command(cc::SIGN), name), 0);
    assert_eq!(chip.step(session, Command(cc::DUPLICATE), name), VALUE);
    chip.flush(session);
    // Making the key persistent does not help.
    const PERSISTENT: u32 = 0x8100_0777;
    let evict = Message::command(cc::EVICT_CONTROL)
        .with_handle(RH_OWNER)
        .with_handle(key)
        .with_password(&[])
        .with_parameters(&PERSISTENT.to_be_bytes());
    chip.must(&evict);
    let session = chip.session(1);
    chip.step(session, Command(cc::DUPLICATE), name);
    let refused = chip.duplicate(PERSISTENT, RH_NULL, Some(session));
    assert_eq!(refused.code(), POLICY_FAIL);
    chip.flush(session);
    chip.flush(key);
    chip.flush(own);

    // The control: the same program steals a key that may leave.
    let token_key = chip.load(tpm_core::Srk::HANDLE, None, world.token_key.blob());
    let (leaves, leaves_name) = chip.key_that_may_leave(token_key);
    let session = chip.session(1);
    chip.step(session, Command(cc::DUPLICATE), &leaves_name);
    let stolen = chip.duplicate(leaves, RH_NULL, Some(session));
    assert!(stolen.succeeded() && is_open(&stolen.get("duplicate")));
    // The imported key still loads.
    chip.flush(token_key);
    chip.flush(leaves);
    load(&mut chip);
    Ok(())
}

#[test]
fn what_is_wrapped_for_an_arrival_key_is_not_rewrapped() -> TestResult {
    let world = World::new(Kind::None)?;
    let mut chip = Chip::connect(world.swtpm.port());
    // The control: below a token key whoever may use it gets the private key in the open.
    let token_key = chip.load(tpm_core::Srk::HANDLE, None, world.token_key.blob());
    let wrapped = chip.wrapped_for(&world, token_key);
    let stolen = chip.rewrap(token_key, None, &wrapped);
    assert!(stolen.succeeded(), "{:#x}", stolen.code());
    assert!(is_open(&stolen.get("outDuplicate")));
    chip.flush(token_key);

    let arrival = chip.arrival(&world);
    let wrapped = chip.wrapped_for(&world, arrival);
    assert_eq!(
        chip.rewrap(arrival, None, &wrapped).code(),
        AUTH_UNAVAILABLE
    );
    for code in [cc::IMPORT, cc::LOAD] {
        let session = chip.for_arrival(code);
        let refused = chip.rewrap(arrival, Some(session), &wrapped);
        assert_eq!(refused.code(), POLICY_CC);
        chip.flush(session);
    }
    for steps in [&[][..], &[Command(cc::REWRAP)], &[AuthValue], &[Password]] {
        let session = chip.session(1);
        for step in steps {
            assert_eq!(chip.step(session, *step, &[]), 0, "{step:?}");
        }
        let refused = chip.rewrap(arrival, Some(session), &wrapped);
        assert_eq!(refused.code(), POLICY_FAIL, "{steps:?}");
        chip.flush(session);
    }
    // Loading, which the policy allows, works.
    let session = chip.for_arrival(cc::LOAD);
    chip.load(arrival, Some(session), world.imported.blob());
    Ok(())
}

/// What the store has of an imported key is no duplicate: neither way takes it, with no seed or
/// with the seed of another key.
#[test]
fn what_the_store_has_of_an_imported_key_is_no_duplicate() -> TestResult {
    let world = World::new(Kind::None)?;
    let mut chip = Chip::connect(world.swtpm.port());
    let stored = world.imported.blob();
    let name = world.imported.name().bytes().to_vec();
    let token_key = chip.load(tpm_core::Srk::HANDLE, None, world.token_key.blob());
    let [_, _, seed] = chip.wrapped_for(&world, token_key);
    for (seed, rewrap, import) in [
        (vec![], HANDLE, SIZE),
        (seed, INTEGRITY, INTEGRITY_OF_PRIVATE),
    ] {
        let parts = [stored.private.clone(), name.clone(), seed.clone()];
        let refused = chip.rewrap(token_key, None, &parts);
        assert_eq!(refused.code(), rewrap);
        let refused = chip.import(token_key, None, &stored.public, &stored.private, &seed);
        assert_eq!(refused.code(), import);
    }
    chip.flush(token_key);
    let arrival = chip.arrival(&world);
    let [_, _, seed] = chip.wrapped_for(&world, arrival);
    for (seed, code) in [(vec![], SIZE), (seed, INTEGRITY_OF_PRIVATE)] {
        let session = chip.for_arrival(cc::IMPORT);
        let (public, private) = (&stored.public, &stored.private);
        let refused = chip.import(arrival, Some(session), public, private, &seed);
        assert_eq!(refused.code(), code);
        chip.flush(session);
    }
    Ok(())
}

/// Nor does a recording of our own import help the thief.
#[test]
fn a_recorded_import_is_not_rewrapped_and_is_not_in_the_open() -> TestResult {
    use testing::Tap;
    use tpm_core::Usage;
    let world = World::new(Kind::None)?;
    let tap = Tap::start(&world.swtpm);
    {
        let tpm = crate::world::tpm(&tap.tcti());
        let op = tpm.begin()?;
        let (root, pin) = (world.srk.open(&op)?, world.pin());
        let (arrival, software) = (&world.arrival, &world.software);
        world
            .token_key
            .import(&root, &pin, arrival, software, Usage::SIGN)?;
    }
    assert!(!tap.saw(&SCALAR) && !tap.saw(&SCALAR[..16]) && !tap.saw(&SCALAR[16..]));
    let recorded = tap
        .exchanges()
        .into_iter()
        .map(|exchange| Message::parse_command(&exchange.command))
        .find(|command| command.code() == cc::IMPORT)
        .expect("an import");
    let name = testing::eavesdropper::name_of(&recorded.get("objectPublic"));
    let wrapped = [recorded.get("duplicate"), name, recorded.get("inSymSeed")];
    let mut chip = Chip::connect(world.swtpm.port());
    let arrival = chip.arrival(&world);
    assert_eq!(
        chip.rewrap(arrival, None, &wrapped).code(),
        AUTH_UNAVAILABLE
    );
    let session = chip.for_arrival(cc::IMPORT);
    let refused = chip.rewrap(arrival, Some(session), &wrapped);
    assert_eq!(refused.code(), POLICY_CC);
    chip.flush(session);
    // The control: the recording is complete. The chip imports the key from it, and again it
    // cannot leave.
    let session = chip.for_arrival(cc::IMPORT);
    let public = recorded.get("objectPublic");
    let imported = chip.import(arrival, Some(session), &public, &wrapped[0], &wrapped[2]);
    assert!(imported.succeeded(), "{:#x}", imported.code());
    Ok(())
}
