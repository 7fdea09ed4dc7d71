//! A list as bytes.

use super::{
    CERT_KEY_ID, CERT_SERIAL_BITMAP, CERT_SERIAL_LIST, CERT_SERIAL_RANGE, FORMAT_VERSION, Krl,
    MAGIC, RevokedCertificates, SECTION_CERTIFICATES, SECTION_EXPLICIT_KEY,
    SECTION_FINGERPRINT_SHA1, SECTION_FINGERPRINT_SHA256, Serials,
};
use crate::wire::{put_mpint, put_nested, put_string, put_u32, put_u64};

impl Krl {
    /// The list as a file has it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, MAGIC);
        put_u32(&mut out, FORMAT_VERSION);
        put_u64(&mut out, self.number);
        put_u64(&mut out, self.generated);
        put_u64(&mut out, 0); // flags
        put_string(&mut out, &[]); // reserved
        put_string(&mut out, self.comment.as_bytes());
        for of in &self.certificates {
            out.push(SECTION_CERTIFICATES);
            put_nested(&mut out, |out| of.put(out));
        }
        put_strings(&mut out, SECTION_EXPLICIT_KEY, &self.keys);
        put_strings(&mut out, SECTION_FINGERPRINT_SHA1, &self.sha1);
        put_strings(&mut out, SECTION_FINGERPRINT_SHA256, &self.sha256);
        out
    }
}

impl RevokedCertificates {
    fn put(&self, out: &mut Vec<u8>) {
        let authority = self.authority.as_ref().map_or(&[][..], |key| key.blob());
        put_string(out, authority);
        put_string(out, &[]); // reserved
        let mut single = Vec::new();
        for serials in &self.serials {
            match serials {
                Serials::Range(range) if range.start() == range.end() => {
                    single.push(*range.start());
                }
                Serials::Range(range) => {
                    out.push(CERT_SERIAL_RANGE);
                    put_nested(out, |out| {
                        put_u64(out, *range.start());
                        put_u64(out, *range.end());
                    });
                }
                Serials::Bitmap { offset, bits } => {
                    out.push(CERT_SERIAL_BITMAP);
                    put_nested(out, |out| {
                        put_u64(out, *offset);
                        put_mpint(out, bits);
                    });
                }
            }
        }
        single.sort_unstable();
        single.dedup();
        if !single.is_empty() {
            out.push(CERT_SERIAL_LIST);
            put_nested(out, |out| {
                single.iter().for_each(|&serial| put_u64(out, serial))
            });
        }
        put_strings(out, CERT_KEY_ID, &self.key_ids);
    }
}

/// A section of strings, sorted as the format requires; nothing if there are no strings.
fn put_strings(out: &mut Vec<u8>, section: u8, strings: &[impl AsRef<[u8]>]) {
    if strings.is_empty() {
        return;
    }
    let mut sorted: Vec<&[u8]> = strings.iter().map(AsRef::as_ref).collect();
    sorted.sort_unstable();
    sorted.dedup();
    out.push(section);
    put_nested(out, |out| {
        sorted.iter().for_each(|bytes| put_string(out, bytes))
    });
}
