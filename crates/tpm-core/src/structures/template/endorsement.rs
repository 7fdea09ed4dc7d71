//! Endorsement keys, by the TCG's default templates.

use tss_esapi::{
    abstraction::{AsymmetricAlgorithmSelection, ek},
    interface_types::{ecc::EccCurve, key_bits::RsaKeyBits},
    traits::Marshall,
};

use super::{INVALID, StorageKind, storage_attributes, storage_key};
use crate::{Result, structures::ek_type::EkType};

/// `PolicyB` of the TCG's default templates with SHA-256: the endorsement hierarchy's authorization value, or a policy that
/// the owner has written to an NV index.
const POLICY_B: [u8; 32] = [
    0xca, 0x3d, 0x0a, 0x99, 0xa2, 0xb9, 0x39, 0x06, 0xf7, 0xa3, 0x34, 0x24, 0x14, 0xef, 0xcf, 0xb3,
    0xa3, 0x85, 0xd4, 0x4c, 0xd1, 0xfd, 0x45, 0x90, 0x89, 0xd1, 0x9b, 0x50, 0x71, 0xc0, 0xb7, 0xa0,
];

/// An endorsement key of the TCG's default templates.
///
/// # Source
///
/// TCG EK Credential Profile, annex B.
pub(crate) fn endorsement_key(kind: EkType) -> Result<Vec<u8>> {
    let high = storage_attributes()
        .with_user_with_auth(true)
        .with_admin_with_policy(true);
    let selection = match kind {
        EkType::Rsa2048 => AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048),
        EkType::EccP256 => AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256),
        EkType::Rsa2048High => return storage_key(StorageKind::Rsa2048, high, &POLICY_B),
        EkType::EccP256High => return storage_key(StorageKind::EccP256, high, &POLICY_B),
        EkType::EccP384 => AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP384),
        EkType::Rsa3072 => AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa3072),
    };
    ek::create_ek_public_from_default_template_2(selection, None)
        .and_then(|public| public.marshall())
        .map_err(|_| INVALID)
}

impl EkType {
    /// The type of the endorsement key with this `TPMT_PUBLIC`; `None` if it matches no template.
    #[must_use]
    pub fn of_public(public: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.is_of(public))
    }

    /// Whether this `TPMT_PUBLIC` is of this type's template.
    pub(crate) fn is_of(self, public: &[u8]) -> bool {
        endorsement_key_head(self).is_ok_and(|head| public.starts_with(&head))
    }
}

/// The beginning of the public area of each endorsement key of this type: all but its public key.
///
/// Type, name algorithm, attributes (8 bytes), policy with its length, symmetric algorithm (6), scheme (2), then size and
/// exponent (RSA, 6) or curve and KDF (ECC, 4).
fn endorsement_key_head(kind: EkType) -> Result<Vec<u8>> {
    let mut template = endorsement_key(kind)?;
    let policy = match template.get(8..10) {
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
        _ => return Err(INVALID),
    };
    let is_rsa = StorageKind::of_public(&template).is_rsa();
    template.truncate(8 + 2 + policy + 6 + 2 + if is_rsa { 6 } else { 4 });
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structures::template::{storage_root_key, tests::hex};

    /// Byte by byte. tests/it/attestation.rs compares three of them with the keys that swtpm's factory makes.
    #[test]
    fn endorsement_keys_are_of_the_profiles_templates() {
        const A: &str = "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
        const B: &str = "ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0";
        const B_384: &str = "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419ca\
                             cb47ba09699646150f9fc000f3f80e12";
        for (kind, head) in [
            (
                EkType::Rsa2048,
                format!("0001000b000300b20020{A}0006008000430010080000000000"),
            ),
            (
                EkType::EccP256,
                format!("0023000b000300b20020{A}000600800043001000030010"),
            ),
            (
                EkType::Rsa2048High,
                format!("0001000b000300f20020{B}0006008000430010080000000000"),
            ),
            (
                EkType::EccP256High,
                format!("0023000b000300f20020{B}000600800043001000030010"),
            ),
            (
                EkType::EccP384,
                format!("0023000c000300f20030{B_384}000601000043001000040010"),
            ),
            (
                EkType::Rsa3072,
                format!("0001000c000300f20030{B_384}00060100004300100c0000000000"),
            ),
        ] {
            assert_eq!(hex(&endorsement_key_head(kind).unwrap()), head, "{kind:?}");
            let template = endorsement_key(kind).unwrap();
            assert_eq!(EkType::of_public(&template), Some(kind));
            // The low range fills the public key up with zeros, the high range leaves it out.
            let unique = template.len() - head.len() / 2;
            let expected = match kind {
                EkType::Rsa2048 => 2 + 256,
                EkType::EccP256 => 2 * (2 + 32),
                EkType::Rsa2048High | EkType::Rsa3072 => 2,
                EkType::EccP256High | EkType::EccP384 => 2 * 2,
            };
            assert_eq!(unique, expected, "{kind:?}");
        }
        let other = storage_root_key(StorageKind::EccP256).unwrap();
        assert_eq!(EkType::of_public(&other), None);
        assert_eq!(EkType::of_public(&[]), None);
    }
}
