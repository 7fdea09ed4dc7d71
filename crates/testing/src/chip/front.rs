//! The proxy that plays a chip in front of `swtpm`: capabilities, refusals, limits, requests to
//! send again, slowness.

use std::{
    io,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::{
    Chip, Latency, Mood, capability,
    capability::Send,
    constants::{
        CC_CONTEXT_LOAD, CC_CONTEXT_SAVE, CC_CREATE, CC_CREATE_LOADED, CC_CREATE_PRIMARY,
        CC_ECDH_ZGEN, CC_EVICT_CONTROL, CC_GET_CAPABILITY, CC_LOAD, CC_NV_DEFINE_SPACE,
        CC_OBJECT_CHANGE_AUTH, CC_RSA_DECRYPT, CC_SIGN, CC_START_AUTH_SESSION, CC_UNSEAL, ECC,
        NAMES, PT_MAX_COMMAND_SIZE, RC_COMMAND_CODE, RC_COMMAND_SIZE, RC_NV_SPACE, RSA,
    },
    pss,
    unmarshal::{self, About, Stop},
    wire::{Command, refusal},
};

/// How fast a chip is played.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Pace {
    /// As fast as `swtpm` is.
    #[default]
    Instant,
    /// At this multiple of the typical time: 1.0 is the chip's own speed.
    Typical(f64),
    /// At this multiple of the longest time that was measured.
    Slowest(f64),
}

/// A running personality.
#[derive(Debug)]
pub(crate) struct Front {
    chip: Chip,
    pace: Pace,
    moods: Mutex<Vec<Active>>,
}

/// A mood, and the number of commands so far to which it could apply.
#[derive(Debug)]
struct Active {
    mood: Mood,
    seen: u32,
}

impl Front {
    pub(crate) fn new(chip: Chip, pace: Pace) -> Self {
        let moods = chip.quirks.moods.iter().cloned();
        let moods = moods.map(|mood| Active { mood, seen: 0 }).collect();
        Self {
            chip,
            pace,
            moods: Mutex::new(moods),
        }
    }

    /// The response to a command. `send` sends a command to the simulator.
    pub(crate) fn answer(&self, raw: &[u8], send: &mut Send<'_>) -> io::Result<Vec<u8>> {
        let Ok(command) = Command::parse(raw) else {
            return send(raw);
        };
        if let Some(rc) = self.mood(command.code) {
            return Ok(refusal(rc));
        }
        let chip = &self.chip;
        // A saved context is made by swtpm, and is longer than the chip's own.
        let longest = chip.property(PT_MAX_COMMAND_SIZE);
        if longest.is_some_and(|longest| raw.len() > longest as usize)
            && command.code != CC_CONTEXT_LOAD
        {
            return Ok(refusal(RC_COMMAND_SIZE));
        }
        let known = chip.commands.as_ref();
        if known.is_some_and(|known| !known.contains(&command.code)) {
            return Ok(refusal(RC_COMMAND_CODE));
        }
        if command.code == CC_GET_CAPABILITY {
            return capability::answer_for(chip, &command, send);
        }
        let about = match unmarshal::check(chip, &command) {
            Ok(about) => about,
            Err(Stop::Refused(rc)) => return Ok(refusal(rc)),
            Err(Stop::Malformed) => return send(raw),
        };
        if self.is_full(&command, send)? {
            return Ok(refusal(RC_NV_SPACE));
        }
        thread::sleep(self.time(command.code, about));
        if command.code == CC_SIGN
            && chip.quirks.pss_salt.as_deref() == Some("max")
            && let Some(response) = pss::with_the_longest_salt(&command, send)?
        {
            return Ok(response);
        }
        send(raw)
    }

    /// The response that asks to send the command again, if it is time for one.
    fn mood(&self, code: u32) -> Option<u32> {
        let mut moods = self.moods.lock().unwrap_or_else(PoisonError::into_inner);
        moods.iter_mut().find_map(|active| {
            let fits = |name: &String| NAMES.iter().any(|(n, c)| n == name && *c == code);
            let mood = &mut active.mood;
            if mood.times == 0 || !(mood.commands.is_empty() || mood.commands.iter().any(fits)) {
                return None;
            }
            active.seen += 1;
            active.seen.is_multiple_of(mood.every.max(1)).then(|| {
                mood.times -= 1;
                mood.rc
            })
        })
    }

    /// Whether the chip has no room for the object or index that the command would make.
    fn is_full(&self, command: &Command<'_>, send: &mut Send<'_>) -> io::Result<bool> {
        let (first, room) = match command.code {
            // The command makes a transient object persistent.
            CC_EVICT_CONTROL if command.handles[1] >> 24 == 0x80 => {
                (0x8100_0000, self.chip.persistent_slots)
            }
            CC_NV_DEFINE_SPACE => (0x0100_0000, self.chip.nv_indexes),
            _ => return Ok(false),
        };
        match room {
            None => Ok(false),
            Some(room) => Ok(capability::handles(send, first)?.len() >= room),
        }
    }

    /// How long the command takes beyond swtpm's own time: the measured time, or if it was not
    /// measured, that of the most similar operation.
    fn time(&self, code: u32, about: About) -> Duration {
        let (scale, pick): (f64, fn(&Latency) -> f64) = match self.pace {
            Pace::Instant => return Duration::ZERO,
            Pace::Typical(scale) => (scale, |latency| latency.typ),
            Pace::Slowest(scale) => (scale, |latency| latency.max),
        };
        let at = |key: &str, otherwise: f64| self.chip.latency_ms.get(key).map_or(otherwise, pick);
        let create_ecc = at("create_ecc256", 100.0);
        let keyed = at("create_keyedhash", create_ecc / 2.0);
        let rsa = |bits: u16| {
            let nearest = at("rsa_decrypt2048", at("sign_rsa2048", 150.0));
            at(&format!("rsa_decrypt{bits}"), nearest)
        };
        let ecdh = at("ecdh_zgen256", at("sign_ecc256", 60.0));
        let milliseconds = match (code, about) {
            (CC_CREATE | CC_CREATE_PRIMARY | CC_CREATE_LOADED, (RSA, bits)) => {
                at(&format!("create_rsa{bits}"), at("create_rsa2048", 5_000.0))
            }
            (CC_CREATE | CC_CREATE_PRIMARY | CC_CREATE_LOADED, (ECC, _)) => create_ecc,
            (CC_CREATE | CC_CREATE_PRIMARY | CC_CREATE_LOADED, _) => keyed,
            (CC_SIGN, _) => at("sign_ecc256", 60.0),
            // A salt is read with the private half of the storage root key.
            (CC_RSA_DECRYPT | CC_START_AUTH_SESSION, (RSA, bits)) => rsa(bits),
            (CC_START_AUTH_SESSION, (ECC, _)) | (CC_ECDH_ZGEN, _) => ecdh,
            (
                CC_LOAD | CC_OBJECT_CHANGE_AUTH | CC_UNSEAL | CC_CONTEXT_LOAD | CC_CONTEXT_SAVE,
                _,
            ) => keyed,
            _ => at("get_random32", 5.0),
        };
        Duration::from_secs_f64(milliseconds * scale / 1000.0)
    }
}
