//! A maker of TPMs, with its certificates.

use key_proof::{Anchors, Check, Policy};

use crate::der::{Authority, Draft, authority, critical_policies, ek_usage, maker, usage};
use crate::software_tpm::{SoftwareTpm, any_tpm, refused};

/// A maker's root, an authority below it, and a TPM that this authority has certified.
pub(crate) struct Factory {
    pub(crate) root: Authority,
    pub(crate) between: Authority,
    pub(crate) tpm: SoftwareTpm,
}

pub(crate) fn leaf() -> Draft {
    Draft::new(
        "TPM",
        vec![authority(false, None), ek_usage(), maker(), usage(0x08)],
    )
}

pub(crate) fn between() -> Draft {
    Draft::new(
        "Maker CA 1",
        vec![authority(true, Some(0)), usage(0x04), critical_policies()],
    )
}

impl Factory {
    pub(crate) fn new() -> Self {
        Self::with(&between(), &leaf())
    }

    pub(crate) fn with(between: &Draft, leaf: &Draft) -> Self {
        let root = Authority::root("Maker root");
        let between = root.below(between);
        let mut tpm = SoftwareTpm::new();
        tpm.certificate = Some(between.certify(leaf, &tpm.ek.key));
        tpm.chain = vec![between.der.clone()];
        Self { root, between, tpm }
    }

    pub(crate) fn policy(&self) -> Policy {
        trusting(&[&self.root.der])
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> &'static str {
        let (by, why) = refused(self.tpm.checked(&self.policy()));
        assert_eq!(by, Check::V1);
        why
    }
}

pub(crate) fn trusting(certificates: &[&[u8]]) -> Policy {
    let mut anchors = Anchors::new();
    for der in certificates {
        anchors.add_file(der).unwrap();
    }
    let mut policy = any_tpm();
    policy.any_tpm = false;
    policy.anchors = Some(anchors);
    policy
}
