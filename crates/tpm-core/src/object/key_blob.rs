//! Keys in their stored form, and the checks before each load.

use std::{collections::HashMap, sync::OnceLock};

use tpm_wire::Reader;

use crate::{
    ArrivalKey, Blob, Error, KeyType, Name, PublicKey, Result, Usage,
    structures::{attributes, template},
};

/// Where a key was made, as its public area says and the chip enforces.
///
/// `fixedTPM` and `fixedParent` tell the two apart: the chip binds the private part to the public
/// area, and refuses to import a key that has one of them set. `sensitiveDataOrigin` does not: the
/// chip imports keys that have it set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// In this chip: there is no copy.
    Chip,
    /// Outside: a copy of it from before the import can still be used.
    Outside,
}

impl Origin {
    /// The origin that the attributes of `blob` claim. It is not checked here:
    /// [`KeyBlob::parse`] checks a key of the chip, [`KeyBlob::parse_imported`] one from outside.
    #[must_use]
    pub fn claimed_by(blob: &Blob) -> Self {
        const FIXED: u32 = attributes::FIXED_TPM | attributes::FIXED_PARENT;
        match attributes_of(blob) {
            Ok(attributes) if attributes & FIXED == 0 => Self::Outside,
            _ => Self::Chip,
        }
    }

    /// The word for it, for programs: `born-here` or `imported`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chip => "born-here",
            Self::Outside => "imported",
        }
    }
}

/// A signing key in its stored form. Its public area is checked without the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBlob {
    blob: Blob,
    public: PublicKey,
    key_type: KeyType,
    usage: Usage,
    name: Name,
    /// The parent of a key that was made outside.
    arrival: Option<ArrivalKey>,
}

impl KeyBlob {
    /// Checks that `blob` is a key such as this crate creates.
    ///
    /// The whole public area (attributes, policy, schemes) except for the public key itself is
    /// compared with the template. A key that could leave the chip is refused before it is sent to
    /// the chip. The key's [`Origin`] is [`Origin::Chip`].
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] with the reason; [`Error::Malformed`] if it is not a key.
    pub fn parse(blob: Blob) -> Result<Self> {
        let attributes = attributes_of(&blob)?;
        refuse_what_can_leave(attributes)?;
        Self::compare(blob, attributes, None)
    }

    /// Checks that `blob` is a key exactly as [`TokenKey::import`](crate::TokenKey::import) makes it,
    /// below `arrival`. Its [`Origin`] is [`Origin::Outside`].
    ///
    /// # Errors
    ///
    /// As for [`KeyBlob::parse`]. A key that was made in a chip is refused as well.
    pub fn parse_imported(blob: Blob, arrival: &ArrivalKey) -> Result<Self> {
        let attributes = attributes_of(&blob)?;
        refuse_false_claims(attributes, &blob)?;
        Self::compare(blob, attributes, Some(arrival.clone()))
    }

    /// Compares `blob` with the template of keys that are below `arrival`, or below the token key.
    fn compare(blob: Blob, attributes: u32, arrival: Option<ArrivalKey>) -> Result<Self> {
        blob.check_private()?;
        let public = PublicKey::from_public_area(&blob.public)?;
        let key_type = public
            .key_type()
            .ok_or(Error::KeyRefused("its size is not 2048 or 3072 bits"))?;
        let usage = Usage {
            decrypt: attributes & attributes::DECRYPT != 0,
        };
        let head = head(key_type, usage, origin(arrival.as_ref()))?;
        if !blob.public.starts_with(head) {
            return Err(Error::KeyRefused(
                "its attributes or policy are not those of a signing key",
            ));
        }
        let name = blob.name();
        Ok(Self {
            blob,
            public,
            key_type,
            usage,
            name,
            arrival,
        })
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The type of the key.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// What it may be used for.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Its Name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where it was made.
    #[must_use]
    pub fn origin(&self) -> Origin {
        origin(self.arrival.as_ref())
    }

    /// The parent of a key that was made outside; the others are below the token key itself.
    #[must_use]
    pub fn arrival(&self) -> Option<&ArrivalKey> {
        self.arrival.as_ref()
    }

    /// The bytes to store.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }
}

fn origin(arrival: Option<&ArrivalKey>) -> Origin {
    match arrival {
        None => Origin::Chip,
        Some(_) => Origin::Outside,
    }
}

/// The beginning of the public area of each key of this kind: all but its public key.
///
/// All of them are made with the first, because a program that lists its keys compares each of them.
fn head(key_type: KeyType, usage: Usage, origin: Origin) -> Result<&'static [u8]> {
    type Kind = (KeyType, Usage, Origin);
    static HEADS: OnceLock<HashMap<Kind, Vec<u8>>> = OnceLock::new();
    let make = || -> Result<_> {
        let mut heads = HashMap::new();
        for key_type in KeyType::ALL {
            for usage in [Usage::SIGN, Usage::SIGN_DECRYPT] {
                let signing = template::signing_key_head(key_type, usage)?;
                heads.insert((key_type, usage, Origin::Chip), signing);
                let imported = template::imported_key_head(key_type, usage)?;
                heads.insert((key_type, usage, Origin::Outside), imported);
            }
        }
        Ok(heads)
    };
    let heads = match HEADS.get() {
        Some(heads) => heads,
        None => {
            let made = make()?;
            HEADS.get_or_init(|| made)
        }
    };
    let head = heads.get(&(key_type, usage, origin));
    head.map(Vec::as_slice)
        .ok_or(Error::Malformed("key template"))
}

/// The attributes of a public area.
fn attributes_of(blob: &Blob) -> Result<u32> {
    let mut reader = Reader::new(&blob.public, "public area");
    reader.take(4)?;
    Ok(reader.u32()?)
}

/// Refuses the attributes that have an error message of their own. The comparison with the template
/// finds all other differences.
fn refuse_what_can_leave(attributes: u32) -> Result<()> {
    let refuse = |why| Err(Error::KeyRefused(why));
    if attributes & attributes::FIXED_TPM == 0 || attributes & attributes::FIXED_PARENT == 0 {
        return refuse("it can be duplicated out of the TPM");
    }
    if attributes & attributes::SENSITIVE_DATA_ORIGIN == 0 {
        return refuse("it was made outside of the TPM");
    }
    if attributes & attributes::RESTRICTED != 0 || attributes & attributes::SIGN == 0 {
        return refuse("it is not a key for signing");
    }
    Ok(())
}

/// Refuses the attributes and policies of an imported key that have an error message of their own.
fn refuse_false_claims(attributes: u32, blob: &Blob) -> Result<()> {
    let refuse = |why| Err(Error::KeyRefused(why));
    if attributes & (attributes::FIXED_TPM | attributes::FIXED_PARENT) != 0 {
        return refuse("it is not an imported key");
    }
    let mut reader = Reader::new(&blob.public, "public area");
    reader.take(8)?;
    // With an empty policy, a single rule of the specification forbids TPM2_Duplicate (part 1,
    // section 19.7). This policy allows only another command, so no session can satisfy it for
    // TPM2_Duplicate.
    if reader.sized()? != template::imported_policy() {
        return refuse("it can be duplicated out of the TPM");
    }
    if attributes & attributes::SENSITIVE_DATA_ORIGIN != 0 {
        return refuse("it says that it was made in a TPM, and was not");
    }
    if attributes & attributes::RESTRICTED != 0 || attributes & attributes::SIGN == 0 {
        return refuse("it is not a key for signing");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tpm_wire::Put;

    use super::*;
    use crate::structures::template::StorageKind;

    /// The generator of P-256 (SEC 2, section 2.4.2): a point that is on the curve.
    const X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    const Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

    /// Every bit of `TPMA_OBJECT` that the specification defines (part 2, section 8.3.2).
    const DEFINED: [u32; 12] = [1, 2, 4, 5, 6, 7, 10, 11, 16, 17, 18, 19];

    fn unhex(text: &str) -> Vec<u8> {
        base16ct::lower::decode_vec(text).unwrap()
    }

    /// A key on P-256 with these attributes and this policy.
    fn key(attributes: u32, policy: &[u8]) -> Blob {
        let mut public = vec![0x00, 0x23, 0x00, 0x0b];
        public.put_u32(attributes);
        public.put_sized(policy);
        public.extend([0x00, 0x10, 0x00, 0x10, 0x00, 0x03, 0x00, 0x10]);
        public.put_sized(&unhex(X));
        public.put_sized(&unhex(Y));
        Blob {
            public,
            private: vec![0; 100],
        }
    }

    fn arrival() -> ArrivalKey {
        let mut public = template::arrival_key_head(StorageKind::EccP256).unwrap();
        public.put_sized(&unhex(X));
        public.put_sized(&unhex(Y));
        let private = vec![0; 100];
        ArrivalKey::from_blob(Blob { public, private }).unwrap()
    }

    /// The origin of a key with these attributes and this policy, by the parser that takes it.
    fn origin(attributes: u32, policy: &[u8], arrival: &ArrivalKey) -> Option<Origin> {
        let blob = key(attributes, policy);
        let born = KeyBlob::parse(blob.clone()).map(|key| key.origin()).ok();
        let imported = KeyBlob::parse_imported(blob.clone(), arrival);
        let imported = imported.map(|key| key.origin()).ok();
        assert!(born.is_none() || imported.is_none(), "{attributes:#x}");
        let found = born.or(imported);
        assert!(found.is_none_or(|origin| origin == Origin::claimed_by(&blob)));
        found
    }

    /// The four that this crate makes: born here and imported, each for signing alone and also for
    /// decrypting.
    fn expected(attributes: u32, policy: &[u8]) -> Option<Origin> {
        match attributes {
            0x0004_0472 | 0x0006_0472 if policy.is_empty() => Some(Origin::Chip),
            0x0004_0440 | 0x0006_0440 if policy == template::imported_policy() => {
                Some(Origin::Outside)
            }
            _ => None,
        }
    }

    fn policies() -> [Vec<u8>; 4] {
        [
            Vec::new(),
            template::imported_policy().to_vec(),
            template::arrival_policy().to_vec(),
            vec![0; 32],
        ]
    }

    #[test]
    fn of_all_attribute_words_four_parse_each_as_its_origin() {
        let arrival = arrival();
        let mut found = 0;
        for bits in 0..1_u32 << DEFINED.len() {
            let set = (0..DEFINED.len()).filter(|i| bits >> i & 1 == 1);
            let attributes = set.map(|i| 1 << DEFINED[i]).sum();
            for policy in policies() {
                let origin = origin(attributes, &policy, &arrival);
                assert_eq!(origin, expected(attributes, &policy), "{attributes:#x}");
                found += usize::from(origin.is_some());
            }
        }
        assert_eq!(found, 4);
    }

    #[test]
    fn what_lies_between_the_two_origins_is_refused_with_a_reason() {
        let arrival = arrival();
        let policy = template::imported_policy();
        let why = |attributes, policy: &[u8]| {
            let blob = key(attributes, policy);
            let parsed = match Origin::claimed_by(&blob) {
                Origin::Chip => KeyBlob::parse(blob),
                Origin::Outside => KeyBlob::parse_imported(blob, &arrival),
            };
            parsed.unwrap_err().to_string()
        };
        let leaves = "key refused: it can be duplicated out of the TPM";
        assert_eq!(why(0x0004_0440, &[]), leaves);
        assert_eq!(why(0x0004_0440, &[1; 32]), leaves);
        assert_eq!(why(0x0004_0442, &policy), leaves, "fixedTPM alone");
        assert_eq!(why(0x0004_0450, &policy), leaves, "fixedParent alone");
        assert_eq!(
            why(0x0004_0460, &policy),
            "key refused: it says that it was made in a TPM, and was not"
        );
        assert_eq!(
            why(0x0004_0452, &[]),
            "key refused: it was made outside of the TPM"
        );
        let other = "key refused: its attributes or policy are not those of a signing key";
        assert_eq!(why(0x0004_0c40, &policy), other, "encryptedDuplication");
        assert_eq!(
            why(0x0005_0440, &policy),
            "key refused: it is not a key for signing"
        );
        let imported = KeyBlob::parse_imported(key(0x0004_0472, &[]), &arrival);
        assert_eq!(
            imported.unwrap_err().to_string(),
            "key refused: it is not an imported key"
        );
    }

    proptest! {
        #[test]
        fn any_attribute_word_is_taken_as_what_this_crate_makes_or_not_at_all(
            word in any::<u32>(),
            near in prop::sample::select(vec![0x0004_0472_u32, 0x0006_0472, 0x0004_0440, 0x0006_0440]),
            flips in any::<u32>(),
            mask in any::<u32>(),
            policy in prop_oneof![
                prop::sample::select(policies().to_vec()),
                prop::collection::vec(any::<u8>(), 0..40),
            ],
        ) {
            let arrival = arrival();
            for attributes in [word, near, near ^ (flips & mask), near ^ 1 << (flips % 32)] {
                prop_assert_eq!(
                    origin(attributes, &policy, &arrival),
                    expected(attributes, &policy)
                );
            }
        }
    }
}
