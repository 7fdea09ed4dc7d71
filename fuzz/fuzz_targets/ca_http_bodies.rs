//! What machines and administrators send to `tpmssh-ca`: the bodies of requests and the lines of the socket, down to the registry.

#![no_main]

use std::cell::RefCell;
use std::path::Path;

use ca_server::audit::Audit;
use ca_server::authority::{Authority, Rules};
use ca_server::policy::{Files, Policy};
use ca_server::registry::sqlite::Sqlite;
use ca_server::registry::{Assignment, Expected, Registry};
use ca_server::signer::Signer;
use ca_server::{Refusal, Reply, admin};
use key_proof::{Anchors, PublicArea, Renewal, Request, TicketKey};
use libfuzzer_sys::fuzz_target;
use ssh_format::{AnyKey, Signature};

const NOW: u64 = 1_795_000_000;
/// Inputs after which the registry and the audit log are made anew, so that they do not fill the memory.
const FRESH: u32 = 5_000;

/// Nobody who is made up gets this far.
struct NoSigner;

impl Signer for NoSigner {
    fn sign(&self, _key: &AnyKey, _data: &[u8]) -> Result<Signature, Refusal> {
        Err(Refusal::Signer("there is no key".into()))
    }

    fn unlisted<'a>(&self, keys: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal> {
        Ok(keys.first().copied())
    }
}

struct NoFiles;

impl Files for NoFiles {
    fn roots(&mut self, _: &Path, _: &mut Anchors) -> Result<(), String> {
        Ok(())
    }

    fn read(&mut self, _: &Path) -> Result<Vec<u8>, String> {
        Err("there is none".to_owned())
    }
}

/// An authority that expects the machine of the request in the seeds.
fn authority() -> Authority {
    let request = Request::from_json(include_bytes!("../seeds/ca_http_bodies/request.json"));
    let request = request.expect("the seed is a request");
    let policy = include_str!("../seeds/policy_toml/init.toml");
    let policy = policy.replace("https://ca.example/", &request.audience);
    let policy = Policy::parse(&policy, &mut NoFiles).expect("the seed is a policy");
    let registry = Sqlite::open(Path::new("file:fuzz?mode=memory&cache=shared"));
    let registry = registry.expect("a registry in memory");
    let ek = PublicArea::parse(&request.ek).expect("the seed has a key");
    let expected = Expected {
        ek_name: ek.name(),
        assignment: Assignment {
            role: request.kind.name().to_owned(),
            name: request.principals.first().cloned().unwrap_or_default(),
        },
    };
    let _ = registry.import(&[expected], NOW);
    // Of this process alone: several run at once.
    let log = std::env::temp_dir().join(format!("tpmssh-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_file(&log);
    let audit = Audit::open(&log).expect("a file for the audit log");
    let _ = std::fs::remove_file(&log);
    let rules = Rules {
        policy,
        tickets: vec![TicketKey::new([1; 32])],
        tickets_since: NOW,
    };
    Authority::new(rules, Box::new(registry), Box::new(NoSigner), audit).expect("an authority")
}

thread_local! {
    static AUTHORITY: RefCell<(u32, Option<Authority>)> = const { RefCell::new((0, None)) };
}

fuzz_target!(|data: &[u8]| {
    AUTHORITY.with_borrow_mut(|(runs, kept)| {
        *runs += 1;
        if *runs % FRESH == 0 {
            // The registry in memory ends with its last connection.
            *kept = None;
        }
        ask(kept.get_or_insert_with(authority), data);
    });
});

fn ask(authority: &Authority, data: &[u8]) {
    let _ = authority.begin(data, NOW);
    let refused = |reply: Result<Reply, Refusal>| assert!(!matches!(reply, Ok(Reply::Json(_))));
    // Nobody can guess what a ticket has sealed, or sign as a TPM does.
    refused(authority.finish(data, NOW));
    refused(authority.renew(data, NOW));
    if let (Ok(mut renewal), Ok(nonce)) = (Renewal::from_json(data), authority.nonce(NOW)) {
        renewal.nonce = nonce;
        refused(authority.renew(renewal.to_json().as_bytes(), NOW));
    }
    let _ = serde_json::from_slice::<admin::Question>(data);
}
