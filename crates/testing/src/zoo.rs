//! A simulator that plays a real chip: its capabilities, refusals and slowness.

use crate::{
    Swtpm, Tap,
    chip::{Chip, Direct, Front, Held, Pace, State},
};

/// A [`Swtpm`] behind a proxy that plays a [`Chip`], in given states.
///
/// It has only swtpm's three slots for objects and for sessions, and only the algorithms of
/// libtpms. Blobs and signatures are made by swtpm.
#[derive(Debug)]
pub struct Zoo {
    // In the order of dropping.
    tap: Tap,
    swtpm: Swtpm,
    before: Held,
    chip: Chip,
}

impl Zoo {
    /// Starts a chip and sets these states, one after the other. Without states, it is as swtpm
    /// makes it.
    ///
    /// # Panics
    ///
    /// If `swtpm` does not start or a state cannot be set.
    #[must_use]
    pub fn start(chip: Chip, states: &[State]) -> Self {
        Self::at_pace(chip, states, Pace::Instant)
    }

    /// The same at another speed.
    ///
    /// # Panics
    ///
    /// As [`Zoo::start`].
    #[must_use]
    pub fn at_pace(mut chip: Chip, states: &[State], pace: Pace) -> Self {
        let swtpm = Swtpm::start();
        let mut direct = Direct::connect(swtpm.port());
        states
            .iter()
            .for_each(|state| state.set(&mut chip, &mut direct));
        let before = direct.held();
        drop(direct);
        let front = Front::new(chip.clone(), pace);
        let tap = Tap::with_front(&swtpm, front);
        Self {
            tap,
            swtpm,
            before,
            chip,
        }
    }

    /// Gives the chip other firmware: the same simulator plays `chip` at another
    /// [`tcti`](Self::tcti).
    pub fn update(&mut self, chip: Chip) {
        self.tap = Tap::with_front(&self.swtpm, Front::new(chip.clone(), Pace::Instant));
        self.chip = chip;
    }

    /// The connection string of the chip.
    #[must_use]
    pub fn tcti(&self) -> String {
        self.tap.tcti()
    }

    /// The tap on its bus, for counting and faults.
    #[must_use]
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// The simulator, to switch it off and on.
    pub fn swtpm(&mut self) -> &mut Swtpm {
        &mut self.swtpm
    }

    /// The chip that is played.
    #[must_use]
    pub fn chip(&self) -> &Chip {
        &self.chip
    }

    /// The handles of objects, sessions, persistent keys and NV indexes that are in the chip now
    /// and were not there at the start. No other connection may be open.
    #[must_use]
    pub fn left_over(&self) -> Vec<u32> {
        Direct::connect(self.swtpm.port())
            .held()
            .beyond(&self.before)
    }
}
