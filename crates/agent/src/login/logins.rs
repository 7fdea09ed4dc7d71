//! Tokens that were opened with their PIN, and for how long they stay open.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ssh_format::time::span;
use token_store::OpenToken;

use crate::machine::clock::{self, Moment};

/// Suspend time is the difference of two clocks that are read one after the other. A difference below
/// this is the time between the two readings.
const SLEEP: Duration = Duration::from_secs(1);

/// How long a right PIN is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// For one signature.
    Never,
    /// For this long.
    For(Duration),
    /// Until the agent is locked or ends, or the machine sleeps.
    UntilLocked,
    /// As [`Policy::UntilLocked`], and a person confirms each use.
    Confirm,
}

impl FromStr for Policy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            "until-locked" => Ok(Self::UntilLocked),
            "confirm" => Ok(Self::Confirm),
            time => duration(time)
                .map(Self::For)
                .ok_or("it is never, until-locked, confirm, or a time such as 30m"),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::For(time) => write!(f, "{}s", time.as_secs()),
            Self::UntilLocked => f.write_str("until-locked"),
            Self::Confirm => f.write_str("confirm"),
        }
    }
}

/// A span as sshd_config(5) has it, such as `90`, `15m` or `1h30m`; from a second to a year.
fn duration(text: &str) -> Option<Duration> {
    span(text)
        .filter(|seconds| (1..=31_536_000).contains(seconds))
        .map(|seconds| Duration::from_secs(seconds.into()))
}

/// The open tokens, by serial number.
#[derive(Default)]
pub(crate) struct Logins {
    open: HashMap<String, Login>,
    slept: Duration,
    ended: u64,
}

struct Login {
    token: Arc<OpenToken>,
    until: Option<Moment>,
}

impl Logins {
    /// The open token of this serial number, if it still is.
    pub(crate) fn get(&mut self, serial: &str) -> Option<Arc<OpenToken>> {
        self.sweep();
        self.open.get(serial).map(|login| login.token.clone())
    }

    /// Keeps an open token, for `time` or until all logins end. Does nothing if all logins have ended
    /// since [`Logins::ended`] returned `since`: the PIN was asked for before that.
    pub(crate) fn keep(
        &mut self,
        serial: &str,
        token: Arc<OpenToken>,
        time: Option<Duration>,
        since: u64,
    ) {
        self.sweep();
        if since == self.ended {
            let until = time.and_then(|time| Moment::now().after(time));
            self.open.insert(serial.to_owned(), Login { token, until });
        }
    }

    /// A number that changes when all logins end.
    pub(crate) fn ended(&mut self) -> u64 {
        self.sweep();
        self.ended
    }

    /// Ends one login.
    pub(crate) fn end(&mut self, serial: &str) {
        self.open.remove(serial);
    }

    /// Ends the logins to tokens for whose serial numbers `keeps` is false.
    pub(crate) fn keep_those(&mut self, keeps: impl Fn(&str) -> bool) {
        self.open.retain(|serial, _| keeps(serial));
    }

    /// Ends all logins; what was derived from PINs is wiped as soon as no signature that was
    /// begun needs it.
    pub(crate) fn end_all(&mut self) {
        self.ended += 1;
        self.open.clear();
    }

    /// Ends the logins whose time is over, and all if the machine has slept.
    pub(crate) fn sweep(&mut self) {
        let slept = clock::slept();
        if slept.saturating_sub(self.slept) > SLEEP {
            if !self.open.is_empty() {
                log::info!("the machine has slept: all logins end");
            }
            self.end_all();
            self.slept = slept;
        }
        let now = Moment::now();
        self.open
            .retain(|_, login| login.until.is_none_or(|until| now < until));
    }

    /// How much longer the login to a token lasts. `None` if the login does not end by itself, or if there
    /// is no login.
    pub(crate) fn left(&self, serial: &str) -> Option<Duration> {
        self.open.get(serial)?.until.map(Moment::left)
    }

    /// When the next login ends; `None` if none does.
    pub(crate) fn next_end(&self) -> Option<Duration> {
        self.open
            .values()
            .filter_map(|login| login.until)
            .min()
            .map(Moment::left)
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        for text in ["never", "until-locked", "confirm", "90s"] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        let time = |text: &str| text.parse::<Policy>();
        assert_eq!(time("15m"), Ok(Policy::For(Duration::from_secs(900))));
        assert_eq!(time("8h"), time("28800"));
        assert_eq!(time("1h30m"), time("5400"));
        assert_eq!(time("1w"), time("7d"));
        for wrong in [
            "",
            "0",
            "0s",
            "-1",
            "+5",
            "1y",
            "366d",
            "m",
            "99999999999999999999d",
        ] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
