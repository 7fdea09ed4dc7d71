//! A chip that is said to have no storage root key, so that a password is proven without a salt.

use testing::{
    Tap,
    interposer::{Action, Message, cc},
};
use tpm_core::{
    Operation, Result, Srk,
    ek::{self, EkType},
    lockout::{self, Parameters},
    ownership,
};

use testing::eavesdropper::Eavesdropper;

use crate::{
    TestResult,
    life::SECRETS,
    world::{ENDORSEMENT, Kind, LOCKOUT, OWNER, World, auth, tpm},
};

const HANDLE: u32 = 0x18b;

type Use = fn(&Operation<'_>) -> Result<()>;

/// All operations that prove the password of a hierarchy for a caller that knows no storage root key.
const USES: &[(&str, Use)] = &[
    ("find_or_create", |op| {
        Srk::find_or_create(op, &auth(OWNER)).map(drop)
    }),
    ("make_anew", |op| Srk::make_anew(op, &auth(OWNER)).map(drop)),
    ("ek", |op| {
        let (endorsement, owner) = (auth(ENDORSEMENT), auth(OWNER));
        ek::create(op, None, EkType::EccP256, &endorsement, &owner).map(drop)
    }),
    ("clear", |op| ownership::clear(op, None, &auth(LOCKOUT))),
    ("lockout reset", |op| {
        lockout::reset(op, None, &auth(LOCKOUT))
    }),
    ("lockout parameters", |op| {
        let parameters = Parameters {
            max_tries: 32,
            interval: 7200,
            recovery: 86_400,
        };
        lockout::set_parameters(op, None, &auth(LOCKOUT), parameters)
    }),
];

pub(super) fn attack(kind: Kind) -> TestResult {
    let world = World::owned(kind)?;
    let tap = Tap::start(&world.swtpm);
    for (name, run) in USES {
        // The storage root key is there and denied, is there, and is not there.
        for (deny, chip) in [
            (true, &world.full),
            (false, &world.full),
            (false, &world.blank),
        ] {
            world.swtpm.rewind(chip);
            tap.reset();
            tap.interpose(move |step| {
                let code = step.command.code();
                let denied = deny && code == cc::READ_PUBLIC;
                Ok(if denied {
                    Action::Reply(Message::refusal(code, HANDLE))
                } else {
                    Action::Pass
                })
            });
            let done = run(&tpm(&tap.tcti()).begin()?);
            assert!(deny || done.is_ok(), "{name}: {done:?}");
            let heard = Eavesdropper::guessing(&SECRETS).listen(&tap.exchanges());
            assert_eq!(heard.confirmed, Vec::<String>::new(), "{name}");
            assert!(heard.hmacs > 0, "{name}: nothing was proven at all");
        }
    }
    Ok(())
}
