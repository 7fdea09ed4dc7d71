//! Files with X.509 certificates, in the forms in which authorities hand them out.

use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{self, Decode, Encode, Header, Reader, SliceReader, Tag, pem};

/// `id-signedData`.
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// The certificates in `bytes`, in their order: in DER, one or those of a PKCS#7 file; or any number in
/// PEM, with other text around them.
///
/// The label of a PEM block says nothing: Windows puts PKCS#7 between the lines of a
/// certificate. `X509 CERTIFICATE` is the older name of `CERTIFICATE`, and `TRUSTED CERTIFICATE` is
/// OpenSSL's for one with its own opinion behind it, which is left out.
pub(crate) fn certificates(bytes: &[u8]) -> Vec<Certificate> {
    let found = in_der(bytes);
    if !found.is_empty() {
        return found;
    }
    let text = String::from_utf8_lossy(bytes);
    let mut certificates = Vec::new();
    for block in text.split("-----BEGIN ").skip(1) {
        let Some((label, rest)) = block.split_once("-----") else {
            continue;
        };
        let end = format!("-----END {label}-----");
        if let Some((base64, _)) = rest.split_once(&end) {
            certificates.extend(in_der(&decode(base64).unwrap_or_default()));
        }
    }
    certificates
}

/// What a PEM block holds. Its lines may be of any length, which RFC 7468 leaves to the reader.
pub(super) fn decode(base64: &str) -> Option<Vec<u8>> {
    let characters: Vec<char> = base64
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .collect();
    let mut text = String::from("-----BEGIN X-----\n");
    for line in characters.chunks(64) {
        text.extend(line);
        text.push('\n');
    }
    text.push_str("-----END X-----\n");
    pem::decode_vec(text.as_bytes()).ok().map(|(_, der)| der)
}

fn in_der(bytes: &[u8]) -> Vec<Certificate> {
    match first(bytes) {
        Ok(certificate) => vec![certificate],
        Err(_) => of_pkcs7(bytes).unwrap_or_default(),
    }
}

/// The certificate that `bytes` begin with; what follows may be OpenSSL's trust settings.
fn first(bytes: &[u8]) -> der::Result<Certificate> {
    let header = Header::decode(&mut SliceReader::new(bytes)?)?;
    let len = (header.encoded_len()? + header.length)?;
    let len = usize::try_from(len)?;
    Certificate::from_der(bytes.get(..len).unwrap_or(bytes))
}

/// The certificates that a PKCS#7 file carries.
///
/// # Source
///
/// RFC 2315, sections 7 and 9.1: `ContentInfo` with `SignedData`.
fn of_pkcs7(bytes: &[u8]) -> der::Result<Vec<Certificate>> {
    let mut reader = SliceReader::new(bytes)?;
    reader.sequence(|content| {
        if ObjectIdentifier::decode(content)? != SIGNED_DATA {
            return Err(Tag::ObjectIdentifier.value_error());
        }
        // [0] EXPLICIT around the SEQUENCE.
        let explicit: AnyRef<'_> = content.decode()?;
        let mut explicit = SliceReader::new(explicit.value())?;
        explicit.sequence(|signed| {
            // version, digestAlgorithms, contentInfo
            for _ in 0..3 {
                signed.decode::<AnyRef<'_>>()?;
            }
            // certificates [0] IMPLICIT SET OF
            let set: AnyRef<'_> = signed.decode()?;
            while !signed.is_finished() {
                signed.decode::<AnyRef<'_>>()?;
            }
            let mut set = SliceReader::new(set.value())?;
            let mut certificates = Vec::new();
            while !set.is_finished() {
                let one: AnyRef<'_> = set.decode()?;
                // Attribute certificates are among them in some files.
                certificates.extend(Certificate::from_der(&one.to_der()?).ok());
            }
            Ok(certificates)
        })
    })
}
