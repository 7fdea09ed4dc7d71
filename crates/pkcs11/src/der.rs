//! The little DER that attributes and signatures are made of.

use tpm_core::{Curve, Hash, PublicKey};

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const PRINTABLE_STRING: u8 = 0x13;
const SEQUENCE: u8 = 0x30;
/// `[0]`, the version of a certificate.
const EXPLICIT_0: u8 = 0xa0;

/// The object identifiers of the curves, with tag and length, and their names.
///
/// # Source
///
/// RFC 5480, section 2.1.1.1; the names are those of SEC 2 and of FIPS 186.
const CURVES: [(Curve, &[u8], [&str; 2]); 3] = [
    (
        Curve::P256,
        &[OID, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        ["secp256r1", "P-256"],
    ),
    (
        Curve::P384,
        &[OID, 5, 0x2b, 0x81, 0x04, 0x00, 0x22],
        ["secp384r1", "P-384"],
    ),
    (
        Curve::P521,
        &[OID, 5, 0x2b, 0x81, 0x04, 0x00, 0x23],
        ["secp521r1", "P-521"],
    ),
];

/// What stands before the digest in a `DigestInfo`: RFC 8017, section 9.2, note 1.
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

/// `CKA_EC_PARAMS`: the named curve.
pub(crate) fn ec_params(curve: Curve) -> &'static [u8] {
    let named = CURVES.iter().find(|(named, ..)| *named == curve);
    named.map_or(&[], |(_, oid, _)| oid)
}

/// The curve of a `CKA_EC_PARAMS`: an object identifier, or a name as PKCS#11 3.0 allows.
pub(crate) fn curve(params: &[u8]) -> Option<Curve> {
    let by_name = |names: &[&str; 2]| {
        let (tag, name, rest) = tlv(params)?;
        let known = names.iter().any(|known| known.as_bytes() == name);
        (tag == PRINTABLE_STRING && rest.is_empty() && known).then_some(())
    };
    CURVES
        .iter()
        .find(|(_, oid, names)| *oid == params || by_name(names).is_some())
        .map(|(curve, ..)| *curve)
}

/// `CKA_EC_POINT`: an OCTET STRING of the uncompressed point.
pub(crate) fn ec_point(x: &[u8], y: &[u8]) -> Vec<u8> {
    let point = [&[4], x, y].concat();
    [head(OCTET_STRING, point.len()), point].concat()
}

/// The coordinates of a `CKA_EC_POINT`, with its OCTET STRING or, as some write it, without.
pub(crate) fn point(curve: Curve, value: &[u8]) -> Option<PublicKey> {
    let raw = match tlv(value) {
        Some((OCTET_STRING, inner, [])) if inner.len() == 1 + 2 * curve.field_size() => inner,
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

/// Hash and digest of a `DigestInfo` of a hash that the chip knows.
pub(crate) fn digest_info(data: &[u8]) -> Option<(Hash, &[u8])> {
    DIGEST_INFO.iter().find_map(|&(hash, prefix)| {
        let digest = data.strip_prefix(prefix)?;
        (digest.len() == hash.size()).then_some((hash, digest))
    })
}

/// The fields of an X.509 certificate that are attributes as well, with their tags.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Certificate<'a> {
    pub(crate) serial_number: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// The SubjectPublicKeyInfo.
    pub(crate) public_key_info: &'a [u8],
}

/// Finds the fields of a certificate; `None` for anything that is not laid out like one.
///
/// # Source
///
/// RFC 5280, section 4.1.
pub(crate) fn certificate(value: &[u8]) -> Option<Certificate<'_>> {
    let (SEQUENCE, certificate, []) = tlv(value)? else {
        return None;
    };
    let (SEQUENCE, mut rest, _) = tlv(certificate)? else {
        return None;
    };
    if let Some((EXPLICIT_0, _, after)) = tlv(rest) {
        rest = after;
    }
    let mut field = |wanted: u8| {
        let (tag, _, after) = tlv(rest)?;
        let whole = &rest[..rest.len() - after.len()];
        rest = after;
        (tag == wanted).then_some(whole)
    };
    let serial_number = field(INTEGER)?;
    let _signature = field(SEQUENCE)?;
    let issuer = field(SEQUENCE)?;
    let _validity = field(SEQUENCE)?;
    let subject = field(SEQUENCE)?;
    let public_key_info = field(SEQUENCE)?;
    Some(Certificate {
        serial_number,
        issuer,
        subject,
        public_key_info,
    })
}

/// Tag, contents, and what follows. Lengths are at most 64 KiB and in their shortest form.
fn tlv(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match (first, rest) {
        (..=0x7f, _) => (usize::from(first), rest),
        (0x81, &[len @ 0x80..=0xff, ref rest @ ..]) => (usize::from(len), rest),
        (0x82, &[high @ 1..=0xff, low, ref rest @ ..]) => {
            (usize::from(u16::from_be_bytes([high, low])), rest)
        }
        _ => return None,
    };
    let (contents, after) = rest.split_at_checked(len)?;
    Some((tag, contents, after))
}

/// Tag and length, for contents of less than 256 bytes.
fn head(tag: u8, len: usize) -> Vec<u8> {
    let short = len.to_le_bytes()[0];
    if len < 0x80 {
        vec![tag, short]
    } else {
        vec![tag, 0x81, short]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_curve_is_read_by_number_and_by_name() {
        for (wanted, oid, names) in CURVES {
            assert_eq!(ec_params(wanted), oid);
            assert_eq!(curve(oid), Some(wanted));
            for name in names {
                let named = [&head(PRINTABLE_STRING, name.len())[..], name.as_bytes()].concat();
                assert_eq!(curve(&named), Some(wanted));
            }
        }
        assert_eq!(curve(b""), None);
        assert_eq!(
            curve(&[OID, 5, 0x2b, 0x81, 0x04, 0x00, 0x0a]),
            None,
            "secp256k1"
        );
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
        assert_eq!(der[..4], [OCTET_STRING, 0x81, 133, 4]);
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
        let body = [
            &head(SEQUENCE, tbs.len()),
            &tbs[..],
            b"\x30\x00\x03\x01\x00",
        ]
        .concat();
        let der = [head(SEQUENCE, body.len()), body].concat();
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

    #[test]
    fn lengths_are_read_in_their_shortest_form_only() {
        assert_eq!(tlv(b"\x04\x01a"), Some((4, &b"a"[..], &b""[..])));
        assert_eq!(tlv(b"\x04\x81\x01a"), None);
        assert_eq!(tlv(b"\x04\x82\x00\x01a"), None);
        assert_eq!(tlv(b"\x04\x80a\0\0"), None);
        assert_eq!(tlv(&[4, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(tlv(b"\x04"), None);
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

        /// Whatever the contents are: lengths of one byte, of two and of three.
        #[test]
        fn what_has_a_head_is_taken_apart_again(tag: u8, len in 0..0xff_ffff_usize) {
            let len = len >> (len % 20);
            let mut bytes = match len {
                0..0x80 => vec![tag, len as u8],
                0x80..0x100 => vec![tag, 0x81, len as u8],
                0x100..0x1_0000 => vec![tag, 0x82, (len >> 8) as u8, len as u8],
                _ => vec![tag, 0x83, (len >> 16) as u8, (len >> 8) as u8, len as u8],
            };
            bytes.resize(bytes.len() + len, 7);
            let read = tlv(&bytes).map(|(tag, contents, after)| (tag, contents.len(), after.len()));
            prop_assert_eq!(read, (len < 0x1_0000).then_some((tag, len, 0)));
        }
    }
}
