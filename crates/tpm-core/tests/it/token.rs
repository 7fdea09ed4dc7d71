//! Tokens behind each wall, and what they leave in the chip.

use tpm_core::{
    AuthValue, ChangeGuard, Error, OwnerAuth, PinCounter, SoObject, Srk, TokenKey, Tpm, Wall, info,
};

use crate::{TestResult, empty};

pub(crate) fn tpm(tcti: &str) -> Tpm {
    Tpm::new(tcti.parse().expect("a TCTI of the test crate"))
}

pub(crate) fn auth<A: From<AuthValue>>(text: &str) -> A {
    AuthValue::new(text.as_bytes()).expect("short").into()
}

/// Transient objects and loaded sessions in the chip: none may be left by an operation.
pub(crate) fn assert_idle(tpm: &Tpm) -> TestResult {
    let op = tpm.begin()?;
    assert_eq!(
        info::handles(&op, 0x8000_0000, 0x80ff_ffff)?,
        [0; 0],
        "transient objects"
    );
    assert_eq!(
        info::handles(&op, 0x0200_0000, 0x02ff_ffff)?,
        [0; 0],
        "loaded sessions"
    );
    assert_eq!(info::read(&op)?.active_sessions, 0);
    Ok(())
}

pub(crate) struct Token {
    pub(crate) srk: Srk,
    pub(crate) so: SoObject,
    pub(crate) guard: ChangeGuard,
    pub(crate) key: TokenKey,
}

pub(crate) fn counter_token(tpm: &Tpm, limit: u32) -> Result<Token, Error> {
    let op = tpm.begin()?;
    let owner = OwnerAuth::empty();
    let srk = Srk::find_or_create(&op, &owner)?;
    let so = SoObject::create(&srk.open(&op)?, &auth("so"), &auth("secret"))?;
    let guard = ChangeGuard::create(&srk.open(&op)?, &auth("secret"))?;
    let handle = PinCounter::pick_handle(&op)?;
    let counter = PinCounter::from_parts(handle, so.name(), guard.name());
    counter.define(
        &srk.open(&op)?,
        &owner,
        &so,
        &auth("so"),
        &auth("pin"),
        limit,
    )?;
    let key = TokenKey::behind_counter(&srk.open(&op)?, counter)?;
    Ok(Token {
        srk,
        so,
        guard,
        key,
    })
}

pub(crate) fn lockout_token(tpm: &Tpm) -> Result<Token, Error> {
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let so = SoObject::create(&srk.open(&op)?, &auth("so"), &auth("secret"))?;
    let guard = ChangeGuard::create(&srk.open(&op)?, &auth("secret"))?;
    let key = TokenKey::behind_lockout(&srk.open(&op)?, &so, &auth("pin"))?;
    Ok(Token {
        srk,
        so,
        guard,
        key,
    })
}

pub(crate) fn counter(token: &Token) -> &PinCounter {
    match token.key.wall() {
        Wall::Counter(counter) => counter,
        _ => unreachable!("the token was made with a counter"),
    }
}
