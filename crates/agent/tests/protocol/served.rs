//! An agent in this process, with a TPM and a store of its own.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use agent::broker::{Broker, Way};
use agent::{Options, Policy, Socket};
use ssh_format::{Curve, PublicKey};
pub(crate) use testing::eventually;
use testing::{AgentClient, Swtpm, Tap, message};
use token_store::token::{self, InitOptions};
use token_store::{KeySpec, OpenToken, Pin, SoPin, Store, StoreDir, WallKind};
use tokio::sync::oneshot;
use tpm_core::{KeyType, OwnerAuth, Tpm};

pub(crate) const FAILURE: &[u8] = &[5];
pub(crate) const SUCCESS: &[u8] = &[6];
pub(crate) const EXTENSION_FAILURE: &[u8] = &[28];
/// The list of keys.
pub(crate) const LIST: &[u8] = &[11];
pub(crate) const REMOVE_ALL: &[u8] = &[19];
/// `TPM2_Sign`.
pub(crate) const SIGN: u32 = 0x15d;

pub(crate) const PIN: &str = "correct horse";

/// A token `t` in a TPM, with keys; what an agent is made from.
pub(crate) struct Fixture {
    pub(crate) tap: Tap,
    pub(crate) dir: tempfile::TempDir,
    /// The blobs of the keys, in the order in which they were made.
    pub(crate) keys: Vec<Vec<u8>>,
    upstreams: Vec<PathBuf>,
    policy: Policy,
    askpass: Option<PathBuf>,
    patience: Duration,
    sha1: bool,
    _swtpm: Swtpm,
}

impl Fixture {
    /// A token without a PIN and with these keys.
    pub(crate) fn new(keys: &[KeyType]) -> Self {
        Self::with_wall(WallKind::None, keys)
    }

    /// A token with a PIN, and one key.
    pub(crate) fn with_pin() -> Self {
        Self::with_wall(WallKind::Counter, &[KeyType::EccP256])
    }

    fn with_wall(wall: WallKind, keys: &[KeyType]) -> Self {
        let swtpm = Swtpm::start();
        let tap = Tap::start(&swtpm);
        let dir = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .unwrap();
        let mut fixture = Self {
            tap,
            dir,
            keys: Vec::new(),
            upstreams: Vec::new(),
            policy: Policy::UntilLocked,
            askpass: None,
            patience: Duration::from_secs(30),
            sha1: false,
            _swtpm: swtpm,
        };
        let tpm = Arc::new(fixture.tpm());
        let mut store = Store::open_or_create(&fixture.store()).unwrap();
        let options = InitOptions {
            wall: Some(wall),
            ..InitOptions::new("t")
        };
        let pin = Pin::new(PIN.as_bytes()).unwrap();
        let pin = (wall != WallKind::None).then_some(&pin);
        let so = SoPin::new(b"battery staple").unwrap();
        let owner = OwnerAuth::empty();
        let token = token::init(&mut store, &tpm, &options, Some(&so), pin, &owner).unwrap();
        let open = OpenToken::open(&store, &tpm, &token.token, pin).unwrap();
        for (number, key_type) in keys.iter().enumerate() {
            let spec = KeySpec::new(*key_type, format!("key {number}"));
            let pair = open.generate(&mut store, &spec).unwrap();
            fixture
                .keys
                .push(blob(pair.private.key().unwrap().public()));
        }
        fixture.tap.reset();
        fixture
    }

    fn tpm(&self) -> Tpm {
        Tpm::new(self.tap.tcti().parse().unwrap())
    }

    pub(crate) fn store(&self) -> StoreDir {
        StoreDir::at(self.dir.path().join("store")).unwrap()
    }

    /// The tries left, without asking the chip.
    pub(crate) fn tries_left(&self) -> u32 {
        let store = Store::open(&self.store()).unwrap();
        let token = store.find_token("t").unwrap();
        token::refresh_tries(&store, &self.tpm(), &token)
            .unwrap()
            .unwrap()
            .left
    }

    /// Makes a key with this label in the token, which has a PIN; returns its blob.
    pub(crate) fn add_key(&self, label: &str) -> Vec<u8> {
        let mut store = Store::open(&self.store()).unwrap();
        let token = store.find_token("t").unwrap();
        let pin = Pin::new(PIN.as_bytes()).unwrap();
        let open = OpenToken::open(&store, &Arc::new(self.tpm()), &token, Some(&pin)).unwrap();
        let spec = KeySpec::new(KeyType::EccP256, label);
        let pair = open.generate(&mut store, &spec).unwrap();
        blob(pair.private.key().unwrap().public())
    }

    pub(crate) fn proxy(mut self, socket: &Path) -> Self {
        self.upstreams.push(socket.to_owned());
        self
    }

    pub(crate) fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// RSA keys sign with SHA-1 as well.
    pub(crate) fn sha1(mut self) -> Self {
        self.sha1 = true;
        self
    }

    /// A program for `SSH_ASKPASS`: what follows `#!/bin/sh`.
    pub(crate) fn askpass(mut self, script: &str) -> Self {
        let path = self.dir.path().join("askpass");
        // Another process writes it: were it open here while another test starts a child, it
        // could not be executed ("text file busy").
        let mut install = Command::new("install")
            .args(["-m", "700", "/dev/stdin"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = install.stdin.take().unwrap();
        write!(stdin, "#!/bin/sh\n{script}\n").unwrap();
        drop(stdin);
        assert!(install.wait().unwrap().success());
        self.askpass = Some(path);
        self
    }

    /// Starts the agent.
    pub(crate) fn serve(self) -> Served {
        let socket = self.dir.path().join("run/agent.sock");
        let options = Options {
            tpm: Arc::new(self.tpm()),
            store: self.store(),
            token: None,
            policy: self.policy,
            token_policies: Default::default(),
            broker: Broker::new(self.askpass.clone().map(Way::Askpass), self.patience),
            upstreams: self.upstreams.clone(),
            audit: Some(self.dir.path().join("log")),
            notify: false,
            sha1: self.sha1,
            public_files: None,
        };
        let claimed = Socket::claim(&socket).unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            agent::serve_until(claimed, options, async {
                let _ = ended.await;
            })
        });
        Served {
            fixture: self,
            socket,
            end: Some(end),
            thread: Some(thread),
        }
    }
}

/// The SSH form of a key of the chip.
fn blob(key: &tpm_core::PublicKey) -> Vec<u8> {
    let key = match key {
        tpm_core::PublicKey::Rsa { n, e } => PublicKey::rsa(n, *e),
        tpm_core::PublicKey::Ecc { curve, x, y } => {
            let curve = match curve {
                tpm_core::Curve::P256 => Curve::NistP256,
                tpm_core::Curve::P384 => Curve::NistP384,
                tpm_core::Curve::P521 => Curve::NistP521,
            };
            PublicKey::ecdsa(curve, x, y)
        }
    };
    key.unwrap().blob().to_vec()
}

/// A running agent; it ends when this is dropped, and must do so well.
pub(crate) struct Served {
    pub(crate) fixture: Fixture,
    pub(crate) socket: PathBuf,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<agent::Result<()>>>,
}

impl Served {
    pub(crate) fn client(&self) -> AgentClient {
        AgentClient::connect(&self.socket)
    }

    /// The first key.
    pub(crate) fn key(&self) -> &[u8] {
        &self.fixture.keys[0]
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.fixture.dir.path().join("log")).unwrap()
    }

    /// Checks that nothing stayed in the chip.
    pub(crate) fn assert_idle(&self) {
        let tpm = self.fixture.tpm();
        let info = tpm_core::info::read(&tpm.begin().unwrap()).unwrap();
        let left = (info.loaded, info.active_sessions);
        assert_eq!(left, (0, 0), "objects and sessions stay in the TPM");
    }
}

impl Served {
    /// Ends it; what it left can be looked at afterwards.
    pub(crate) fn end(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

/// A request for a signature.
pub(crate) fn sign(key: &[u8], data: &[u8], flags: u32) -> Vec<u8> {
    let mut request = message(13, &[key, data]);
    request.extend(flags.to_be_bytes());
    request
}

/// A request with an extension.
pub(crate) fn extension(name: &str, contents: &[u8]) -> Vec<u8> {
    let mut request = message(27, &[name.as_bytes()]);
    request.extend(contents);
    request
}

/// The blobs and comments of a list.
#[track_caller]
pub(crate) fn listed(answer: &[u8]) -> Vec<(Vec<u8>, String)> {
    let mut reader = agent::protocol::fields(answer);
    assert_eq!(reader.byte().unwrap(), 12, "{answer:?}");
    let count = reader.u32().unwrap();
    let keys = (0..count).map(|_| {
        let blob = reader.string().unwrap().to_vec();
        (blob, reader.text("comment").unwrap().to_owned())
    });
    let keys = keys.collect();
    reader.finish().unwrap();
    keys
}

/// The blobs that the agent lists.
pub(crate) fn blobs(client: &mut AgentClient) -> Vec<Vec<u8>> {
    let list = listed(&client.ask(LIST));
    list.into_iter().map(|(blob, _)| blob).collect()
}

/// Checks that `answer` is a signature of `key` over `data`; returns its algorithm.
#[track_caller]
pub(crate) fn assert_signed(answer: &[u8], key: &[u8], data: &[u8]) -> String {
    use signature::Verifier;
    use ssh_key::Signature;

    let mut reader = agent::protocol::fields(answer);
    assert_eq!(reader.byte().unwrap(), 14, "{answer:?}");
    let signature = Signature::try_from(reader.string().unwrap()).unwrap();
    reader.finish().unwrap();
    let key = ssh_key::PublicKey::from_bytes(key).unwrap();
    key.key_data().verify(data, &signature).unwrap();
    signature.algorithm().to_string()
}
