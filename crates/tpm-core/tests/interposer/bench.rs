//! A bench on which operations run again and again, with a man in the middle.

use std::sync::{Arc, Mutex, PoisonError};

use testing::{
    Tap,
    interposer::{Action, Message},
};
use tpm_core::ReadyKey;

use crate::{
    chip,
    man::{Loot, Man, Notes},
    operations::{Operation, Start},
    variation::{Trace, Variation},
    world::{World, tpm},
};

/// A world with a tap in front of its chip.
pub(crate) struct Bench {
    tap: Tap,
    world: World,
    loot: Loot,
}

/// The result of an operation whose key the chip no longer has, so that it must be loaded again.
const STALE: &str = "worthless: Stale";

/// How an undisturbed run goes.
pub(crate) struct Baseline {
    pub(crate) trace: Trace,
    /// The result, or `None` if the operation is to fail.
    result: Option<String>,
    before: State,
    after: State,
}

impl Bench {
    pub(crate) fn new(world: World) -> Self {
        let tap = Tap::start(&world.swtpm);
        let other = world.other.blob();
        let sized = |bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).expect("a short blob");
            [&length.to_be_bytes(), bytes].concat()
        };
        let loot = Loot {
            srk: tpm_core::Srk::HANDLE,
            counter: world.counter.handle(),
            other: [sized(&other.private), sized(&other.public)].concat(),
        };
        Self { tap, world, loot }
    }

    /// Runs an operation with nobody in the middle.
    pub(crate) fn baseline(&self, operation: &Operation) -> Baseline {
        self.set_up(operation);
        let before = self.state(true);
        // Again, because reading the state has loaded objects and tried passwords.
        let ready = self.set_up(operation);
        self.tap.reset();
        self.tap.stop_interposing();
        let result = self.run(operation, ready.as_ref());
        let exchanges = self.tap.exchanges();
        let after = self.state(true);
        assert_eq!(
            result.is_ok(),
            operation.succeeds,
            "{}: {result:?}",
            operation.name
        );
        let is_worthless = result.as_ref().is_ok_and(|it| it.starts_with("worthless"));
        assert!(!is_worthless, "{}: {result:?}", operation.name);
        let trace = exchanges.iter().map(|exchange| {
            let command = Message::parse_command(&exchange.command);
            let reply = Message::parse_reply(&command, &exchange.response);
            assert!(command.is_understood(), "{command:?}");
            assert!(reply.is_understood(), "{reply:?}");
            (command, reply)
        });
        Baseline {
            trace: Arc::new(trace.collect()),
            result: result.ok(),
            before,
            after,
        }
    }

    /// Runs an operation with `variation`. Returns whether its result differs from the baseline, which
    /// is allowed for a failure, a stale key and a [displayed](Operation::displayed) result.
    ///
    /// # Errors
    ///
    /// What the variation has achieved that it must not.
    pub(crate) fn check(
        &self,
        operation: &Operation,
        baseline: &Baseline,
        variation: &Variation,
    ) -> Result<bool, String> {
        let ready = self.set_up(operation);
        let trace = Arc::clone(&baseline.trace);
        let man = Man::new(variation.clone(), trace, self.loot.clone());
        let man = Arc::new(Mutex::new(man));
        let hands = Arc::clone(&man);
        self.tap.interpose(move |step| {
            let mut man = hands.lock().unwrap_or_else(PoisonError::into_inner);
            man.decide(step).or(Ok(Action::HangUp))
        });
        let result = self.run(operation, ready.as_ref());
        self.tap.stop_interposing();
        let Notes {
            done,
            strayed,
            obeyed,
        } = man.lock().unwrap_or_else(PoisonError::into_inner).notes();
        if strayed || !done {
            return Err(format!("not carried out (strayed: {strayed})"));
        }
        if !obeyed.is_empty() {
            return Err(format!("the chip obeyed {}", obeyed.join(", ")));
        }
        // Trying passwords is slow, and a changed reply alone changes nothing in the chip.
        let writes = baseline.before != baseline.after;
        let deep = writes || operation.first_use || !variation.is_about_a_reply();
        let state = self.state(deep);
        let differs = result.as_ref().ok() != baseline.result.as_ref();
        match (&result, &baseline.result) {
            (Ok(_), _) if operation.displayed.is_some() && state.agrees(&baseline.after) => {
                Ok(differs)
            }
            // The chip does not take the context back: the caller loads the key again.
            (Ok(found), Some(_)) if found == STALE => Ok(differs),
            (Ok(found), Some(expected)) if found != expected => {
                Err(format!("result {found}\n      instead of {expected}"))
            }
            (Ok(found), None) => Err(format!("succeeded: {found}")),
            (Ok(_), Some(_)) if !state.agrees_after(operation, &baseline.after) => Err(format!(
                "success reported; {}",
                State::difference(&baseline.after, &state)
            )),
            (Err(err), _)
                if !state.agrees(&baseline.before)
                    && !state.agrees(&baseline.after)
                    && !operation
                        .may_leave
                        .iter()
                        .any(|part| state.chip.contains(part)) =>
            {
                Err(format!(
                    "{err}; {}",
                    State::difference(&baseline.before, &state)
                ))
            }
            _ => Ok(differs),
        }
    }

    fn state(&self, deep: bool) -> State {
        State {
            chip: chip::state(&self.world),
            openers: deep.then(|| chip::openers(&self.world)),
        }
    }

    /// Brings the chip to where the operation starts, and loads the key that it is about.
    fn set_up(&self, operation: &Operation) -> Option<ReadyKey> {
        let world = &self.world;
        world.swtpm.rewind(match operation.start {
            Start::Full => &world.full,
            Start::Blank => &world.blank,
        });
        let key = operation.ready?(world);
        let tpm = world.direct();
        let op = tpm.begin().expect("a chip");
        let ready = world
            .token_key
            .load_key(&world.srk.open(&op).ok()?, &world.pin(), key);
        Some(ready.expect("the key of the world"))
    }

    /// The result of an operation, and what it is worth when nobody is in the middle any more.
    fn run(&self, operation: &Operation, ready: Option<&ReadyKey>) -> Result<String, String> {
        let tpm = tpm(&self.tap.tcti());
        let done = {
            let op = tpm.begin().map_err(|err| err.to_string())?;
            (operation.run)(&self.world, &op, ready)
        };
        let done = done.map_err(|err| format!("{err:?}"))?;
        self.tap.stop_interposing();
        Ok(done.worth(&self.world))
    }
}

/// The state of the chip.
#[derive(Debug, PartialEq, Eq)]
struct State {
    chip: String,
    /// Which passwords open what, if they were tried.
    openers: Option<String>,
}

impl State {
    /// Whether this is `other`, as far as both know.
    fn agrees(&self, other: &Self) -> bool {
        let both = self.openers.as_ref().zip(other.openers.as_ref());
        self.chip == other.chip && both.is_none_or(|(one, other)| one == other)
    }

    /// Whether this is the state that `operation` should leave. For an operation that makes a storage root key, the same
    /// passwords have to open the same things.
    fn agrees_after(&self, operation: &Operation, after: &Self) -> bool {
        self.agrees(after) || operation.first_use && self.openers == after.openers
    }

    fn text(&self) -> String {
        format!(
            "{}{}",
            self.chip,
            self.openers.as_deref().unwrap_or_default()
        )
    }

    /// What is in one and not in the other.
    fn difference(expected: &Self, found: &Self) -> String {
        let only = |these: &str, those: &str| {
            let lines = these
                .lines()
                .filter(|line| !those.lines().any(|other| other == *line));
            lines.map(str::to_owned).collect::<Vec<_>>().join("; ")
        };
        let (expected, found) = (expected.text(), found.text());
        format!(
            "the chip has [{}] instead of [{}]",
            only(&found, &expected),
            only(&expected, &found)
        )
    }
}
