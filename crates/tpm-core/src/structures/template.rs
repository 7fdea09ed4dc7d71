//! The public areas of the objects that this crate creates.
//!
//! A stored key is compared with its template byte by byte before it is loaded, so no object that
//! differs from these templates is loaded.

mod endorsement;
mod moving_in;

use tpm_wire::{Put, algorithm};
use tss_esapi::{
    attributes::ObjectAttributesBuilder,
    interface_types::{
        algorithm::{HashingAlgorithm, PublicAlgorithm},
        ecc::EccCurve,
        key_bits::RsaKeyBits,
    },
    structures::{
        Digest, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, KeyedHashScheme,
        Public, PublicBuilder, PublicEccParameters, PublicKeyRsa, PublicKeyedHashParameters,
        PublicRsaParameters, RsaExponent, RsaScheme, SymmetricDefinitionObject,
    },
    traits::Marshall,
};

#[cfg(test)]
pub(crate) use self::moving_in::arrival_policy;
pub(crate) use self::{
    endorsement::endorsement_key,
    moving_in::{
        arrival_branches, arrival_key, arrival_key_head, imported_key_head, imported_policy,
    },
};
use crate::{Error, KeyType, Result, Usage, structures::kinds::Curve};

/// How a token key is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Only by a policy: `userWithAuth` is clear, and the chip's dictionary-attack logic does not
    /// protect it.
    Policy,
    /// By its authorization value, which the chip's dictionary-attack logic protects. Changing the
    /// value needs its policy.
    Auth,
    /// By nothing.
    Nothing,
}

/// Whether the chip's dictionary-attack logic counts wrong authorization values of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tries {
    /// They are counted, for values that are derived from a PIN.
    Counted,
    /// They are not counted, for random values, which cannot be guessed, and for empty ones.
    Uncounted,
}

/// The algorithm of a storage key, a parent of other keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorageKind {
    /// ECC on P-256, which is quick to make.
    EccP256,
    /// RSA-2048, for chips without elliptic curves.
    Rsa2048,
}

impl StorageKind {
    /// The algorithm of a `TPMT_PUBLIC`, from its first field.
    pub(crate) fn of_public(public: &[u8]) -> Self {
        if public.starts_with(&algorithm::RSA.to_be_bytes()) {
            Self::Rsa2048
        } else {
            Self::EccP256
        }
    }

    /// Whether it is RSA.
    pub(crate) fn is_rsa(self) -> bool {
        self == Self::Rsa2048
    }

    /// The length of the empty public key at the end of a template, in bytes: one 16-bit length for
    /// RSA, two for ECC.
    fn empty_unique(self) -> usize {
        match self {
            Self::EccP256 => 4,
            Self::Rsa2048 => 2,
        }
    }
}

/// The storage root key of the TCG's template: ECC P-256 with an empty `unique`, as systemd
/// makes it, or RSA-2048 with one of zeros, as Windows does.
///
/// # Source
///
/// TCG TPM v2.0 Provisioning Guidance, section 7.5.1; TCG EK Credential Profile, templates H-1
/// and H-2.
pub(crate) fn storage_root_key(kind: StorageKind) -> Result<Vec<u8>> {
    let attributes = storage_attributes()
        .with_user_with_auth(true)
        .with_no_da(true);
    let mut template = storage_key(kind, attributes, &[])?;
    if kind.is_rsa() {
        template.truncate(template.len() - kind.empty_unique());
        template.put_sized(&[0; 256]);
    }
    Ok(template)
}

/// A token key, the parent of a token's signing keys, protected by `guard`, with the policy digest
/// `policy`.
pub(crate) fn token_key(kind: StorageKind, guard: Guard, policy: &[u8]) -> Result<Vec<u8>> {
    let attributes = storage_attributes();
    let attributes = match guard {
        Guard::Policy => attributes.with_admin_with_policy(true).with_no_da(true),
        Guard::Auth => attributes
            .with_user_with_auth(true)
            .with_admin_with_policy(true),
        Guard::Nothing => attributes.with_user_with_auth(true).with_no_da(true),
    };
    storage_key(kind, attributes, policy)
}

/// The beginning of the public area of each such token key: all but its public key.
pub(crate) fn token_key_head(kind: StorageKind, guard: Guard, policy: &[u8]) -> Result<Vec<u8>> {
    let mut template = token_key(kind, guard, policy)?;
    template.truncate(template.len() - kind.empty_unique());
    Ok(template)
}

/// An attestation key, which signs only data that the chip itself has made.
pub(crate) fn attestation_key(kind: StorageKind) -> Result<Vec<u8>> {
    let attributes = fixed_attributes()
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_sign_encrypt(true);
    let builder = builder(attributes, &[])?;
    let hash = HashScheme::new(HashingAlgorithm::Sha256);
    let none = SymmetricDefinitionObject::Null;
    marshal(match kind {
        StorageKind::EccP256 => builder
            .with_public_algorithm(PublicAlgorithm::Ecc)
            .with_ecc_parameters(PublicEccParameters::new(
                none,
                EccScheme::EcDsa(hash),
                EccCurve::NistP256,
                KeyDerivationFunctionScheme::Null,
            ))
            .with_ecc_unique_identifier(EccPoint::default()),
        StorageKind::Rsa2048 => builder
            .with_public_algorithm(PublicAlgorithm::Rsa)
            .with_rsa_parameters(PublicRsaParameters::new(
                none,
                RsaScheme::RsaSsa(hash),
                RsaKeyBits::Rsa2048,
                RsaExponent::default(),
            ))
            .with_rsa_unique_identifier(PublicKeyRsa::default()),
    })
}

/// The beginning of the public area of each attestation key of this kind: all but its public key.
pub(crate) fn attestation_key_head(kind: StorageKind) -> Result<Vec<u8>> {
    let mut template = attestation_key(kind)?;
    template.truncate(template.len() - kind.empty_unique());
    Ok(template)
}

/// A signing key, which also decrypts (RSA) or agrees on secrets (ECC) if `usage` has that.
///
/// It has no authorization value, because its parent protects it. Its scheme is null, so each
/// signature names its own scheme.
pub(crate) fn signing_key(key_type: KeyType, usage: Usage) -> Result<Vec<u8>> {
    let attributes = fixed_attributes()
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(true)
        .with_decrypt(usage.decrypt);
    signing(key_type, builder(attributes, &[])?)
}

/// A key without schemes of its own.
fn signing(key_type: KeyType, builder: PublicBuilder) -> Result<Vec<u8>> {
    marshal(match key_type {
        KeyType::Rsa2048 => rsa(
            builder,
            SymmetricDefinitionObject::Null,
            RsaKeyBits::Rsa2048,
        ),
        KeyType::Rsa3072 => rsa(
            builder,
            SymmetricDefinitionObject::Null,
            RsaKeyBits::Rsa3072,
        ),
        KeyType::EccP256 => ecc(builder, SymmetricDefinitionObject::Null, Curve::P256),
        KeyType::EccP384 => ecc(builder, SymmetricDefinitionObject::Null, Curve::P384),
        KeyType::EccP521 => ecc(builder, SymmetricDefinitionObject::Null, Curve::P521),
    })
}

/// The beginning of the public area of each signing key of this kind: all but its public key.
pub(crate) fn signing_key_head(key_type: KeyType, usage: Usage) -> Result<Vec<u8>> {
    Ok(without_unique(signing_key(key_type, usage)?, key_type))
}

/// A sealed object with an authorization value.
pub(crate) fn sealed_object(tries: Tries) -> Result<Vec<u8>> {
    let attributes = fixed_attributes()
        .with_user_with_auth(true)
        .with_no_da(tries == Tries::Uncounted);
    marshal(
        builder(attributes, &[])?
            .with_public_algorithm(PublicAlgorithm::KeyedHash)
            .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
            .with_keyed_hash_unique_identifier(Digest::default()),
    )
}

/// The error for a template that tss-esapi's builders refuse. They refuse none of these.
const INVALID: Error = Error::Malformed("key template");

/// Cuts off the empty public key: one length, or two.
fn without_unique(mut template: Vec<u8>, key_type: KeyType) -> Vec<u8> {
    template.truncate(template.len() - if key_type.is_rsa() { 2 } else { 4 });
    template
}

fn fixed_attributes() -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
}

fn storage_attributes() -> ObjectAttributesBuilder {
    fixed_attributes()
        .with_sensitive_data_origin(true)
        .with_restricted(true)
        .with_decrypt(true)
}

fn storage_key(
    kind: StorageKind,
    attributes: ObjectAttributesBuilder,
    policy: &[u8],
) -> Result<Vec<u8>> {
    let symmetric = SymmetricDefinitionObject::AES_128_CFB;
    let builder = builder(attributes, policy)?;
    marshal(match kind {
        StorageKind::EccP256 => ecc(builder, symmetric, Curve::P256),
        StorageKind::Rsa2048 => rsa(builder, symmetric, RsaKeyBits::Rsa2048),
    })
}

fn builder(attributes: ObjectAttributesBuilder, policy: &[u8]) -> Result<PublicBuilder> {
    Ok(PublicBuilder::new()
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes.build().map_err(|_| INVALID)?)
        .with_auth_policy(Digest::try_from(policy).map_err(|_| INVALID)?))
}

fn ecc(
    builder: PublicBuilder,
    symmetric: SymmetricDefinitionObject,
    curve: Curve,
) -> PublicBuilder {
    let curve = match curve {
        Curve::P256 => EccCurve::NistP256,
        Curve::P384 => EccCurve::NistP384,
        Curve::P521 => EccCurve::NistP521,
    };
    let kdf = KeyDerivationFunctionScheme::Null;
    builder
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_ecc_parameters(PublicEccParameters::new(
            symmetric,
            EccScheme::Null,
            curve,
            kdf,
        ))
        .with_ecc_unique_identifier(EccPoint::default())
}

fn rsa(
    builder: PublicBuilder,
    symmetric: SymmetricDefinitionObject,
    bits: RsaKeyBits,
) -> PublicBuilder {
    let exponent = RsaExponent::default();
    builder
        .with_public_algorithm(PublicAlgorithm::Rsa)
        .with_rsa_parameters(PublicRsaParameters::new(
            symmetric,
            RsaScheme::Null,
            bits,
            exponent,
        ))
        .with_rsa_unique_identifier(PublicKeyRsa::default())
}

fn marshal(builder: PublicBuilder) -> Result<Vec<u8>> {
    builder
        .build()
        .and_then(|public: Public| public.marshall())
        .map_err(|_| INVALID)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn hex(bytes: &[u8]) -> String {
        base16ct::lower::encode_string(bytes)
    }

    /// Each template, byte by byte: type, name algorithm, attributes, policy, symmetric,
    /// scheme, curve or size, kdf or exponent, unique (Part 2, section 12.2.4).
    #[test]
    fn templates_are_what_they_were() {
        let policy = [0xaa; 32];
        let aa = "aa".repeat(32);
        assert_eq!(
            hex(&storage_root_key(StorageKind::EccP256).unwrap()),
            "0023000b000304720000000600800043001000030010\
             00000000"
        );
        assert_eq!(
            hex(&token_key(StorageKind::EccP256, Guard::Policy, &policy).unwrap()),
            format!("0023000b000304b20020{aa}00060080004300100003001000000000")
        );
        assert_eq!(
            hex(&token_key(StorageKind::EccP256, Guard::Auth, &policy).unwrap()),
            format!("0023000b000300f20020{aa}00060080004300100003001000000000")
        );
        assert_eq!(
            hex(&token_key(StorageKind::EccP256, Guard::Nothing, &[]).unwrap()),
            "0023000b00030472000000060080004300100003001000000000"
        );
        assert_eq!(
            hex(&storage_root_key(StorageKind::Rsa2048).unwrap()),
            format!(
                "0001000b0003047200000006008000430010080000000000{}{}",
                "0100",
                "00".repeat(256)
            )
        );
        assert_eq!(
            hex(&token_key_head(StorageKind::Rsa2048, Guard::Nothing, &[]).unwrap()),
            "0001000b0003047200000006008000430010080000000000"
        );
        assert_eq!(
            hex(&signing_key(KeyType::EccP256, Usage::SIGN).unwrap()),
            "0023000b00040472000000100010000300100000\
             0000"
        );
        assert_eq!(
            hex(&signing_key(KeyType::Rsa2048, Usage::SIGN_DECRYPT).unwrap()),
            "0001000b0006047200000010001008000000000000 00".replace(' ', "")
        );
        assert_eq!(
            hex(&attestation_key(StorageKind::EccP256).unwrap()),
            "0023000b00050472000000100018000b0003001000000000"
        );
        assert_eq!(
            hex(&attestation_key(StorageKind::Rsa2048).unwrap()),
            "0001000b00050472000000100014000b0800000000000000"
        );
        assert_eq!(
            hex(&sealed_object(Tries::Counted).unwrap()),
            "0008000b00000052000000100000"
        );
        assert_eq!(
            hex(&sealed_object(Tries::Uncounted).unwrap()),
            "0008000b00000452000000100000"
        );
    }

    #[test]
    fn nothing_that_is_created_may_be_duplicated() {
        const FIXED: u32 = 0x12;
        let all = [
            storage_root_key(StorageKind::EccP256),
            token_key(StorageKind::EccP256, Guard::Policy, &[0; 32]),
            token_key(StorageKind::EccP256, Guard::Auth, &[0; 32]),
            token_key(StorageKind::EccP256, Guard::Nothing, &[]),
            storage_root_key(StorageKind::Rsa2048),
            token_key(StorageKind::Rsa2048, Guard::Policy, &[0; 32]),
            arrival_key(StorageKind::EccP256),
            arrival_key(StorageKind::Rsa2048),
            signing_key(KeyType::Rsa2048, Usage::SIGN_DECRYPT),
            signing_key(KeyType::EccP521, Usage::SIGN),
            attestation_key(StorageKind::EccP256),
            attestation_key(StorageKind::Rsa2048),
            sealed_object(Tries::Counted),
            sealed_object(Tries::Uncounted),
        ];
        for template in all {
            let template = template.unwrap();
            let attributes = u32::from_be_bytes(template[4..8].try_into().unwrap());
            assert_eq!(attributes & FIXED, FIXED, "{attributes:#x}");
        }
    }
}
