//! A simulator that looks, refuses and dawdles like a real chip.

use crate::{
    Swtpm, Tap,
    chip::{Chip, Direct, Front, Held, Pace, State},
};

/// A [`Swtpm`] behind the personality of a [`Chip`], in the state that somebody left it in.
///
/// It has no more than swtpm's three slots for objects and for sessions, and none of the
/// algorithms that libtpms lacks; blobs, signatures and the bus are swtpm's.
#[derive(Debug)]
pub struct Zoo {
    // In the order of dropping.
    tap: Tap,
    swtpm: Swtpm,
    before: Held,
    chip: Chip,
}

impl Zoo {
    /// Starts a chip in these states, one after the other; in none, it is as swtpm makes it.
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

    /// Gives the chip other firmware: the same simulator with the personality of `chip`, at
    /// another [`tcti`](Self::tcti).
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

    /// The simulator behind, to switch off and on.
    pub fn swtpm(&mut self) -> &mut Swtpm {
        &mut self.swtpm
    }

    /// Which chip it is.
    #[must_use]
    pub fn chip(&self) -> &Chip {
        &self.chip
    }

    /// The handles of all that is in the chip now and was not there at the start: objects,
    /// sessions, persistent keys, NV indexes. Nobody may be connected.
    #[must_use]
    pub fn left_over(&self) -> Vec<u32> {
        Direct::connect(self.swtpm.port())
            .held()
            .beyond(&self.before)
    }
}
