//! PIN counters that a killed program left in the chip are removed by the next one that makes a
//! token.

use token_store::{
    WallKind,
    token::{self, InitOptions},
};
use tpm_core::{
    AuthValue, ChangeGuard, GuardAuth, OwnerAuth, PinAuth, PinCounter, SoAuth, SoObject, Srk,
};

use crate::{Bench, PIN, TestResult, failure, pin};

/// A counter in the chip with a note in the store, as an init that was killed right after it had
/// made the counter leaves them.
fn leave_counter(bench: &Bench) -> Result<u32, Box<dyn std::error::Error>> {
    let op = bench.tpm.begin()?;
    let owner = OwnerAuth::empty();
    let srk = Srk::find_or_create(&op, &owner)?;
    let (so_pin, secret) = (SoAuth::new(b"so")?, GuardAuth::random());
    let so = SoObject::create(&srk.open(&op)?, &so_pin, &secret)?;
    let guard = ChangeGuard::create(&srk.open(&op)?, &secret)?;
    let handle = PinCounter::pick_handle(&op)?;
    let counter = PinCounter::from_parts(handle, so.name(), guard.name());
    counter.define(&srk.open(&op)?, &owner, &so, &so_pin, &PinAuth::random(), 3)?;
    bench.tamper(&format!(
        "INSERT INTO nv_intent VALUES ({handle}, x'{}', x'{}', x'{}', {}, 0)",
        so.name(),
        guard.name(),
        srk.name(),
        std::time::UNIX_EPOCH.elapsed()?.as_secs(),
    ));
    Ok(handle)
}

#[test]
fn the_next_init_removes_what_killed_ones_left() -> TestResult {
    let mut bench = Bench::new();
    for _ in 0..3 {
        leave_counter(&bench)?;
    }
    assert_eq!(bench.nv_indexes(), 3);
    let token = bench.token("work", WallKind::Counter);
    assert_eq!(bench.nv_indexes(), 1);
    assert!(token::orphans(&bench.store, &bench.tpm)?.is_empty());
    bench.login(&token, PIN)?;
    // A token behind another wall needs no counter, and still tidies up.
    leave_counter(&bench)?;
    bench.token("host", WallKind::None);
    assert_eq!(bench.nv_indexes(), 1);
    Ok(())
}

/// While another program makes a token, what is noted may be its own.
#[test]
fn a_counter_of_a_program_at_work_is_left_to_it() -> TestResult {
    let mut bench = Bench::new();
    let handle = leave_counter(&bench)?;
    let at_work = std::fs::File::open(bench.dir.path().join("store"))?;
    at_work.lock_shared()?;
    bench.token("work", WallKind::Counter);
    assert_eq!(bench.nv_indexes(), 2);
    let left = token::orphans(&bench.store, &bench.tpm)?;
    assert_eq!(
        (left.len(), left[0].handle, left[0].ours),
        (1, handle, true)
    );
    drop(at_work);
    bench.token("play", WallKind::Counter);
    assert_eq!(bench.nv_indexes(), 2);
    Ok(())
}

#[test]
fn what_only_the_owner_can_remove_stays_noted() -> TestResult {
    let mut bench = Bench::new();
    leave_counter(&bench)?;
    let owner = OwnerAuth::new(b"owner")?;
    {
        use tpm_core::ownership::{Hierarchy, change_auth};
        let op = bench.tpm.begin()?;
        let srk = Srk::find(&op)?.ok_or("an SRK")?;
        change_auth(
            &srk.open(&op)?,
            Hierarchy::Owner,
            &AuthValue::empty(),
            &AuthValue::new(b"owner")?,
        )?;
    }
    let empty = OwnerAuth::empty();
    let options = InitOptions::new("work");
    let init = |bench: &mut Bench, owner: &OwnerAuth| {
        let pin = pin(PIN);
        token::init(
            &mut bench.store,
            &bench.tpm,
            &options,
            None,
            Some(&pin),
            owner,
        )
    };
    failure(init(&mut bench, &empty));
    assert_eq!(token::orphans(&bench.store, &bench.tpm)?.len(), 1);
    init(&mut bench, &owner)?;
    assert_eq!(bench.nv_indexes(), 1);
    Ok(())
}
