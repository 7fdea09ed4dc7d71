//! Check V2: whether an endorsement key follows a template of the TCG.
//!
//! # Source
//!
//! TCG EK Credential Profile, annex B "Default EK Templates".

use ssh_format::Curve;
use tpm_wire::{Put, algorithm, roca};

use crate::{
    Check, HashAlg, PublicArea, Result,
    error::refuse,
    public_area::{KeyScheme, PublicKey, Symmetric, attributes as attr},
};

/// Which template a maker's key follows, if the profile has two for its kind. It has two for RSA of 2048 bits and for ECC on P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EkRange {
    /// Templates L-1 and L-2, which most chips have.
    #[default]
    Low,
    /// Templates H-1 and H-2.
    High,
}

/// The attributes of templates of the low range. Those of the high range have userWithAuth as well.
const LOW: u32 = attr::FIXED_TPM
    | attr::FIXED_PARENT
    | attr::SENSITIVE_DATA_ORIGIN
    | attr::ADMIN_WITH_POLICY
    | attr::RESTRICTED
    | attr::DECRYPT;
const HIGH: u32 = LOW | attr::USER_WITH_AUTH;

/// `PolicyA`: `TPM2_PolicySecret` with the endorsement hierarchy.
const POLICY_A_SHA256: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
/// `PolicyB`: `PolicyA`, or a policy that is stored in an NV index which the profile reserves for it.
const POLICY_B_SHA256: [u8; 32] = [
    0xca, 0x3d, 0x0a, 0x99, 0xa2, 0xb9, 0x39, 0x06, 0xf7, 0xa3, 0x34, 0x24, 0x14, 0xef, 0xcf, 0xb3,
    0xa3, 0x85, 0xd4, 0x4c, 0xd1, 0xfd, 0x45, 0x90, 0x89, 0xd1, 0x9b, 0x50, 0x71, 0xc0, 0xb7, 0xa0,
];
const POLICY_B_SHA384: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a,
    0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca,
    0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];

/// Checks that `ek` follows one of the templates L-1, L-2, H-1, H-2, H-3 and H-6.
///
/// Also refuses keys with the ROCA fault, whose private half can be computed: with such a key, software could answer every challenge.
pub(crate) fn check(ek: &PublicArea) -> Result<()> {
    if let PublicKey::Rsa { n, .. } = &ek.key
        && roca::is_vulnerable(n)
    {
        return refuse(
            Check::V2,
            "the endorsement key can be computed from its public half (ROCA)",
        );
    }
    let policy = &ek.policy[..];
    let is_range = match (&ek.key, ek.name_alg) {
        (PublicKey::Rsa { n, e }, HashAlg::Sha256) if n.len() == 256 && *e == 65537 => {
            sha256_range(ek.attributes, policy)
        }
        (
            PublicKey::Ecc {
                curve: Curve::NistP256,
                ..
            },
            HashAlg::Sha256,
        ) => sha256_range(ek.attributes, policy),
        (
            PublicKey::Ecc {
                curve: Curve::NistP384,
                ..
            },
            HashAlg::Sha384,
        ) => ek.attributes == HIGH && policy == POLICY_B_SHA384,
        (PublicKey::Rsa { n, e }, HashAlg::Sha384) if n.len() == 384 && *e == 65537 => {
            ek.attributes == HIGH && policy == POLICY_B_SHA384
        }
        _ => false,
    };
    let bits = match ek.name_alg {
        HashAlg::Sha256 => 128,
        _ => 256,
    };
    if is_range && ek.symmetric == (Symmetric::Aes { bits }) && ek.scheme == KeyScheme::None {
        Ok(())
    } else {
        refuse(
            Check::V2,
            "the endorsement key is of no template of the TCG's",
        )
    }
}

/// The public area that a chip makes of the template for this key in `range`; `None` if there is no such template.
pub(super) fn public_area(key: &PublicKey, range: EkRange) -> Option<Vec<u8>> {
    let (kind, is_256) = match key {
        PublicKey::Rsa { n, e: 65537 } if n.len() == 256 => (algorithm::RSA, true),
        PublicKey::Rsa { n, e: 65537 } if n.len() == 384 => (algorithm::RSA, false),
        PublicKey::Ecc { curve, .. } => match curve {
            Curve::NistP256 => (algorithm::ECC, true),
            Curve::NistP384 => (algorithm::ECC, false),
            _ => return None,
        },
        PublicKey::Rsa { .. } => return None,
    };
    let (hash, bits, attributes, policy) = match (is_256, range) {
        (true, EkRange::Low) => (HashAlg::Sha256, 128, LOW, &POLICY_A_SHA256[..]),
        (true, EkRange::High) => (HashAlg::Sha256, 128, HIGH, &POLICY_B_SHA256[..]),
        // Only the high range has keys of this size.
        (false, _) => (HashAlg::Sha384, 256, HIGH, &POLICY_B_SHA384[..]),
    };
    let mut area = Vec::new();
    area.put_u16(kind);
    area.put_u16(hash.id());
    area.put_u32(attributes);
    area.put_sized(policy);
    area.put_u16(algorithm::AES);
    area.put_u16(bits);
    area.put_u16(algorithm::CFB);
    // No scheme.
    area.put_u16(algorithm::NULL);
    match key {
        PublicKey::Rsa { n, .. } => {
            area.put_u16(if is_256 { 2048 } else { 3072 });
            // 0 stands for the default exponent, 65537.
            area.put_u32(0);
            area.put_sized(n);
        }
        PublicKey::Ecc { x, y, .. } => {
            // TPM_ECC_NIST_P256 and P384 (part 2, section 6.4); no key derivation.
            area.put_u16(if is_256 { 3 } else { 4 });
            area.put_u16(algorithm::NULL);
            area.put_sized(x);
            area.put_sized(y);
        }
    }
    Some(area)
}

fn sha256_range(attributes: u32, policy: &[u8]) -> bool {
    attributes == LOW && policy == POLICY_A_SHA256
        || attributes == HIGH && policy == POLICY_B_SHA256
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Name, policy_digest::PolicyDigest};

    /// `PolicyB` from its parts: `PolicyA`, or the policy in the NV index that the profile reserves for it, which
    /// anybody reads and only `PolicyA` writes.
    #[test]
    fn the_policies_are_those_of_the_profile() {
        for (hash, index, policy_b) in [
            (HashAlg::Sha256, 0x01c0_7f01_u32, &POLICY_B_SHA256[..]),
            (HashAlg::Sha384, 0x01c0_7f02, &POLICY_B_SHA384),
        ] {
            let a = PolicyDigest::new(hash).secret(&0x4000_000b_u32.to_be_bytes());
            if hash == HashAlg::Sha256 {
                assert_eq!(a.bytes(), POLICY_A_SHA256);
            }
            // TPMS_NV_PUBLIC: index, name algorithm, attributes, policy, size (a hash and its algorithm).
            let mut public = index.to_be_bytes().to_vec();
            public.extend(hash.id().to_be_bytes());
            public.extend(0x220f_1008_u32.to_be_bytes());
            public.put_sized(a.bytes());
            public.extend(
                u16::try_from(hash.size() + 2)
                    .unwrap_or_default()
                    .to_be_bytes(),
            );
            let name = Name::of(hash, &[&public]);
            let c = PolicyDigest::new(hash).authorized_by_nv(name.bytes());
            let b = PolicyDigest::any_of(hash, &[a, c]);
            assert_eq!(b.bytes(), policy_b, "{hash:?}");
        }
    }

    /// An RSA key of template L-1 with this modulus.
    fn rsa(n: Vec<u8>) -> PublicArea {
        let mut public = vec![0x00, 0x01, 0x00, 0x0b];
        public.extend(LOW.to_be_bytes());
        let policy = PolicyDigest::new(HashAlg::Sha256).secret(&0x4000_000b_u32.to_be_bytes());
        public.put_sized(policy.bytes());
        // AES-128 in CFB mode, no scheme, 2048 bits, the usual exponent.
        public.extend([0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10]);
        public.extend([0x08, 0x00, 0x00, 0x00, 0x00, 0x00]);
        public.put_sized(&n);
        PublicArea::parse(&public).expect("it is whole")
    }

    #[test]
    fn an_rsa_key_with_the_roca_fingerprint_is_refused() {
        let mut sound = vec![0xff; 256];
        sound[255] = 0xfd;
        check(&rsa(sound)).expect("it is of template L-1");
        // 1 is a power of 65537 modulo each of the primes, and so is 1 + k times their product.
        let product: u128 = roca::PRIMES.iter().map(|&it| u128::from(it)).product();
        let mut faulty = vec![0; 256];
        faulty[..16].copy_from_slice(&(product << product.leading_zeros()).to_be_bytes());
        faulty[255] = 1;
        let refused = check(&rsa(faulty)).expect_err("it has the fingerprint");
        assert_eq!(
            refused.to_string(),
            "proof refused: the endorsement key can be computed from its public half (ROCA)"
        );
    }
}
