//! X.509 certificates as TPM makers write them, and what such a certificate says of an endorsement key (check V1).

use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::{
        AnyRef, Decode, Encode, Reader, SliceReader, Tag,
        asn1::{ObjectIdentifier as Oid, OctetStringRef, PrintableStringRef, Utf8StringRef},
    },
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName, name::GeneralName},
};

use crate::{Check, Error, PublicArea, Result, error::refuse, public_area::PublicKey};

/// The longest certificate that is read, in bytes. Certificates in chips have 1 to 2 KiB.
const MAX_LEN: usize = 16 * 1024;

/// The longest text that is taken from a certificate, in bytes.
const MAX_TEXT: usize = 128;

pub(crate) mod oid {
    use super::Oid;
    pub(crate) const RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.1");
    /// RSAES-OAEP: the algorithm of the key in some of Infineon's certificates.
    pub(crate) const RSA_OAEP: Oid = Oid::new_unwrap("1.2.840.113549.1.1.7");
    pub(crate) const EC: Oid = Oid::new_unwrap("1.2.840.10045.2.1");
    pub(crate) const P256: Oid = Oid::new_unwrap("1.2.840.10045.3.1.7");
    pub(crate) const P384: Oid = Oid::new_unwrap("1.3.132.0.34");
    pub(crate) const BASIC_CONSTRAINTS: Oid = Oid::new_unwrap("2.5.29.19");
    pub(crate) const KEY_USAGE: Oid = Oid::new_unwrap("2.5.29.15");
    pub(crate) const EXT_KEY_USAGE: Oid = Oid::new_unwrap("2.5.29.37");
    pub(crate) const SUBJECT_ALT_NAME: Oid = Oid::new_unwrap("2.5.29.17");
    pub(crate) const POLICIES: Oid = Oid::new_unwrap("2.5.29.32");
    /// `tcg-kp-EKCertificate`.
    pub(super) const EK_CERTIFICATE: Oid = Oid::new_unwrap("2.23.133.8.1");
    pub(super) const MANUFACTURER: Oid = Oid::new_unwrap("2.23.133.2.1");
    pub(super) const MODEL: Oid = Oid::new_unwrap("2.23.133.2.2");
    pub(super) const VERSION: Oid = Oid::new_unwrap("2.23.133.2.3");
}

/// A certificate, and the original bytes of its parts.
///
/// Signatures are checked over the original bytes. Encoding the parts again could change them, because some makers do not sort sets as DER demands.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub(crate) der: Vec<u8>,
    /// The part that is signed.
    pub(crate) tbs: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) inner: CertificateInner<Raw>,
}

impl Parsed {
    /// Reads a certificate. Bytes after it and an OCTET STRING around it are removed, because some chips store it with them.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_LEN {
            return Err(Error::malformed("certificate", "it is too long"));
        }
        Self::decode(bytes).map_err(|err| Error::malformed("certificate", err))
    }

    fn decode(bytes: &[u8]) -> x509_cert::der::Result<Self> {
        let mut reader = SliceReader::new(bytes)?;
        let whole = reader.tlv_bytes()?;
        let der = if Tag::OctetString == Tag::try_from(bytes[0])? {
            let inside = OctetStringRef::from_der(whole)?.as_bytes();
            SliceReader::new(inside)?.tlv_bytes()?
        } else {
            whole
        };
        let inner = CertificateInner::<Raw>::from_der(der)?;
        let mut parts = SliceReader::new(AnyRef::from_der(der)?.value())?;
        let tbs = parts.tlv_bytes()?;
        let mut fields = SliceReader::new(AnyRef::from_der(tbs)?.value())?;
        // Certificates of version 1 leave the version out.
        if fields.peek_tag()?.is_context_specific() {
            fields.tlv_bytes()?;
        }
        // Serial number and algorithm; issuer; validity; subject.
        fields.tlv_bytes()?;
        fields.tlv_bytes()?;
        let issuer = fields.tlv_bytes()?;
        fields.tlv_bytes()?;
        let subject = fields.tlv_bytes()?;
        Ok(Self {
            der: der.to_vec(),
            tbs: tbs.to_vec(),
            issuer: issuer.to_vec(),
            subject: subject.to_vec(),
            inner,
        })
    }

    /// The extension `id`, if the certificate has it. A certificate that has it twice is refused.
    pub(crate) fn extension<'a, T: Decode<'a>>(&'a self, id: Oid) -> Result<Option<T>> {
        let all = self.inner.tbs_certificate.extensions.as_deref();
        let mut found = all.unwrap_or_default().iter().filter(|it| it.extn_id == id);
        let Some(extension) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return refuse(Check::V1, "a certificate has an extension twice");
        }
        match T::from_der(extension.extn_value.as_bytes()) {
            Ok(value) => Ok(Some(value)),
            Err(_) => refuse(Check::V1, "an extension of a certificate cannot be read"),
        }
    }

    /// Refuses a certificate with a critical extension that this crate does not know.
    pub(crate) fn check_critical(&self) -> Result<()> {
        const KNOWN: [Oid; 5] = [
            oid::BASIC_CONSTRAINTS,
            oid::KEY_USAGE,
            oid::EXT_KEY_USAGE,
            oid::SUBJECT_ALT_NAME,
            // Accepted but not evaluated, because STM, Infineon and Intel mark their policies as critical.
            oid::POLICIES,
        ];
        let all = self.inner.tbs_certificate.extensions.as_deref();
        let unknown = |it: &&x509_cert::ext::Extension| it.critical && !KNOWN.contains(&it.extn_id);
        match all.unwrap_or_default().iter().find(unknown) {
            None => Ok(()),
            Some(_) => refuse(
                Check::V1,
                "a certificate has a critical extension that is unknown",
            ),
        }
    }

    /// The basic constraints: whether this is the certificate of an authority. `None` if they are missing, as in X.509 version 1.
    pub(crate) fn is_ca(&self) -> Result<Option<BasicConstraints>> {
        self.extension(oid::BASIC_CONSTRAINTS)
    }

    /// Whether the key usage, if there is one, allows to sign certificates.
    pub(crate) fn may_sign_certificates(&self) -> Result<bool> {
        let usage: Option<KeyUsage> = self.extension(oid::KEY_USAGE)?;
        Ok(usage.is_none_or(|usage| usage.key_cert_sign()))
    }

    /// The subject, as RFC 4514 writes it, without control characters.
    pub(crate) fn subject_text(&self) -> String {
        let text = self.inner.tbs_certificate.subject.to_string();
        text.chars().filter(|it| !it.is_control()).collect()
    }
}

/// The maker's certificate of an endorsement key.
#[derive(Debug, Clone)]
pub struct EkCertificate(pub(crate) Parsed);

/// What a maker's certificate says of a TPM.
///
/// The texts are the maker's, at most 128 characters each, without control characters. They may contain marks that change the writing direction:
/// escape them before showing them, as `ssh_format::text::one_line` does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maker {
    /// Such as `id:4E544300`: the maker's four letters in hexadecimal.
    pub manufacturer: String,
    /// The model, in the maker's words.
    pub model: String,
    /// The firmware's version when the certificate was made.
    pub version: String,
    /// The issuer of the certificate (RFC 4514).
    pub issuer: String,
}

impl Maker {
    /// The maker's letters, such as `NTC`, if they are letters.
    #[must_use]
    pub fn letters(&self) -> Option<String> {
        Self::letters_of(&self.manufacturer)
    }

    /// The letters in the number of a maker, such as `NTC` in `id:4E544300`.
    #[must_use]
    pub fn letters_of(manufacturer: &str) -> Option<String> {
        let digits = manufacturer.strip_prefix("id:")?;
        let number = u32::from_str_radix(digits, 16).ok()?;
        let letters: Vec<u8> = number
            .to_be_bytes()
            .into_iter()
            .filter(|&it| it != 0)
            .collect();
        let is_text = letters
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        (is_text && !letters.is_empty())
            .then(|| String::from_utf8_lossy(&letters).trim().to_owned())
    }
}

impl EkCertificate {
    /// Reads a certificate as chips store it, also with padding after it or an OCTET STRING around it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Parsed::read(bytes).map(Self)
    }

    /// The certificate alone, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The issuer that the certificate names (RFC 4514). The signature was not checked. At most 128 characters, without control
    /// characters.
    #[must_use]
    pub fn issuer(&self) -> String {
        let text = self.0.inner.tbs_certificate.issuer.to_string();
        let printed = text.chars().filter(|it| !it.is_control());
        printed.take(MAX_TEXT).collect()
    }

    /// Whether the certificate is for the key `ek`. Nothing else is checked.
    #[must_use]
    pub fn has_key_of(&self, ek: &PublicArea) -> bool {
        key(&self.0).as_ref() == Some(&ek.key)
    }

    /// Checks that this is the certificate of an endorsement key, and of the key `ek`.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] by V1.
    pub fn check_is_for(&self, ek: &PublicArea) -> Result<()> {
        let v1 = |why| refuse(Check::V1, why);
        self.0.check_critical()?;
        if self.0.is_ca()?.is_some_and(|it| it.ca) {
            return v1("the certificate is that of an authority and not of a TPM");
        }
        let usages: Option<ExtendedKeyUsage> = self.0.extension(oid::EXT_KEY_USAGE)?;
        if !usages.is_some_and(|usages| usages.0.contains(&oid::EK_CERTIFICATE)) {
            return v1("the certificate is not one for an endorsement key");
        }
        if self.has_key_of(ek) {
            Ok(())
        } else {
            v1("the certificate is that of another TPM")
        }
    }

    /// What the certificate says of the TPM.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] by V1 if it lacks maker, model or version.
    pub fn maker(&self) -> Result<Maker> {
        let names: Option<SubjectAltName> = self.0.extension(oid::SUBJECT_ALT_NAME)?;
        let names = names.map(|it| it.0).unwrap_or_default();
        let text = |wanted: Oid| {
            let name = names.iter().find_map(|name| match name {
                GeneralName::DirectoryName(name) => name
                    .0
                    .iter()
                    .flat_map(|set| set.0.iter())
                    .find(|it| it.oid == wanted)
                    .and_then(|it| text_of(&it.value.to_der().ok()?)),
                _ => None,
            });
            match name {
                Some(name) => Ok(name),
                None => refuse(
                    Check::V1,
                    "the certificate lacks the TPM's maker, model or version",
                ),
            }
        };
        Ok(Maker {
            manufacturer: text(oid::MANUFACTURER)?,
            model: text(oid::MODEL)?,
            version: text(oid::VERSION)?,
            issuer: self.issuer(),
        })
    }
}

/// A string of a name, if it has at most 128 bytes and no control characters.
fn text_of(der: &[u8]) -> Option<String> {
    let text = Utf8StringRef::from_der(der)
        .map(|it| it.as_str().to_owned())
        .or_else(|_| PrintableStringRef::from_der(der).map(|it| it.as_str().to_owned()))
        .ok()?;
    (text.len() <= MAX_TEXT && !text.chars().any(char::is_control)).then_some(text)
}

/// The certificate's key, if it is RSA, or ECC on P-256 or P-384.
pub(super) fn key(certificate: &Parsed) -> Option<PublicKey> {
    use rsa::{pkcs1::DecodeRsaPublicKey, traits::PublicKeyParts};
    let spki = &certificate.inner.tbs_certificate.subject_public_key_info;
    let key = spki.subject_public_key.raw_bytes();
    if [oid::RSA, oid::RSA_OAEP].contains(&spki.algorithm.oid) {
        let key = rsa::RsaPublicKey::from_pkcs1_der(key).ok()?;
        let digits = key.e().to_bytes_be();
        let e = digits.iter().try_fold(0_u32, |sum, &digit| {
            sum.checked_mul(256)?.checked_add(u32::from(digit))
        });
        let n = key.n().to_bytes_be();
        return Some(PublicKey::Rsa { n, e: e? });
    }
    if spki.algorithm.oid != oid::EC {
        return None;
    }
    let curve = spki.algorithm.parameters.as_ref()?;
    let curve = match curve.decode_as::<Oid>().ok()? {
        oid::P256 => ssh_format::Curve::NistP256,
        oid::P384 => ssh_format::Curve::NistP384,
        _ => return None,
    };
    let point = key.strip_prefix(&[4])?;
    if point.len() != 2 * curve.field_size() {
        return None;
    }
    let (x, y) = point.split_at(curve.field_size());
    let (x, y) = (x.to_vec(), y.to_vec());
    Some(PublicKey::Ecc { curve, x, y })
}
