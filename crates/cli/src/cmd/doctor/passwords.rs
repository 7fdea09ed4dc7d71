//! The passwords of the chip's hierarchies, and its lockout.

use token_store::Kind;
use tpm_core::info::{Info, Lockout};

use super::check::Check;
use crate::show::duration::in_words;

pub(super) fn check(info: &Info) -> [Check; 4] {
    [
        owner(info.auth_set.owner),
        endorsement(info.auth_set.endorsement),
        lockout_password(info.auth_set.lockout, &info.lockout),
        lockout(&info.lockout),
    ]
}

fn owner(is_set: bool) -> Check {
    let name = "owner password";
    if is_set {
        Check::ok(name, "set: each new token needs it")
    } else {
        Check::warning(
            name,
            "not set: any user with TPM access can remove the PIN counters in it",
        )
        .fixed_by("tpmssh tpm change-auth owner")
    }
}

fn endorsement(is_set: bool) -> Check {
    let detail = if is_set {
        "set: making endorsement keys needs it"
    } else {
        "not set: any user with TPM access can make the keys that identify it"
    };
    Check::ok("endorsement password", detail)
}

fn lockout_password(is_set: bool, lockout: &Lockout) -> Check {
    let name = "lockout password";
    if is_set {
        let closed = match lockout.recovery {
            0 => "until a restart".to_owned(),
            seconds => format!("for {}", in_words(seconds)),
        };
        Check::ok(
            name,
            format!("set; a wrong one closes the lockout hierarchy {closed}"),
        )
    } else {
        let detail = "not set: any user with TPM access can erase the TPM, and try recovery codes without limit";
        Check::warning(name, detail).fixed_by("tpmssh tpm change-auth lockout")
    }
}

fn lockout(lockout: &Lockout) -> Check {
    let name = "lockout";
    let forgiving = in_words(lockout.interval);
    let counted = format!("{} of {} wrong tries", lockout.count, lockout.max_tries);
    if lockout.active {
        let detail = format!(
            "locked after {counted}: SO PINs, and PINs without a counter, are refused for up to {forgiving}"
        );
        return Check::problem(name, Kind::PinLocked, detail)
            .fixed_by("tpmssh tpm lockout reset, or wait with the machine switched on");
    }
    if lockout.interval == 0 {
        let detail = "switched off: recovery codes (SO PINs) can be tried without limit";
        return Check::warning(name, detail)
            .fixed_by("tpmssh tpm lockout set --max-tries 32 --forgive-after 10m --recovery 1d");
    }
    let detail = format!("open, {counted}, one is forgiven after {forgiving}");
    if lockout.count == 0 {
        Check::ok(name, detail)
    } else {
        let why = "wrong SO PINs, wrong PINs without a counter and power failures count";
        Check::warning(name, format!("{detail}; {why}")).fixed_by("tpmssh tpm lockout reset")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(active: bool, count: u32, interval: u32) -> String {
        let mut state = Lockout::default();
        state.active = active;
        state.count = count;
        state.max_tries = 32;
        state.interval = interval;
        state.recovery = 86_400;
        let said = lockout(&state).to_string();
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_lockout_says_how_far_it_is_and_how_it_ends() {
        assert!(state(false, 0, 7200).starts_with("ok "));
        let some = state(false, 3, 7200);
        assert!(
            some.starts_with("warning ") && some.contains("3 of 32"),
            "{some}"
        );
        let locked = state(true, 32, 7200);
        assert!(
            locked.starts_with("problem ") && locked.contains("2 hours"),
            "{locked}"
        );
        assert!(state(false, 0, 0).contains("switched off"));
    }
}
