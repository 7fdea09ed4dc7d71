//! The list of revoked keys. It has to be signed by the authority, and must not be older than the last one.

use ssh_format::Krl;

use crate::{Authorities, Error, Result, SignedKrl};

/// The namespace of the signature under the list.
const NAMESPACE: &str = "krl@tpmssh";
/// The longest age of a list, in seconds. The authority makes a new list every hour, so it may be away for a day.
pub const MAX_AGE: u64 = 24 * 60 * 60;
/// How far the clock of this machine may be behind that of the authority, in seconds.
pub(crate) const SKEW: u64 = 5 * 60;

/// Reads a list, and checks that a key in `trusted` signed it, that its number is at least `installed`, and that it was made
/// at most [`MAX_AGE`] seconds before `now` (seconds since 1970).
///
/// # Errors
///
/// [`Error::BadAnswer`] for a list that cannot be read, [`Error::NotTaken`] otherwise. Keep the list that is there.
///
/// # Source
///
/// OpenSSH, PROTOCOL.krl: the number is larger for each newer list.
pub fn check(
    signed: &SignedKrl,
    trusted: &Authorities,
    installed: Option<u64>,
    now: u64,
) -> Result<Krl> {
    trusted.check_signature(&signed.signature, NAMESPACE, &signed.bytes)?;
    let krl = Krl::from_bytes(&signed.bytes).map_err(Error::bad)?;
    check_age(&krl, installed, now)?;
    Ok(krl)
}

fn check_age(krl: &Krl, installed: Option<u64>, now: u64) -> Result<()> {
    if installed.is_some_and(|installed| krl.number() < installed) {
        return Err(Error::NotTaken(
            "its list of revoked keys is older than the one that is here",
        ));
    }
    if now.saturating_sub(krl.generated()) > MAX_AGE {
        return Err(Error::NotTaken(
            "its list of revoked keys was made more than a day ago",
        ));
    }
    if krl.generated() > now.saturating_add(SKEW) {
        return Err(Error::NotTaken(
            "its list of revoked keys is from the future: see that the clock is right",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_from_five_minutes_ahead_to_a_day_back() {
        let now = 1_800_000_000;
        let refused = |generated| {
            let krl = Krl::new(7, generated, "");
            check_age(&krl, Some(7), now)
                .err()
                .map(|err| err.to_string())
        };
        for taken in [now, now + SKEW, now - MAX_AGE] {
            assert_eq!(refused(taken), None, "{taken}");
        }
        for (generated, why) in [
            (
                now + SKEW + 1,
                "is from the future: see that the clock is right",
            ),
            (now - MAX_AGE - 1, "was made more than a day ago"),
        ] {
            let err = refused(generated).unwrap_or_default();
            assert!(err.ends_with(why), "{err}");
        }
    }

    #[test]
    fn an_older_list_than_the_one_that_is_here_is_refused() {
        let now = 1_800_000_000;
        let check = |number| check_age(&Krl::new(number, now, ""), Some(7), now);
        assert!(check(6).is_err());
        assert!(check(7).is_ok() && check(8).is_ok());
    }
}
