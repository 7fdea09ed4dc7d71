//! A TPM maker of the tests' own, which certifies the endorsement key in a request.

use std::fs;

use serde_json::Value;
use testing::Home;

use crate::program::{Outcome, text};

/// An authority, and the names in its certificates.
pub(super) struct Maker<'a> {
    pub(super) home: &'a Home,
    /// The common name of the authority.
    pub(super) name: &'static str,
    /// The model of the TPM.
    pub(super) model: &'static str,
}

impl<'a> Maker<'a> {
    pub(super) fn new(home: &'a Home) -> Self {
        Self {
            home,
            name: "Maker",
            model: "test",
        }
    }

    fn at(&self, name: &str) -> String {
        text(self.home.path().join(name))
    }

    #[track_caller]
    fn openssl(&self, args: &[&str]) -> String {
        Outcome::of(self.home.command("openssl").args(args)).ok()
    }

    /// Makes a new authority, and replaces the certificate in the request by one of this authority. The key
    /// comes from the old certificate. The new one is valid for `days`; with 0, for this second only. Returns the file of the authority's certificate.
    pub(super) fn certify(&self, request: &str, days: &str) -> String {
        let mut json: Value = serde_json::from_slice(&fs::read(request).unwrap()).unwrap();
        let [old, key, csr, made] =
            ["old.der", "ek.pem", "csr.pem", "made.der"].map(|it| self.at(it));
        let [ca, ca_key, config] = ["ca.pem", "ca.key", "openssl.cnf"].map(|it| self.at(it));
        let base64 = self.at("old.base64");
        fs::write(&base64, json["ek_cert"].as_str().unwrap()).unwrap();
        self.openssl(&["base64", "-d", "-A", "-in", &base64, "-out", &old]);
        let extensions = format!(
            "[ek]\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=2.23.133.8.1\n\
             2.5.29.17=critical,DER:{}\n",
            self.alternative_name()
        );
        fs::write(&config, extensions).unwrap();
        let new = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let subject = format!("/CN={}", self.name);
        let authority = ["req", "-x509", "-utf8", "-subj", &subject];
        let files = ["-keyout", &ca_key, "-out", &ca];
        self.openssl(&[&authority[..], &files, &new].concat());
        let request_key = self.at("unused.key");
        let to_sign = ["req", "-new", "-subj", "/CN=TPM"];
        let files = ["-keyout", &request_key, "-out", &csr];
        self.openssl(&[&to_sign[..], &files, &new].concat());
        let public = ["-pubkey", "-noout", "-out", &key];
        self.openssl(&[&["x509", "-inform", "DER", "-in", &old], &public[..]].concat());
        let by = ["x509", "-req", "-in", &csr, "-CA", &ca, "-CAkey", &ca_key];
        let what = ["-force_pubkey", &key, "-extfile", &config];
        let more = ["-extensions", "ek", "-CAcreateserial", "-days", days];
        let out = ["-outform", "DER", "-out", &made];
        self.openssl(&[&by[..], &what, &more, &out].concat());
        json["ek_cert"] = self.openssl(&["base64", "-A", "-in", &made]).into();
        json["chain"] = Value::Array(Vec::new());
        fs::write(request, json.to_string()).unwrap();
        ca
    }

    /// The subject alternative name: a directory name with maker, model and version, DER in hexadecimal.
    ///
    /// `openssl` reads the texts of a directory name as Latin-1, so they are encoded here.
    fn alternative_name(&self) -> String {
        let parts = [(1, "id:54504D00"), (2, self.model), (3, "id:00010001")];
        let parts = parts.map(|(last, text)| {
            let id = [0x06, 5, 0x67, 0x81, 0x05, 0x02, last];
            let pair = [&id[..], &tlv(0x0c, text.as_bytes())].concat();
            tlv(0x31, &tlv(0x30, &pair))
        });
        let name = tlv(0xa4, &tlv(0x30, &parts.concat()));
        let bytes = tlv(0x30, &name);
        base16ct::lower::encode_string(&bytes)
    }
}

/// A value of DER with less than 128 bytes.
fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let len = u8::try_from(contents.len()).unwrap();
    assert!(len < 0x80);
    [&[tag, len], contents].concat()
}
