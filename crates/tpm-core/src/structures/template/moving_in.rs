//! Keys that were made outside of the chip, and the key through which they come in.

use tss_esapi::attributes::ObjectAttributesBuilder;

use super::{StorageKind, builder, signing, storage_attributes, storage_key, without_unique};
use crate::{
    KeyType, Result, Usage,
    command::{
        CommandCode,
        policy::{Branch, PolicyDigest, any_of},
    },
};

/// The arrival key of a token: a storage key below the token key, which imports keys and loads
/// them, and does nothing else.
///
/// Only its policy ([`arrival_policy`]) authorizes its use, and not its authorization value. So
/// `TPM2_Rewrap`, which would return the keys that were wrapped for it in the clear, is refused.
pub(crate) fn arrival_key(kind: StorageKind) -> Result<Vec<u8>> {
    let attributes = storage_attributes().with_no_da(true);
    storage_key(kind, attributes, &arrival_policy())
}

/// The beginning of the public area of each arrival key of this kind: all but its public key.
pub(crate) fn arrival_key_head(kind: StorageKind) -> Result<Vec<u8>> {
    let mut template = arrival_key(kind)?;
    template.truncate(template.len() - kind.empty_unique());
    Ok(template)
}

/// The beginning of the public area of each imported key of this kind: all but its public key.
///
/// `fixedTPM` and `fixedParent` cannot be set in such a key (`TPM2_Import` refuses them), so its
/// policy keeps it in the chip: `TPM2_Duplicate` needs a policy that allows Duplicate, and this one
/// allows only Sign. Signing itself needs no policy (`userWithAuth`).
pub(crate) fn imported_key_head(key_type: KeyType, usage: Usage) -> Result<Vec<u8>> {
    let attributes = ObjectAttributesBuilder::new()
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(true)
        .with_decrypt(usage.decrypt);
    let template = signing(key_type, builder(attributes, &imported_policy())?)?;
    Ok(without_unique(template, key_type))
}

/// The ways to use an arrival key: one command each.
pub(crate) fn arrival_branches() -> [Branch; 2] {
    [CommandCode::Import, CommandCode::Load].map(|code| Branch::new().command(code))
}

/// The policy of every arrival key: the same in all tokens, so that others can check it.
pub(crate) fn arrival_policy() -> PolicyDigest {
    any_of(&arrival_branches())
}

/// The policy of every imported key.
pub(crate) fn imported_policy() -> PolicyDigest {
    Branch::new().command(CommandCode::Sign).digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structures::template::tests::hex;

    /// Byte by byte, because verifiers compare them with their own copies.
    #[test]
    fn the_templates_of_moving_in_are_what_they_were() {
        const ARRIVAL: &str = "1e7626a5d4b685cbb04936a0fdcc77b8a3ca3c37f42ad40482bcf27534dd887f";
        const IMPORTED: &str = "cc6918b226273b08f5bd406d7f10cf160f0a7d13dfd83b7770ccbcd1aa80d811";
        let symmetric = "000600800043";
        assert_eq!(
            hex(&arrival_key_head(StorageKind::EccP256).unwrap()),
            format!("0023000b000304320020{ARRIVAL}{symmetric}001000030010")
        );
        assert_eq!(
            hex(&arrival_key_head(StorageKind::Rsa2048).unwrap()),
            format!("0001000b000304320020{ARRIVAL}{symmetric}0010080000000000")
        );
        assert_eq!(
            hex(&imported_key_head(KeyType::EccP256, Usage::SIGN).unwrap()),
            format!("0023000b000404400020{IMPORTED}0010001000030010")
        );
        assert_eq!(
            hex(&imported_key_head(KeyType::EccP384, Usage::SIGN_DECRYPT).unwrap()),
            format!("0023000b000604400020{IMPORTED}0010001000040010")
        );
        assert_eq!(
            hex(&imported_key_head(KeyType::Rsa3072, Usage::SIGN).unwrap()),
            format!("0001000b000404400020{IMPORTED}001000100c0000000000")
        );
    }

    /// An imported key has none of the attributes that only a key from a chip may have, and a policy
    /// that allows only Sign.
    #[test]
    fn an_imported_key_claims_nothing_and_is_locked_by_its_policy() {
        for key_type in KeyType::ALL {
            for usage in [Usage::SIGN, Usage::SIGN_DECRYPT] {
                let head = imported_key_head(key_type, usage).unwrap();
                let attributes = u32::from_be_bytes(head[4..8].try_into().unwrap());
                assert_eq!(attributes & 0x32, 0, "{attributes:#x}");
                assert_eq!(head[8..10], [0, 32]);
                assert_eq!(head[10..42], imported_policy());
            }
        }
    }
}
