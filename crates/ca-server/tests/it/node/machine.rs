//! What machines ask of a node.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use key_proof::{
    Challenge, ENROLL_NAMESPACE, Identity, Kind, Name, Proof, PublicArea, Renewal,
    renewal_transcript,
};
use serde_json::Value;
use ssh_format::{AnyKey, SigHash};

use super::{AUDIENCE, Answer, Node};
use crate::software_tpm::{SoftwareTpm, name};

impl Node {
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", b"")
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.ask("POST", path, "", body)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let _ = stream.write_all(&request(method, path, head, body));
        Answer::read(stream)
    }

    /// As above, but the node may be killed meanwhile: `None` if it did not answer.
    fn try_ask(&self, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.write_all(&request(method, path, "", body)).ok()?;
        let answer = Answer::read(stream);
        (answer.status != 0).then_some(answer)
    }

    pub(crate) fn begin(&self, tpm: &SoftwareTpm) -> Answer {
        self.post("/v1/enroll/begin", tpm.request().to_json().as_bytes())
    }

    /// The proof for a fresh challenge.
    #[track_caller]
    pub(crate) fn proof(&self, tpm: &SoftwareTpm) -> Proof {
        let answer = self.begin(tpm);
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        tpm.answer(&Challenge::from_json(&answer.body).unwrap())
    }

    pub(crate) fn finish(&self, proof: &Proof) -> Answer {
        self.post("/v1/enroll/finish", proof.to_json().as_bytes())
    }

    pub(crate) fn enrol(&self, tpm: &SoftwareTpm) -> Answer {
        self.finish(&self.proof(tpm))
    }

    /// A host that has enrolled.
    pub(crate) fn host(&self, name: &str) -> SoftwareTpm {
        let tpm = host(name, &self.token("host", name));
        self.enrol(&tpm).certificate();
        tpm
    }

    pub(crate) fn nonce(&self) -> [u8; 32] {
        let json = self.get("/v1/nonce").json();
        let nonce = Base64::decode_vec(json["nonce"].as_str().unwrap()).unwrap();
        nonce.try_into().unwrap()
    }

    pub(crate) fn renew(&self, tpm: &SoftwareTpm) -> Answer {
        let renewal = renewal(tpm, self.nonce());
        self.post("/v1/renew", renewal.to_json().as_bytes())
    }

    /// As above, but the node may be killed meanwhile; `None` once it is gone.
    pub(crate) fn try_renew(&self, tpm: &SoftwareTpm) -> Option<Answer> {
        let nonce = self.try_ask("GET", "/v1/nonce", b"")?;
        let nonce: Value = serde_json::from_slice(&nonce.body).ok()?;
        let nonce = Base64::decode_vec(nonce["nonce"].as_str()?).ok()?;
        let renewal = renewal(tpm, nonce.try_into().ok()?);
        let answer = self.try_post("/v1/renew", renewal.to_json().as_bytes())?;
        let is_whole = serde_json::from_slice::<Value>(&answer.body).is_ok();
        is_whole.then_some(answer)
    }

    /// Sends any body; `None` if the node was killed before it answered.
    pub(crate) fn try_post(&self, path: &str, body: &[u8]) -> Option<Answer> {
        self.try_ask("POST", path, body)
    }
}

/// A request, the only one of its connection.
fn request(method: &str, path: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A machine with a key without a PIN, which asks for a certificate of the host `name`.
pub(crate) fn host(name: &str, token: &str) -> SoftwareTpm {
    let mut tpm = SoftwareTpm::new();
    tpm.behind_nothing();
    tpm.kind = Kind::Host;
    tpm.principals = vec![name.to_owned()];
    tpm.audience = AUDIENCE.to_owned();
    if !token.is_empty() {
        tpm.identity = Identity::Join(token.to_owned());
    }
    tpm
}

/// A renewal with the same names as before.
pub(crate) fn renewal(tpm: &SoftwareTpm, nonce: [u8; 32]) -> Renewal {
    let attestation_key = PublicArea::parse(&tpm.ak.bytes()).unwrap().name();
    let key = Name::from_bytes(&name(&tpm.key.bytes())).unwrap();
    let transcript = renewal_transcript(
        &attestation_key,
        &key,
        tpm.kind,
        &tpm.principals,
        AUDIENCE,
        &nonce,
    );
    let attest = tpm.attest(&nonce, &transcript);
    Renewal {
        attestation_key,
        key,
        kind: tpm.kind,
        principals: tpm.principals.clone(),
        nonce,
        signature: tpm.signature(&attest),
        attest,
        sshsig: tpm.own_signature(ENROLL_NAMESPACE, SigHash::Sha512, &transcript),
    }
}

/// The SSH key of a machine.
pub(crate) fn ssh_key(tpm: &SoftwareTpm) -> AnyKey {
    let (x, y) = tpm.key.key.point();
    let key = ssh_format::PublicKey::ecdsa(ssh_format::Curve::NistP256, &x, &y).unwrap();
    AnyKey::from_blob(key.blob()).unwrap()
}
