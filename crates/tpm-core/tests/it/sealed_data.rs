//! Secrets of a program, sealed to a chip.

use testing::{Swtpm, assert_matches};
use tpm_core::{Blob, Entity, Error, SealedData, Srk};

use crate::{
    TestResult, empty,
    token::{assert_idle, tpm},
};

#[test]
fn a_secret_comes_out_as_it_went_in_and_only_from_its_chip() -> TestResult {
    let (swtpm, other) = (Swtpm::start(), Swtpm::start());
    let (tpm, other) = (tpm(&swtpm.tcti()), tpm(&other.tcti()));
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let root = srk.open(&op)?;
    // Zeros at both ends are part of it.
    let mut ends = [7; 32];
    (ends[0], ends[31]) = (0, 0);
    for secret in [&ends[..], &[0], &[1; SealedData::MAX]] {
        let sealed = SealedData::seal(&root, secret)?;
        let stored = SealedData::from_blob(sealed.blob().clone())?;
        assert_eq!(stored.unseal(&root)?.bytes(), secret);
    }
    for wrong in [&[][..], &[1; SealedData::MAX + 1]] {
        let refused = SealedData::seal(&root, wrong);
        assert_matches!(refused, Err(Error::InvalidArgument(_)));
    }
    let sealed = SealedData::seal(&root, &ends)?;
    let mut blob: Blob = sealed.blob().clone();
    blob.private[40] ^= 1;
    let changed = SealedData::from_blob(blob)?.unseal(&root);
    assert_matches!(changed, Err(Error::Integrity(Entity::SealedSecret)));
    drop(root);
    drop(op);
    assert_idle(&tpm)?;

    // With the storage root key of the first chip, and with its own.
    let op = other.begin()?;
    for _ in 0..2 {
        let refused = sealed.unseal(&srk.open(&op)?);
        assert_matches!(refused, Err(Error::OtherTpm));
        Srk::find_or_create(&op, &empty())?;
    }
    let own = Srk::find_or_create(&op, &empty())?;
    let refused = sealed.unseal(&own.open(&op)?);
    assert_matches!(refused, Err(Error::Integrity(Entity::SealedSecret)));
    Ok(())
}
