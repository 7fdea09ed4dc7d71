//! The structures in parameters whose parts depend on an algorithm or another selector.
//!
//! # Source
//!
//! Part 2 of the TPM 2.0 Library Specification; each function names its section.

use super::{
    field::{Content, Field},
    reader::{Part, Reader, Type},
};

/// `TPMS_ECC_POINT`.
pub(super) const POINT: &[Part] = &[("x", Type::Buffer), ("y", Type::Buffer)];

const ALG_RSA: u64 = 0x0001;
const ALG_HMAC: u64 = 0x0005;
const ALG_KEYED_HASH: u64 = 0x0008;
const ALG_XOR: u64 = 0x000a;
const ALG_NULL: u64 = 0x0010;
const ALG_RSAES: u64 = 0x0015;
const ALG_ECDAA: u64 = 0x001a;
const ALG_ECC: u64 = 0x0023;
const ALG_SYMMETRIC: u64 = 0x0025;

/// A list of fields, to which the read fields are added.
struct Fields(Vec<Field>);

impl Fields {
    fn add(&mut self, field: Option<Field>) -> Option<u64> {
        let field = field?;
        let value = field.value();
        let number = Reader(&value).value(value.len().min(8));
        self.0.push(field);
        number
    }
}

/// `TPMT_PUBLIC` (section 12.2.4).
pub(super) fn public(reader: &mut Reader<'_>) -> Option<Vec<Field>> {
    let mut fields = Fields(Vec::new());
    let kind = fields.add(reader.number("type", 2))?;
    fields.add(reader.number("nameAlg", 2))?;
    fields.add(reader.flags("objectAttributes", 4))?;
    fields.add(reader.buffer("authPolicy"))?;
    parameters(reader, &mut fields, kind)?;
    let unique = if kind == ALG_ECC {
        reader.field("unique", Type::Structure(POINT))
    } else {
        reader.buffer("unique")
    };
    fields.add(unique)?;
    Some(fields.0)
}

/// `TPMT_PUBLIC_PARMS` (section 12.2.3.8).
pub(super) fn public_parameters(reader: &mut Reader<'_>) -> Option<Vec<Field>> {
    let mut fields = Fields(Vec::new());
    let kind = fields.add(reader.number("type", 2))?;
    parameters(reader, &mut fields, kind)?;
    Some(fields.0)
}

/// `TPMU_PUBLIC_PARMS` (section 12.2.3.7).
fn parameters(reader: &mut Reader<'_>, fields: &mut Fields, kind: u64) -> Option<()> {
    match kind {
        ALG_RSA | ALG_ECC => {
            fields.add(reader.field("symmetric", Type::Union(symmetric)))?;
            fields.add(reader.field("scheme", Type::Union(scheme)))?;
            if kind == ALG_RSA {
                fields.add(reader.number("keyBits", 2))?;
                fields.add(reader.number("exponent", 4))?;
            } else {
                fields.add(reader.number("curveID", 2))?;
                fields.add(reader.field("kdf", Type::Union(scheme)))?;
            }
        }
        ALG_KEYED_HASH => {
            let alg = fields.add(reader.number("scheme", 2))?;
            if alg != ALG_NULL {
                fields.add(reader.number("hashAlg", 2))?;
            }
            if alg == ALG_XOR {
                fields.add(reader.number("kdf", 2))?;
            }
        }
        ALG_SYMMETRIC => {
            fields.add(reader.field("symmetric", Type::Union(symmetric)))?;
        }
        _ => return None,
    }
    Some(())
}

/// `TPMT_SYM_DEF` and `TPMT_SYM_DEF_OBJECT` (section 11.1.6).
pub(super) fn symmetric(reader: &mut Reader<'_>) -> Option<Vec<Field>> {
    let mut fields = Fields(Vec::new());
    match fields.add(reader.number("algorithm", 2))? {
        ALG_NULL => {}
        ALG_XOR => drop(fields.add(reader.number("hashAlg", 2))?),
        _ => {
            fields.add(reader.number("keyBits", 2))?;
            fields.add(reader.number("mode", 2))?;
        }
    }
    Some(fields.0)
}

/// `TPMT_SIG_SCHEME`, `TPMT_ASYM_SCHEME`, `TPMT_RSA_DECRYPT`, `TPMT_KDF_SCHEME` (section 11.2).
pub(super) fn scheme(reader: &mut Reader<'_>) -> Option<Vec<Field>> {
    let mut fields = Fields(Vec::new());
    let alg = fields.add(reader.number("scheme", 2))?;
    if !matches!(alg, ALG_NULL | ALG_RSAES) {
        fields.add(reader.number("hashAlg", 2))?;
    }
    if alg == ALG_ECDAA {
        fields.add(reader.number("count", 2))?;
    }
    Some(fields.0)
}

/// `TPMT_SIGNATURE` (section 11.3.4).
pub(super) fn signature(reader: &mut Reader<'_>) -> Option<Vec<Field>> {
    let mut fields = Fields(Vec::new());
    let alg = fields.add(reader.number("sigAlg", 2))?;
    if alg == ALG_NULL {
        return Some(fields.0);
    }
    let hash = fields.add(reader.number("hash", 2))?;
    match alg {
        ALG_HMAC => {
            let digest = reader.take(digest_size(hash)?)?.to_vec();
            fields.0.push(Field::new("digest", Content::Raw(digest)));
        }
        0x0014 | 0x0016 => drop(fields.add(reader.buffer("sig"))?),
        0x0018 | ALG_ECDAA | 0x001b | 0x001c => {
            fields.add(reader.buffer("signatureR"))?;
            fields.add(reader.buffer("signatureS"))?;
        }
        _ => return None,
    }
    Some(fields.0)
}

/// `TPMS_PCR_SELECTION` (section 10.6.2).
pub(super) fn pcr_selection(reader: &mut Reader<'_>) -> Option<Vec<Field>> {
    let hash = reader.number("hash", 2)?;
    let size = reader.number("sizeofSelect", 1)?;
    let select = reader.take(usize::try_from(size.number()).ok()?)?.to_vec();
    Some(vec![
        hash,
        size,
        Field::new("pcrSelect", Content::Raw(select)),
    ])
}

/// `TPMT_HA` (section 10.3.2).
pub(super) fn digest(reader: &mut Reader<'_>) -> Option<Vec<Field>> {
    let hash = reader.number("hashAlg", 2)?;
    let digest = reader.take(digest_size(hash.number())?)?.to_vec();
    Some(vec![hash, Field::new("digest", Content::Raw(digest))])
}

fn digest_size(hash: u64) -> Option<usize> {
    Some(match hash {
        0x0004 => 20,
        0x000b | 0x0012 => 32,
        0x000c => 48,
        0x000d => 64,
        _ => return None,
    })
}

/// `TPMS_CAPABILITY_DATA` (section 10.10.2).
pub(super) fn capability(reader: &mut Reader<'_>) -> Option<Vec<Field>> {
    const ALGORITHM: Type = Type::Structure(&[("alg", Type::U16), ("algProperties", Type::Flags)]);
    const PROPERTY: Type = Type::Structure(&[("property", Type::U32), ("value", Type::U32)]);
    const SELECTION: Type = Type::Union(pcr_selection);
    const PCR_PROPERTY: Type =
        Type::Structure(&[("tag", Type::U32), ("select", Type::Union(select))]);
    let capability = reader.number("capability", 4)?;
    let elements = match capability.number() {
        0 => &ALGORITHM,
        // TPMA_CC has flags, TPM_CC and TPM_HANDLE are numbers.
        1 | 3 | 4 => &Type::U32,
        2 => &Type::Flags,
        5 => &SELECTION,
        6 => &PROPERTY,
        7 => &PCR_PROPERTY,
        8 => &Type::U16,
        _ => return None,
    };
    Some(vec![
        capability,
        reader.field("data", Type::List(elements))?,
    ])
}

/// The end of `TPMS_TAGGED_PCR_SELECT` (section 10.8.2).
fn select(reader: &mut Reader<'_>) -> Option<Vec<Field>> {
    let size = reader.number("sizeofSelect", 1)?;
    let select = reader.take(usize::try_from(size.number()).ok()?)?.to_vec();
    Some(vec![size, Field::new("pcrSelect", Content::Raw(select))])
}
