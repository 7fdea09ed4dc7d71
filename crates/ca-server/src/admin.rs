//! Commands of administrators to a running node: one line of JSON over a Unix socket, and one line back.
//!
//! There is no access over the network. Only the user whom the node runs as, and root, are answered.

mod keys;
mod tokens;

pub(crate) use tokens::{Books, id as token_id, make as make_join_tokens};

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as BlockingListener, UnixStream as Blocking};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use base64ct::{Base64, Encoding};
use key_proof::Name;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ssh_format::Fingerprint;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::authority::{Authority, now};
use crate::policy::Policy;
use crate::registry::{Assignment, Expected};
use crate::reload::Reload;

/// The longest line, in bytes: about 100,000 devices.
const MAX_LINE: u64 = 32 * 1024 * 1024;
/// How long a command may take, from its first byte to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command of an administrator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// List all devices.
    Devices {},
    /// Approve a waiting key, which then gets certificates.
    Approve {
        /// The number of the key.
        pending: i64,
    },
    /// Revoke a device.
    Revoke {
        /// The number of the device.
        device: i64,
        /// The reason, for the registry and the audit log.
        reason: String,
    },
    /// Expect devices.
    Import {
        /// The devices. Either all are imported, or none.
        devices: Vec<Line>,
    },
    /// Make join tokens.
    JoinToken {
        /// The role.
        role: String,
        /// The names of machines or people: one token for each.
        names: Vec<String>,
        /// How long the tokens are valid, in seconds.
        lifetime: u64,
        /// How often each can be used.
        uses: u32,
    },
    /// List the join tokens that can still be used.
    JoinTokens {},
    /// Withdraw a join token.
    WithdrawJoinToken {
        /// The id of the token, as the list shows it.
        id: String,
    },
    /// Get the current list of revoked keys.
    Krl {},
    /// Read the policy again.
    PolicyReload {},
    /// List the authority's keys.
    CaList {},
    /// Publish a key of the authority.
    CaAdd {
        /// `user` or `host`.
        kind: String,
        /// A line of `authorized_keys`.
        key: String,
    },
    /// Retire a key of the authority.
    CaRetire {
        /// The number of the key.
        id: i64,
        /// Whether to retire it even if it is the last of its kind, or this node signs with it.
        force: bool,
    },
}

/// A device that is expected.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The Name of its endorsement key, in hexadecimal (`tpmssh ek show`).
    pub ek_name: String,
    /// Its role.
    pub role: String,
    /// The machine or person.
    pub name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Ok(Value),
    Error(String),
}

/// Sends a command to the node whose socket is at `path`, and returns its answer.
///
/// # Errors
///
/// If no node runs there, or the command fails.
pub fn ask(path: &Path, question: &Question) -> anyhow::Result<Value> {
    let stream = Blocking::connect(path)
        .with_context(|| format!("no node runs here (tpmssh-ca serve): {}", path.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    (&stream).write_all(&line)?;
    let mut answer = String::new();
    let mut reader = BufReader::new(stream.take(MAX_LINE));
    reader
        .read_line(&mut answer)
        .context("the node does not answer")?;
    match serde_json::from_str(&answer).context("the node ended before it answered")? {
        Said::Ok(value) => Ok(value),
        Said::Error(why) => bail!("{why}"),
    }
}

/// Opens the socket at `path`, and replaces one that a killed node left behind. While this process listens there, no other node starts here.
///
/// # Errors
///
/// If another node listens there, or the socket cannot be made.
pub fn claim(path: &Path) -> anyhow::Result<BlockingListener> {
    if Blocking::connect(path).is_ok() {
        bail!("another node runs here: {}", path.display());
    }
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err.into()),
        _ => {}
    }
    let listener = BlockingListener::bind(path)
        .with_context(|| format!("cannot listen at {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes the socket usable for [`serve`]. Call it within a Tokio runtime.
///
/// # Errors
///
/// If the runtime cannot watch the socket.
pub fn adopt(socket: BlockingListener) -> anyhow::Result<UnixListener> {
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from_std(socket)?)
}

/// Answers administrators. It does not return.
pub async fn serve(node: Arc<Reload>, listener: UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, answer(node, stream)).await;
        });
    }
}

async fn answer(node: Arc<Reload>, mut stream: UnixStream) -> anyhow::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != rustix::process::geteuid().as_raw() && uid != 0 {
        return Ok(());
    }
    let mut line = Vec::new();
    let (reader, mut writer) = stream.split();
    let mut reader = tokio::io::BufReader::new(reader.take(MAX_LINE));
    reader.read_until(b'\n', &mut line).await?;
    let work = move || match serde_json::from_slice(&line) {
        Ok(question) => match handle(&node, question, uid) {
            Ok(value) => Said::Ok(value),
            Err(err) => Said::Error(format!("{err:#}")),
        },
        Err(err) => Said::Error(format!("the node does not understand this: {err}")),
    };
    let said = tokio::task::spawn_blocking(work).await?;
    let mut text = serde_json::to_vec(&said)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    Ok(())
}

/// Writes a change that was made into the audit log.
type Note<'a> = &'a dyn Fn(&str, Vec<(&'static str, String)>) -> anyhow::Result<()>;

fn handle(node: &Reload, question: Question, uid: u32) -> anyhow::Result<Value> {
    let authority = node.authority();
    let (registry, now) = (authority.registry(), now());
    let by = format!("uid {uid}");
    let note = |event: &str, mut facts: Vec<(&'static str, String)>| {
        facts.push(("by", by.clone()));
        let noted = authority.audit().write(now, event, &facts);
        noted.context("it is done, but it cannot be written into the audit log")
    };
    match question {
        Question::Devices {} => Ok(serde_json::to_value(registry.devices()?)?),
        Question::Approve { pending } => {
            let Some(key) = registry.approve(pending)? else {
                bail!("no key waits for approval under number {pending}");
            };
            let key = key.fingerprint().to_string();
            let facts = vec![("pending", pending.to_string()), ("key", key.clone())];
            note("approve", facts)?;
            Ok(json!({ "approved": pending, "key": key }))
        }
        Question::Revoke { device, reason } => {
            let Some(ek) = registry.ek_name(device)? else {
                bail!("there is no device {device}");
            };
            registry.revoke(device, &reason, now, &by)?;
            // The audit log gets the Name of the endorsement key, by which `database restored` finds the device in an older registry.
            let mut keys = registry.device_keys(&ek)?;
            keys.sort_by(|a, b| a.1.cmp(&b.1));
            keys.dedup_by(|a, b| a.1 == b.1);
            let facts = |what, value| {
                vec![
                    ("device", device.to_string()),
                    ("ek", ek.to_string()),
                    (what, value),
                ]
            };
            // It gets the device's keys as well, because a backup may lack them: they may have been enrolled later, by another node.
            let noted = keys
                .iter()
                .try_for_each(|(_, key)| {
                    let key = Fingerprint::of_blob(key).to_string();
                    note("revoke-key", facts("key", key))
                })
                .and_then(|()| note("revoke", facts("reason", reason)));
            // The new list has to exist before the administrator gets the answer.
            let krl = authority.newest_krl(now).with_context(|| {
                format!(
                    "device {device} is revoked, but the list of revoked keys cannot be made now"
                )
            })?;
            noted?;
            Ok(json!({ "revoked": device, "krl_number": krl.number }))
        }
        Question::Import { devices } => {
            let expected = expected(authority, &devices)?;
            if let Some(index) = registry.import(&expected, now)? {
                let line = &expected[index];
                bail!(
                    "nothing is imported: TPM {} is revoked, or has role {} under another name than {}",
                    line.ek_name,
                    line.assignment.role,
                    line.assignment.name
                );
            }
            let count = expected.len();
            note("import", vec![("devices", count.to_string())])?;
            Ok(json!({ "imported": count }))
        }
        Question::JoinToken {
            role,
            names,
            lifetime,
            uses,
        } => {
            let books = Books {
                policy: &authority.policy(),
                registry,
                audit: authority.audit(),
            };
            tokens::make(&books, &role, &names, (now, lifetime), uses, &by)
        }
        Question::JoinTokens {} => tokens::list(authority, now),
        Question::WithdrawJoinToken { id } => tokens::withdraw(authority, &id, now, &by),
        Question::CaList {} => keys::list(authority),
        Question::CaAdd { kind, key } => keys::add(authority, &kind, &key, &note),
        Question::CaRetire { id, force } => keys::retire(authority, id, force, now, &note),
        Question::Krl {} => {
            let krl = authority.newest_krl(now)?;
            let bytes = Base64::encode_string(&krl.bytes);
            Ok(json!({ "number": krl.number, "krl": bytes, "signature": krl.signature }))
        }
        Question::PolicyReload {} => Ok(json!({ "sha256": node.reload(&by)? })),
    }
}

fn expected(authority: &Authority, lines: &[Line]) -> anyhow::Result<Vec<Expected>> {
    let policy = authority.policy();
    let expect = |(index, line): (usize, &Line)| {
        let at = || format!("nothing is imported: device {}", index + 1);
        Ok(Expected {
            ek_name: Name::from_hex(&line.ek_name).with_context(at)?,
            assignment: assignment(&policy, line.role.clone(), line.name.clone())
                .with_context(at)?,
        })
    };
    lines.iter().enumerate().map(expect).collect()
}

/// Checks that the role exists, and that it makes principals of the name.
///
/// # Errors
///
/// If there is no such role, or it makes no principals of the name.
pub(crate) fn assignment(
    policy: &Policy,
    role: String,
    name: String,
) -> anyhow::Result<Assignment> {
    let Some(rules) = policy.role(&role) else {
        bail!("there is no role {role:?} in the policy");
    };
    if rules.principals(&name).is_none() {
        bail!("the role {role:?} makes no principals of the name {name:?}");
    }
    Ok(Assignment { role, name })
}
