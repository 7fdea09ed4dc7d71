//! The keys that seal challenges.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, ensure};
use key_proof::TicketKey;
use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

use super::dir::Dir;
use crate::files;

/// The longest file of keys, in bytes: 60 keys.
const MAX: u64 = 4096;

/// Makes a file with a new key, unless there is a file. Nodes with the same file accept answers to each other's challenges.
pub(super) fn make(dir: &Dir) -> anyhow::Result<()> {
    if dir.tickets().exists() {
        return Ok(());
    }
    let mut secret = Zeroizing::new([0_u8; 32]);
    OsRng.fill_bytes(&mut *secret);
    let mut line = Zeroizing::new([b'\n'; 65]);
    base16ct::lower::encode(&*secret, &mut line[..64]).map_err(anyhow::Error::msg)?;
    files::write_new(&dir.tickets(), 0o600, &*line)
}

/// A key for a node without such a file. It is only in memory, which is enough because a challenge is valid for two minutes.
pub(super) fn own() -> TicketKey {
    let mut secret = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *secret);
    TicketKey::new(*secret)
}

/// When the file was last changed, in seconds since 1970; `None` if there is no file.
pub(super) fn since(dir: &Dir) -> Option<u64> {
    let meta = fs::metadata(dir.tickets()).ok()?;
    u64::try_from(meta.mtime()).ok()
}

/// The keys of this node: those of the file, or `own` without a file. The first one seals, and all of them can open.
pub(super) fn keys(dir: &Dir, own: &TicketKey) -> anyhow::Result<Vec<TicketKey>> {
    let path = dir.tickets();
    let shown = path.display();
    if !path.exists() {
        return Ok(vec![own.clone()]);
    }
    let text = files::read_secret(&path, MAX)?;
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let key = key(line.trim());
        let key = key.with_context(|| {
            format!(
                "{shown}, line {}: a key has 64 hexadecimal digits",
                index + 1
            )
        })?;
        keys.push(TicketKey::new(*key));
    }
    ensure!(!keys.is_empty(), "{shown} has no key");
    Ok(keys)
}

fn key(line: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    let whole = base16ct::mixed::decode(line, &mut *key).ok()?.len() == 32;
    whole.then_some(key)
}
