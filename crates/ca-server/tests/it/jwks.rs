//! The keys of an identity provider, fetched over TLS from a server that runs in the test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

use ca_server::identity::{Rule, oidc::Remote};
use key_proof::{Identity, Kind};
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, Stream};

use crate::node::{Node, host, wait};
use crate::oidc::{Provider, USERNAME, claims, judge, jwks, read_rule, rule, with};
use crate::software_tpm::SoftwareTpm;

/// A TLS server that gives the same answer to all requests.
struct Server {
    url: String,
    /// Its certificate, PEM.
    certificate: String,
    answer: Arc<Mutex<Vec<u8>>>,
}

fn ok(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into()
}

impl Server {
    fn start(answer: Vec<u8>) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let params = rcgen::CertificateParams::new(names).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/keys", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(answer));
        let (config, said) = (Arc::new(config), Arc::clone(&answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = said.lock().unwrap().clone();
                // A client that does not trust the certificate closes the connection.
                let _ = Self::answer(&config, stream, &answer);
            }
        });
        Self {
            url,
            certificate: certificate.pem(),
            answer,
        }
    }

    fn answer(
        config: &Arc<ServerConfig>,
        mut stream: TcpStream,
        answer: &[u8],
    ) -> std::io::Result<()> {
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience)?;
        stream.set_write_timeout(patience)?;
        let mut tls = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
        let mut tls = Stream::new(&mut tls, &mut stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tls.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        tls.write_all(answer)?;
        tls.conn.send_close_notify();
        tls.flush()
    }

    fn says(&self, answer: Vec<u8>) {
        *self.answer.lock().unwrap() = answer;
    }
}

/// A provider whose key has this name.
fn named(kid: &str) -> (Provider, Value) {
    let provider = Provider::new("ES256");
    let key = with(&provider.key(), "kid", json!(kid));
    (provider, key)
}

/// The rule of a policy for the address of keys, and its remote keys.
fn remote(url: &str, certificate: &str) -> (Rule, Arc<Remote>) {
    let more = format!("{USERNAME}, jwks_ca = \"ca.pem\"");
    let rule = crate::oidc::read_rule_at(url, certificate, &more).unwrap();
    let Rule::Oidc(issuer) = &rule else {
        panic!("another rule");
    };
    let remote = Arc::clone(issuer.remote().unwrap());
    (rule, remote)
}

const UNAVAILABLE: &str = "the keys of the identity provider are not available now";

#[test]
fn if_a_set_cannot_be_fetched_the_last_good_one_is_used_for_a_day() {
    let provider = Provider::new("ES256");
    let good = ok(&jwks(&[provider.key()]));
    let server = Server::start(good.clone());
    let (rule, remote) = remote(&server.url, &server.certificate);
    let request = SoftwareTpm::new().request();
    let now = ca_server::authority::now();
    let at = |now: u64| {
        let token = provider.sign(&provider.head(), &claims(&request, now));
        crate::oidc::judge_at(&rule, &token, &request, now)
    };
    assert_eq!(at(now), Err(UNAVAILABLE));
    let redirect = b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let chunk = [&b"10001\r\n"[..], &[b' '; 0x10001], b"\r\n0\r\n\r\n"].concat();
    let failures: [(Vec<u8>, &str); 6] = [
        (redirect.to_vec(), "the server answers with status 302"),
        (
            b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
            "the server answers with status 500",
        ),
        (ok(&" ".repeat(0x10001)), "they are longer than 65536 bytes"),
        (
            [&chunked[..], &chunk].concat(),
            "they are longer than 65536 bytes",
        ),
        (ok("<html>"), "it is no set of keys (JWKS): "),
        (
            ok("{\"keys\": []}"),
            "no key for RS256, ES256 or ES384 is in it",
        ),
    ];
    let all_fail = || {
        for (answer, says) in &failures {
            server.says(answer.clone());
            let why = remote.fetch().unwrap_err();
            assert!(why.starts_with(says), "{why}");
        }
    };
    all_fail();
    assert_eq!(at(now), Err(UNAVAILABLE));
    server.says(good);
    remote.fetch().unwrap();
    all_fail();
    let day = 24 * 60 * 60;
    assert_eq!(at(now), Ok(vec!["anna".to_owned()]));
    assert_eq!(at(now + day - 60), Ok(vec!["anna".to_owned()]));
    assert_eq!(at(now + day + 60), Err(UNAVAILABLE));
    // Keys in a file have no such limit.
    let file = read_rule(&jwks(&[provider.key()]), USERNAME).unwrap();
    let token = provider.sign(
        &provider.head(),
        &claims(&request, crate::software_tpm::NOW),
    );
    judge(&file, &token, &request).unwrap();
}

#[test]
fn a_server_that_is_not_trusted_or_does_not_answer_gives_no_keys() {
    let provider = Provider::new("ES256");
    let server = Server::start(ok(&jwks(&[provider.key()])));
    let other = Server::start(Vec::new());
    let (_rule, wrong) = remote(&server.url, &other.certificate);
    let why = wrong.fetch().unwrap_err();
    assert!(why.contains("certificate"), "{why}");
    // The certificate is only for the IP address.
    let by_name = server.url.replace("127.0.0.1", "localhost");
    let (_rule, wrong) = remote(&by_name, &server.certificate);
    let why = wrong.fetch().unwrap_err();
    assert!(why.contains("certificate"), "{why}");
    let (_rule, gone) = remote("https://127.0.0.1:1/keys", &server.certificate);
    let why = gone.fetch().unwrap_err();
    assert!(why.contains("refused"), "{why}");
}

/// A node that accepts ID tokens, with the provider's keys at an address.
fn node(server: &Server) -> Node {
    let mut node = Node::initialised();
    let ca = node.at("provider.pem");
    fs::write(&ca, &server.certificate).unwrap();
    let rule = rule(&server.url, &format!("{USERNAME}, jwks_ca = {ca:?}"));
    node.change_policy("ttl = \"8h\"", &format!("ttl = \"8h\"\n{rule}"));
    node.serve();
    node
}

/// A machine with a token that the key `kid` has signed.
fn person(provider: &Provider, kid: &str) -> SoftwareTpm {
    let mut tpm = host("anna", "");
    tpm.kind = Kind::User;
    tpm.behind_lockout();
    let claims = claims(&tpm.request(), ca_server::authority::now());
    let head = with(&provider.head(), "kid", json!(kid));
    tpm.identity = Identity::Oidc(provider.sign(&head, &claims));
    tpm
}

#[test]
fn a_node_fetches_the_keys_and_again_for_a_token_by_a_new_key() {
    let (first, first_key) = named("first");
    let server = Server::start(ok(&jwks(&[first_key])));
    let node = node(&server);
    let tpm = person(&first, "first");
    wait(|| node.begin(&tpm).status == 200);
    assert_eq!(node.enrol(&tpm).certificate().principals(), ["anna"]);
    let (second, second_key) = named("second");
    server.says(ok(&jwks(&[second_key])));
    let next = person(&second, "second");
    let why = "the identity token is signed by a key that is not known here";
    let refused = (403, "identity".to_owned(), why.to_owned());
    assert_eq!(node.begin(&next).refused(), refused);
    wait(|| node.begin(&next).status == 200);
    assert_eq!(node.begin(&tpm).refused(), refused);
    // A reload of the policy keeps the fetched keys.
    server.says(b"nonsense".to_vec());
    node.ok(&["policy", "reload"]);
    assert_eq!(node.begin(&next).status, 200);
}

#[test]
fn a_node_whose_provider_cannot_be_reached_serves_everybody_else() {
    let (provider, key) = named("one");
    let server =
        Server::start(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec());
    let node = node(&server);
    let says = format!(
        "tpmssh-ca: the keys at {} are not fetched: the server answers with status 503\n",
        server.url
    );
    node.wait_until_printed(&says);
    node.host("web1");
    // The token makes the node fetch the keys again.
    server.says(ok(&jwks(&[key])));
    let tpm = person(&provider, "one");
    let (status, code, _) = node.begin(&tpm).refused();
    assert_eq!((status, code.as_str()), (503, "busy"));
    let log = fs::read_to_string(node.own("audit.log")).unwrap();
    assert!(log.contains(UNAVAILABLE), "{log}");
    wait(|| node.begin(&tpm).status == 200);
    node.wait_until_printed("are fetched again\n");
}
