//! The functions that the fuzz targets call. They exist only in builds for fuzzing.

use cryptoki_sys::*;
use tpm_core::{Curve, PublicKey};

use crate::{
    der,
    keys::{derive, generate},
    mechanism::{Mechanism, Parameter},
    object::{
        attribute, create,
        rules::{self, Kind, Purpose},
        template::{Attribute, Template},
    },
};

const KINDS: [Kind; 7] = [
    Kind::Data,
    Kind::Certificate,
    Kind::PublicRsa,
    Kind::PublicEc,
    Kind::PrivateRsa,
    Kind::PrivateEc,
    Kind::Secret,
];

const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

/// Reads bytes as each DER structure of this crate.
///
/// # Panics
///
/// If a value is read that is not in the bytes, or is written in another form than it was read.
pub fn der(bytes: &[u8]) {
    if let Some(found) = der::certificate(bytes) {
        for field in [
            found.serial_number,
            found.issuer,
            found.subject,
            found.public_key_info,
        ] {
            assert!(bytes.windows(field.len()).any(|window| window == field));
        }
    }
    if let Some((hash, digest)) = der::digest_info(bytes) {
        assert_eq!(digest.len(), hash.size());
        assert!(bytes.ends_with(digest));
    }
    if let Some(curve) = der::curve(bytes) {
        assert_eq!(der::curve(der::ec_params(curve)), Some(curve));
    }
    for curve in CURVES {
        let _ = derive::other(curve, bytes);
        if let Some(PublicKey::Ecc { x, y, .. }) = der::point(curve, bytes) {
            assert!(der::ec_point(&x, &y).ends_with(bytes) || bytes == der::ec_point(&x, &y));
        }
    }
}

/// Reads attributes as the template of each function.
///
/// # Panics
///
/// If a key is described that could leave the chip.
pub fn template(
    public: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>,
    private: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>,
) {
    let template = |attributes: Vec<(_, _)>| {
        let attribute = |(kind, value)| Attribute { kind, value };
        Template::new(attributes.into_iter().map(attribute).collect())
    };
    let (public, private) = (template(public), template(private));
    if let Ok(object) = create::described(&public) {
        let given = public.attributes();
        // A kept attribute is read as it was given.
        let kept = |attribute: &&Attribute| object.attributes.get(attribute.kind).is_some();
        for attribute in given.iter().filter(kept) {
            let found = attribute::is(&object, attribute);
            assert!(found, "{:#x} was taken and is lost", attribute.kind);
        }
    }
    for kind in KINDS {
        for purpose in [
            Purpose::Create,
            Purpose::Make,
            Purpose::Copy,
            Purpose::Change,
        ] {
            let _ = rules::check(&private, kind, purpose);
        }
    }
    let _ = derive::check(&private, Curve::P256, None);
    for kind in [CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_EC_KEY_PAIR_GEN] {
        let parameter = Parameter::None;
        if generate::wanted(&Mechanism { kind, parameter }, &public, &private).is_ok() {
            assert_ne!(private.bool(CKA_EXTRACTABLE).ok().flatten(), Some(true));
            assert_ne!(private.bool(CKA_SENSITIVE).ok().flatten(), Some(false));
        }
    }
}
