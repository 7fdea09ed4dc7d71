//! The DER that attributes and signatures are made of.

use spki::{
    AlgorithmIdentifierRef, ObjectIdentifier,
    der::{
        AnyRef, Decode, Encode, Header, Reader, SliceReader, Tag, TagNumber,
        asn1::{OctetStringRef, PrintableStringRef},
    },
};
use tpm_core::{Curve, Hash, PublicKey};

/// The curves with their object identifiers, as DER, and their names.
///
/// # Source
///
/// RFC 5480, section 2.1.1.1; the names are those of SEC 2 and of FIPS 186.
const CURVES: [(Curve, &[u8], [&str; 2]); 3] = [
    (
        Curve::P256,
        b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        ["secp256r1", "P-256"],
    ),
    (
        Curve::P384,
        b"\x06\x05\x2b\x81\x04\x00\x22",
        ["secp384r1", "P-384"],
    ),
    (
        Curve::P521,
        b"\x06\x05\x2b\x81\x04\x00\x23",
        ["secp521r1", "P-521"],
    ),
];

/// The hashes of a `DigestInfo`.
///
/// # Source
///
/// RFC 8017, appendix B.1.
const HASHES: [(Hash, ObjectIdentifier); 4] = [
    (Hash::Sha1, ObjectIdentifier::new_unwrap("1.3.14.3.2.26")),
    (
        Hash::Sha256,
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
    ),
    (
        Hash::Sha384,
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
    ),
    (
        Hash::Sha512,
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
    ),
];

/// `CKA_EC_PARAMS`: the named curve.
pub(crate) fn ec_params(curve: Curve) -> &'static [u8] {
    let named = CURVES.iter().find(|(named, ..)| *named == curve);
    named.map_or(&[], |(_, oid, _)| oid)
}

/// The curve of a `CKA_EC_PARAMS`: an object identifier, or a name as PKCS#11 3.0 allows.
pub(crate) fn curve(params: &[u8]) -> Option<Curve> {
    let name = PrintableStringRef::from_der(params).ok();
    CURVES
        .iter()
        .find(|(_, oid, names)| {
            *oid == params || name.is_some_and(|it| names.contains(&it.as_str()))
        })
        .map(|(curve, ..)| *curve)
}

/// `CKA_EC_POINT`: an OCTET STRING of the uncompressed point. Empty if it is too long to be one.
pub(crate) fn ec_point(x: &[u8], y: &[u8]) -> Vec<u8> {
    let point = [&[4], x, y].concat();
    let octets = OctetStringRef::new(&point).and_then(|octets| octets.to_der());
    octets.unwrap_or_default()
}

/// The coordinates of a `CKA_EC_POINT`. Some callers leave out the OCTET STRING around it.
pub(crate) fn point(curve: Curve, value: &[u8]) -> Option<PublicKey> {
    let raw = match OctetStringRef::from_der(value) {
        Ok(inner) if inner.as_bytes().len() == 1 + 2 * curve.field_size() => inner.as_bytes(),
        _ => value,
    };
    let (x, y) = raw
        .strip_prefix(&[4])?
        .split_at_checked(curve.field_size())?;
    (y.len() == curve.field_size()).then(|| PublicKey::Ecc {
        curve,
        x: x.to_vec(),
        y: y.to_vec(),
    })
}

/// Hash and digest of a `DigestInfo` of a hash that the chip knows. The parameters of the hash must
/// be NULL, as in signatures.
///
/// # Source
///
/// RFC 8017, section 9.2, note 1.
pub(crate) fn digest_info(data: &[u8]) -> Option<(Hash, &[u8])> {
    let mut reader = SliceReader::new(data).ok()?;
    let (algorithm, digest) = reader
        .sequence(|inner| {
            let algorithm = AlgorithmIdentifierRef::decode(inner)?;
            Ok((algorithm, OctetStringRef::decode(inner)?))
        })
        .ok()?;
    let (hash, _) = HASHES.iter().find(|(_, oid)| *oid == algorithm.oid)?;
    let digest = digest.as_bytes();
    let fits = reader.is_finished()
        && algorithm.parameters == Some(AnyRef::NULL)
        && digest.len() == hash.size();
    fits.then_some((*hash, digest))
}

/// The fields of an X.509 certificate that are attributes as well, with their tags.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Certificate<'a> {
    pub(crate) serial_number: &'a [u8],
    /// The serial number without its tag and length.
    pub(crate) serial_contents: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// The SubjectPublicKeyInfo.
    pub(crate) public_key_info: &'a [u8],
}

/// Finds the fields of a certificate; `None` for bytes of another structure.
///
/// # Source
///
/// RFC 5280, section 4.1.
pub(crate) fn certificate(value: &[u8]) -> Option<Certificate<'_>> {
    let mut reader = SliceReader::new(value).ok()?;
    let certificate = contents(&mut reader, Tag::Sequence)?;
    if !reader.is_finished() {
        return None;
    }
    let mut reader = SliceReader::new(certificate).ok()?;
    let mut fields = SliceReader::new(contents(&mut reader, Tag::Sequence)?).ok()?;
    if fields.peek_tag().ok()? == VERSION {
        fields.tlv_bytes().ok()?;
    }
    let mut field = |wanted: Tag| {
        let tag = fields.peek_tag().ok()?;
        let whole = fields.tlv_bytes().ok()?;
        (tag == wanted).then_some(whole)
    };
    let serial_number = field(Tag::Integer)?;
    let _signature = field(Tag::Sequence)?;
    let issuer = field(Tag::Sequence)?;
    let _validity = field(Tag::Sequence)?;
    let subject = field(Tag::Sequence)?;
    let public_key_info = field(Tag::Sequence)?;
    let serial_contents = contents(&mut SliceReader::new(serial_number).ok()?, Tag::Integer)?;
    Some(Certificate {
        serial_number,
        serial_contents,
        issuer,
        subject,
        public_key_info,
    })
}

/// `[0]`, the version of a certificate.
const VERSION: Tag = Tag::ContextSpecific {
    constructed: true,
    number: TagNumber::N0,
};

/// The contents of the next value, which must have this tag.
fn contents<'a>(reader: &mut SliceReader<'a>, wanted: Tag) -> Option<&'a [u8]> {
    let header = Header::decode(reader).ok()?;
    let contents = reader.read_slice(header.length).ok()?;
    (header.tag == wanted).then_some(contents)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value with its head, whatever its length.
    fn value(tag: Tag, contents: &[u8]) -> Vec<u8> {
        AnyRef::new(tag, contents).unwrap().to_der().unwrap()
    }

    /// The bytes before the digest: RFC 8017, section 9.2, note 1.
    const DIGEST_INFO: [(Hash, &[u8]); 4] = [
        (
            Hash::Sha1,
            b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
        ),
        (
            Hash::Sha256,
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        ),
        (
            Hash::Sha384,
            b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        ),
        (
            Hash::Sha512,
            b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
        ),
    ];

    #[test]
    fn a_curve_is_read_by_number_and_by_name() {
        for (wanted, oid, names) in CURVES {
            assert_eq!(ec_params(wanted), oid);
            assert_eq!(curve(oid), Some(wanted));
            for name in names {
                let named = value(Tag::PrintableString, name.as_bytes());
                assert_eq!(curve(&named), Some(wanted));
            }
        }
        assert_eq!(curve(b""), None);
        assert_eq!(curve(b"\x06\x05\x2b\x81\x04\x00\x0a"), None, "secp256k1");
        let trailing = [ec_params(Curve::P256), b"\0"].concat();
        assert_eq!(curve(&trailing), None);
    }

    #[test]
    fn a_point_is_read_back_with_and_without_its_octet_string() {
        for curve in [Curve::P256, Curve::P384, Curve::P521] {
            let size = curve.field_size();
            let (x, y) = (vec![4; size], vec![7; size]);
            let key = PublicKey::Ecc {
                curve,
                x: x.clone(),
                y: y.clone(),
            };
            let der = ec_point(&x, &y);
            assert_eq!(point(curve, &der), Some(key.clone()));
            assert_eq!(point(curve, &der[der.len() - 1 - 2 * size..]), Some(key));
            assert_eq!(point(curve, &der[..der.len() - 1]), None);
            assert_eq!(point(curve, &[&der[..], b"\0"].concat()), None);
        }
        assert_eq!(point(Curve::P256, b""), None);
    }

    #[test]
    fn the_length_of_a_p521_point_takes_two_bytes() {
        let der = ec_point(&[1; 66], &[2; 66]);
        assert_eq!(der[..4], [0x04, 0x81, 133, 4]);
    }

    #[test]
    fn digest_infos_are_recognised_whole() {
        for (hash, prefix) in DIGEST_INFO {
            let digest = vec![0x5a; hash.size()];
            let info = [prefix, &digest].concat();
            assert_eq!(digest_info(&info), Some((hash, &digest[..])));
            assert_eq!(digest_info(&info[..info.len() - 1]), None);
            assert_eq!(digest_info(&[&info[..], b"\0"].concat()), None);
        }
        assert_eq!(digest_info(&[0; 36]), None, "MD5 and SHA-1 of TLS 1.1");
    }

    #[test]
    fn the_fields_of_a_certificate_are_found() {
        // Version 3, serial number 1, algorithm, issuer, validity, subject, key, signature.
        let tbs =
            b"\xa0\x03\x02\x01\x02\x02\x01\x01\x30\x00\x30\x01\x0a\x30\x00\x30\x01\x0b\x30\x01\x0c";
        let body = [&value(Tag::Sequence, tbs)[..], b"\x30\x00\x03\x01\x00"].concat();
        let der = value(Tag::Sequence, &body);
        let fields = certificate(&der).expect("a certificate");
        assert_eq!(fields.serial_number, b"\x02\x01\x01");
        assert_eq!(fields.issuer, b"\x30\x01\x0a");
        assert_eq!(fields.subject, b"\x30\x01\x0b");
        assert_eq!(fields.public_key_info, b"\x30\x01\x0c");
        for cut in 0..der.len() {
            assert_eq!(certificate(&der[..cut]), None);
        }
        assert_eq!(certificate(&[&der[..], b"\0"].concat()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = certificate(&bytes);
            let _ = curve(&bytes);
            let _ = digest_info(&bytes);
            for curve in [Curve::P256, Curve::P384, Curve::P521] {
                let _ = point(curve, &bytes);
            }
        }
    }
}
