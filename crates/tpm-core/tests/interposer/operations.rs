//! The public operations of this crate, each as a closure with everything that it needs.

mod attestation;
mod counter;
mod displayed;
mod hierarchies;
mod keys;
mod objects;
mod srk;
mod token_key;
mod worth;

use tpm_core::{KeyBlob, ReadyKey, Result};

use crate::world::World;

pub(crate) use worth::Done;

/// Where an operation starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// From the chip with the token.
    Full,
    /// From the chip without a storage root key.
    Blank,
}

/// One public operation.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) start: Start,
    /// Whether it succeeds, with nobody in the middle.
    pub(crate) succeeds: bool,
    /// The key that has to be loaded before.
    pub(crate) ready: Option<fn(&World) -> &KeyBlob>,
    pub(crate) run: Run,
    /// The states that a failure may leave besides the old one and the intended one, each as a part
    /// of the text of [`chip::state`](crate::chip::state). No password opens anything more in them.
    pub(crate) may_leave: &'static [&'static str],
    /// Why nothing is harmed if its result is forged; `None` if that must not be possible.
    pub(crate) displayed: Option<&'static str>,
    /// Whether it trusts a storage root key that it finds or makes.
    pub(crate) first_use: bool,
}

type Run = fn(&World, &tpm_core::Operation<'_>, Option<&ReadyKey>) -> Result<Done>;

impl Operation {
    /// An operation that succeeds.
    pub(crate) const fn new(name: &'static str, run: Run) -> Self {
        Self {
            name,
            start: Start::Full,
            succeeds: true,
            ready: None,
            run,
            may_leave: &[],
            displayed: None,
            first_use: false,
        }
    }

    /// On a chip without a storage root key.
    pub(crate) const fn on_blank(mut self) -> Self {
        self.start = Start::Blank;
        self
    }

    /// One that fails, which no man in the middle may change.
    pub(crate) const fn fails(mut self) -> Self {
        self.succeeds = false;
        self
    }

    /// With a loaded key.
    pub(crate) const fn with(mut self, key: fn(&World) -> &KeyBlob) -> Self {
        self.ready = Some(key);
        self
    }

    /// With a result that is not authenticated, for this reason.
    pub(crate) const fn displayed(mut self, reason: &'static str) -> Self {
        self.displayed = Some(reason);
        self
    }

    /// One whose result is a storage root key that nobody has pinned: any of this chip will do that is no
    /// weaker than ours.
    pub(crate) const fn first_use(mut self) -> Self {
        self.first_use = true;
        self
    }

    /// With this in the chip after a failure, too.
    pub(crate) const fn may_leave(mut self, parts: &'static [&'static str]) -> Self {
        self.may_leave = parts;
        self
    }
}

pub(crate) use self::{
    attestation::ATTESTATION,
    counter::{COUNTER, OWNERS},
    displayed::DISPLAYED,
    hierarchies::HIERARCHIES,
    keys::{KEYS, RSA_KEYS},
    objects::OBJECTS,
    srk::{CAPABILITIES, SRK},
    token_key::{LOCKOUT_KEY, MOVING_IN, OPEN, TOKEN_KEY, WRONG_PIN},
};
