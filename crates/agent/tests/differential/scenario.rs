//! A key with constraints, a connection with binds, and a login, all made at random: mostly such
//! as `ssh` and `ssh-add` send, and some with a change.

use agent::bind::Binds;
use agent::destination::{permits, visible};
use agent::protocol::{Constraints, fields, put_string};
use p256::ecdsa::SigningKey;
use ssh_key::certificate::CertType;
use ssh_key::public::{EcdsaPublicKey, KeyData};
use testing::differential::{Random, Verdict};

use crate::host::Host;
use crate::incumbent::Incumbent;

/// What both agents are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Constrain,
    Bind,
    See,
    Sign,
}

impl Question {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Constrain => "destination constraints",
            Self::Bind => "session binds",
            Self::See => "keys seen over a bound connection",
            Self::Sign => "logins signed over a bound connection",
        }
    }
}

const HOSTS: [&[u8]; 5] = [b"web", b"db", b"w*", b"*", b""];
const USERS: [&[u8]; 7] = [b"", b"anna", b"bert", b"a*", b"?e*", b"!bert,*", b"*"];
const LOGINS: [&[u8]; 4] = [b"anna", b"bert", b"", b"root"];
const SESSIONS: [&[u8]; 4] = [b"one session", b"another", b"a third", b""];
const FAR: u64 = 4_000_000_000;

pub(crate) struct Scenario {
    key: SigningKey,
    constraints: Vec<u8>,
    /// The contents of each `session-bind@openssh.com`.
    binds: Vec<Vec<u8>>,
    /// The key that the login names, and what is to be signed.
    login: Vec<u8>,
}

/// The number of a server, and whether it shows a certificate.
type Server = (u8, bool);

/// A server of the scenario: its number is its key, and that of its authority.
fn host(random: &mut Random) -> (u8, Host) {
    let seed = u8::try_from(1 + random.below(3)).unwrap();
    (seed, Host::new(seed))
}

fn authority(seed: u8) -> Host {
    Host::new(100 + seed)
}

impl Scenario {
    pub(crate) fn new(random: &mut Random) -> Self {
        let key = SigningKey::from_slice(&[77; 32]).unwrap();
        let blob = blob(&key);
        let mut shown = Vec::new();
        let mut sessions = Vec::new();
        let mut binds = Vec::new();
        let mut path = Vec::new();
        let count = random.below(4);
        for number in 0..count {
            let (seed, host) = host(random);
            let host_key = host_key(random, seed, &host);
            let session = if random.chance(92) {
                SESSIONS[number % 3]
            } else {
                random.text(&SESSIONS)
            };
            let forwarding = if number + 1 == count {
                random.chance(15)
            } else {
                random.chance(92)
            };
            let mut bind = if host_key == host.blob() {
                host.bind(session, forwarding)
            } else {
                host.bind_as(&host_key, session, forwarding)
            };
            if random.chance(6) {
                change(random, &mut bind);
            }
            binds.push(bind);
            path.push((seed, host_key != host.blob()));
            shown.push(host_key);
            sessions.push(session.to_vec());
        }
        // Without help, hardly any path of several servers would be permitted.
        let permitted: &[_] = if random.chance(75) { &path } else { &[] };
        let constraints = constraints(random, permitted);
        let login = login(random, &blob, &sessions, &shown);
        Self {
            key,
            constraints,
            binds,
            login,
        }
    }

    /// Both answers to each question that can be asked. What follows a refused constraint is not
    /// asked, as there is no key then.
    pub(crate) fn ask(&self, incumbent: &mut Incumbent) -> Vec<(Question, Verdict)> {
        let mut verdicts = Vec::new();
        let taken = incumbent.hold(&self.key, &self.constraints);
        let decoded = Constraints::decode(&mut fields(&self.constraints));
        if decoded.as_ref().is_ok_and(has_an_unknown_type) {
            // Another version of OpenSSH may know it, and it fits no server here.
            return verdicts;
        }
        let mut ask = |question, ours: Result<(), String>, theirs| {
            let verdict = Verdict {
                input: self.input(),
                ours,
                theirs,
            };
            verdicts.push((question, verdict));
        };
        ask(
            Question::Constrain,
            decoded.as_ref().map(drop).map_err(ToString::to_string),
            taken,
        );
        let (Ok(constraints), true) = (decoded, taken) else {
            return verdicts;
        };
        let mut connection = incumbent.connect();
        let mut binds = Binds::default();
        for bind in &self.binds {
            let ours = binds.add(bind).map_err(|err| err.to_string());
            let theirs = connection.bind(bind);
            let differ = ours.is_ok() != theirs;
            ask(Question::Bind, ours, theirs);
            if differ {
                // The connections are no longer the same.
                return verdicts;
            }
        }
        let destinations = &constraints.destinations;
        let hidden = if self.shows_a_certificate_without_names() {
            "the certificate names no principal"
        } else if binds.failed() {
            "a bind of this connection was refused"
        } else {
            "it is not to be seen"
        };
        ask(
            Question::See,
            visible(destinations, &binds)
                .then_some(())
                .ok_or_else(|| hidden.to_owned()),
            connection.sees_a_key(),
        );
        let key = blob(&self.key);
        ask(
            Question::Sign,
            permits(destinations, &binds, &self.login, &key)
                .map_err(|why| format!("{why}: {hidden}")),
            connection.signs(&key, &self.login),
        );
        verdicts
    }

    fn shows_a_certificate_without_names(&self) -> bool {
        self.binds.iter().any(|bind| {
            let host_key = fields(bind).string().unwrap_or_default();
            ssh_format::Certificate::from_blob(host_key)
                .is_ok_and(|certificate| certificate.principals().is_empty())
        })
    }

    fn input(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, &self.constraints);
        for bind in &self.binds {
            put_string(&mut out, bind);
        }
        put_string(&mut out, &self.login);
        out
    }
}

fn has_an_unknown_type(constraints: &Constraints) -> bool {
    constraints.destinations.iter().any(|entry| {
        let from = entry.from.iter().flat_map(|hop| &hop.keys);
        from.chain(&entry.to.keys).any(|key| {
            let read = ssh_format::AnyKey::from_blob(&key.blob);
            matches!(read, Err(ssh_format::Error::UnknownKeyType(_)))
        })
    })
}

fn blob(key: &SigningKey) -> Vec<u8> {
    let key = KeyData::from(EcdsaPublicKey::from(key.verifying_key()));
    ssh_key::PublicKey::from(key).to_bytes().unwrap()
}

/// What a server shows: its key, or a certificate of it.
fn host_key(random: &mut Random, seed: u8, host: &Host) -> Vec<u8> {
    if random.chance(60) {
        return host.blob();
    }
    let kind = if random.chance(90) {
        CertType::Host
    } else {
        CertType::User
    };
    let name = ["web", "db", "w*", "*", "web,db", ""][random.below(6)];
    let until = if random.chance(90) { FAR } else { 2 };
    let signer = if random.chance(90) {
        seed
    } else {
        u8::try_from(1 + random.below(3)).unwrap()
    };
    authority(signer).certify(&host.blob(), kind, name, until)
}

/// One to three permitted hops, such as `ssh-add -h` sends, besides those along `path`, and sometimes
/// other constraints.
fn constraints(random: &mut Random, path: &[Server]) -> Vec<u8> {
    let mut list = Vec::new();
    let mut from = hop(random, Some((b"", b"", 0)));
    for server in path {
        let mut entry = Vec::new();
        put_string(&mut entry, &from);
        let user = if random.chance(70) {
            b""
        } else {
            random.text(&USERS)
        };
        put_string(&mut entry, &hop_of(random, user, *server));
        put_string(&mut entry, b"");
        put_string(&mut list, &entry);
        from = hop_of(random, b"", *server);
    }
    for number in 0..=random.below(3) {
        let mut entry = Vec::new();
        let local = if number == 0 {
            random.chance(85)
        } else {
            random.chance(25)
        };
        let from = if local {
            hop(random, Some((b"", b"", 0)))
        } else {
            hop(random, None)
        };
        put_string(&mut entry, &from);
        let mut to = Vec::new();
        let user = if random.chance(50) {
            b""
        } else {
            random.text(&USERS)
        };
        let name = if random.chance(97) {
            HOSTS[random.below(4)]
        } else {
            b""
        };
        let keys = if random.chance(97) {
            1 + random.below(3)
        } else {
            0
        };
        to.extend(hop(random, Some((user, name, keys))));
        put_string(&mut entry, &to);
        let reserved: &[u8] = if random.chance(98) { b"" } else { b"later" };
        put_string(&mut entry, reserved);
        put_string(&mut list, &entry);
    }
    let mut out = Vec::new();
    if random.chance(5) {
        out.extend_from_slice(&[1, 0, 0, 1, 0]);
    }
    out.push(255);
    let name: &[u8] = if random.chance(98) {
        b"restrict-destination-v00@openssh.com"
    } else {
        b"restrict-destination-v01@openssh.com"
    };
    put_string(&mut out, name);
    put_string(&mut out, if random.chance(98) { &list } else { b"" });
    if random.chance(8) {
        change(random, &mut out);
    }
    out
}

/// The hop of one server: its key, or that of its authority if it shows a certificate.
fn hop_of(random: &mut Random, user: &[u8], (seed, is_certified): Server) -> Vec<u8> {
    let mut out = Vec::new();
    put_string(&mut out, user);
    put_string(&mut out, HOSTS[random.below(4)]);
    put_string(&mut out, b"");
    let key = if is_certified {
        authority(seed)
    } else {
        Host::new(seed)
    };
    put_string(&mut out, &key.blob());
    out.push(is_certified.into());
    out
}

/// A hop: user, host, nothing, and keys with whether each is an authority.
fn hop(random: &mut Random, given: Option<(&[u8], &[u8], usize)>) -> Vec<u8> {
    let (user, name, keys) = given.unwrap_or_else(|| {
        let user: &[u8] = if random.chance(97) { b"" } else { b"anna" };
        (user, random.text(&HOSTS), 1 + random.below(2))
    });
    let mut out = Vec::new();
    put_string(&mut out, user);
    put_string(&mut out, name);
    put_string(&mut out, b"");
    for _ in 0..keys {
        let (seed, host) = host(random);
        let is_ca = random.chance(50);
        let blob = if is_ca == random.chance(90) {
            authority(seed).blob()
        } else {
            host.blob()
        };
        put_string(&mut out, &blob);
        out.push(is_ca.into());
    }
    out
}

/// What `ssh` has signed at a login.
fn login(random: &mut Random, key: &[u8], sessions: &[Vec<u8>], shown: &[Vec<u8>]) -> Vec<u8> {
    let session = match sessions.last() {
        Some(last) if random.chance(90) => last.clone(),
        _ => random.text(&SESSIONS).to_vec(),
    };
    let bound = random.chance(80);
    let method: &[u8] = if bound {
        b"publickey-hostbound-v00@openssh.com"
    } else {
        b"publickey"
    };
    let mut out = Vec::new();
    put_string(&mut out, &session);
    out.push(if random.chance(98) { 50 } else { 51 });
    put_string(&mut out, random.text(&LOGINS));
    let service: &[u8] = if random.chance(97) {
        b"ssh-connection"
    } else {
        b"ssh-userauth"
    };
    put_string(&mut out, service);
    put_string(&mut out, method);
    out.push(u8::from(random.chance(98)));
    put_string(&mut out, b"ecdsa-sha2-nistp256");
    let named = if random.chance(97) {
        key.to_vec()
    } else {
        Host::new(1).blob()
    };
    put_string(&mut out, &named);
    if bound {
        let host_key = match shown.last() {
            Some(last) if random.chance(92) => last.clone(),
            _ => Host::new(2).blob(),
        };
        put_string(&mut out, &host_key);
    }
    if random.chance(6) {
        change(random, &mut out);
    }
    out
}

/// One byte is another one, missing, or one too many.
fn change(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    match random.below(4) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.byte()),
        2 => bytes[at] ^= 1 << random.below(8),
        _ => bytes.push(0),
    }
}
