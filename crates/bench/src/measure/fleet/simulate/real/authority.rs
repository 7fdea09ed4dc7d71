//! The authority itself: a node without a network, on a directory in memory.

use std::{fs::File, path::Path};

use anyhow::{Context, Result, bail};
use ca_server::{
    Refusal, Reply,
    audit::{self, Audit},
    authority::{Authority, Rules},
    policy::{Files, Policy},
    registry::{Assignment, Expected, sqlite::Sqlite},
    signer::Signer,
};
use enroll::Authorities;
use key_proof::{Anchors, TicketKey};
use rand_core::{OsRng, RngCore};
use ssh_format::{AnyKey, Signature};
use testing::memory_dir;

use crate::measure::fleet::{machine::Machine, renewer::AUDIENCE, software_key::SoftwareKey};

const ROLE: &str = "host";

pub(super) struct Node {
    authority: Authority,
    keys: [AnyKey; 2],
    dir: tempfile::TempDir,
}

impl Node {
    /// A node whose certificates are good for `ttl`.
    pub(super) fn new(ttl: &str) -> Result<Self> {
        let dir = memory_dir();
        let own = [SoftwareKey::new(), SoftwareKey::new()];
        let keys = [own[0].public()?, own[1].public()?];
        let lines = keys.each_ref().map(|key| key.line(""));
        let [user, host] = lines.each_ref().map(|line| line.trim_end());
        let policy = format!(
            "version = 1\naudience = \"{AUDIENCE}\"\n[listen]\naddress = \"127.0.0.1:8700\"\n\
             [ca]\nagent = \"/nobody\"\nuser = \"{user}\"\nhost = \"{host}\"\n\
             [role.{ROLE}]\nkind = \"host\"\nmode = \"B\"\nprincipals = [\"{{name}}\"]\nttl = \"{ttl}\"\n"
        );
        let mut ticket = [0; 32];
        OsRng.fill_bytes(&mut ticket);
        let rules = Rules {
            policy: Policy::parse(&policy, &mut NoFiles)?,
            tickets: vec![TicketKey::new(ticket)],
            tickets_since: 0,
        };
        let registry = Sqlite::open(&dir.path().join("registry"))?;
        let signer = InSoftware(keys.clone().into_iter().zip(own).collect());
        let audit = Audit::open(&dir.path().join("audit.log"))?;
        Ok(Self {
            authority: Authority::new(rules, Box::new(registry), Box::new(signer), audit)?,
            keys,
            dir,
        })
    }

    /// Its keys, as a host is given them.
    pub(super) fn trusted(&self) -> Authorities {
        let [user, host] = self.keys.clone();
        Authorities::given(vec![user], vec![host])
    }

    pub(super) fn import(&self, machine: &Machine, now: u64) -> Result<()> {
        let expected = Expected {
            ek_name: machine.ek_name()?,
            assignment: Assignment {
                role: ROLE.to_owned(),
                name: machine.name()?.to_owned(),
            },
        };
        let refused = self.authority.registry().import(&[expected], now)?;
        refused.map_or(Ok(()), |_| bail!("the import of a machine was refused"))
    }

    pub(super) fn begin(&self, request: &str, now: u64) -> Result<String> {
        granted(self.authority.begin(request.as_bytes(), now))
    }

    /// Whether a request for a challenge is refused because of its sender.
    pub(super) fn turns_away(&self, request: &str, now: u64) -> bool {
        let done = self.authority.begin(request.as_bytes(), now);
        done.is_err_and(|refusal| refusal.status() == 403)
    }

    pub(super) fn finish(&self, proof: &str, now: u64) -> Result<String> {
        granted(self.authority.finish(proof.as_bytes(), now))
    }

    pub(super) fn nonce(&self, now: u64) -> Result<[u8; 32]> {
        Ok(self.authority.nonce(now)?)
    }

    pub(super) fn renew(&self, renewal: &str, now: u64) -> Result<String> {
        granted(self.authority.renew(renewal.as_bytes(), now))
    }

    /// Ends it, and checks its log. Returns how many certificates there are in it.
    pub(super) fn end(self) -> Result<u64> {
        let Self { authority, dir, .. } = self;
        drop(authority);
        let log = File::open(dir.path().join("audit.log"))?;
        audit::verify(&log)?;
        count(&log)
    }

    #[cfg(test)]
    pub(super) fn revoke(&self, device: i64) -> Result<bool> {
        Ok(self.authority.registry().revoke(device, "", 0, "")?)
    }
}

/// The lines with the serial number of a certificate.
fn count(log: &File) -> Result<u64> {
    use std::io::{BufRead, BufReader, Seek};
    let mut log = BufReader::new(log);
    log.rewind()?;
    let mut count = 0;
    for line in log.lines() {
        count += u64::from(line?.contains("\"serial\":"));
    }
    Ok(count)
}

/// An answer with status 200.
fn granted(reply: Result<Reply, Refusal>) -> Result<String> {
    match reply {
        Ok(Reply::Json(text)) => Ok(text),
        Ok(Reply::Pending(_)) => bail!("pending"),
        Err(refusal) => {
            let code = refusal.code();
            Err(refusal).context(code)
        }
    }
}

/// The policy names none.
struct NoFiles;

impl Files for NoFiles {
    fn roots(&mut self, _: &Path, _: &mut Anchors) -> Result<(), String> {
        Err("there are no files".to_owned())
    }

    fn read(&mut self, _: &Path) -> Result<Vec<u8>, String> {
        Err("there are no files".to_owned())
    }
}

/// The authority's keys. How long they take is the simulation's to say.
struct InSoftware(Vec<(AnyKey, SoftwareKey)>);

impl Signer for InSoftware {
    fn sign(&self, key: &AnyKey, data: &[u8]) -> Result<Signature, Refusal> {
        let own = self.0.iter().find(|(public, _)| public == key);
        let (_, own) = own.ok_or_else(|| Refusal::Signer("there is no such key".into()))?;
        own.signature(data)
            .map_err(|err| Refusal::Signer(err.into()))
    }

    fn unlisted<'a>(&self, keys: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal> {
        let is_here = |key: &AnyKey| self.0.iter().any(|(public, _)| public == key);
        Ok(keys.iter().find(|key| !is_here(key)).copied())
    }
}
