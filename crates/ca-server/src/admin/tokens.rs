//! Join tokens: made, listed, withdrawn.

use anyhow::{Context, bail};
use rand_core::{OsRng, RngCore};
use serde_json::{Value, json};

use super::assignment;
use crate::audit::Audit;
use crate::authority::{Authority, token_hash};
use crate::policy::Policy;
use crate::registry::{Registry, TokenLine};

/// The length of a token's id: so many hexadecimal digits of its hash.
const ID_LEN: usize = 12;

/// The most tokens that are made at once. Each is a line in the audit log that is synced to the disk.
const MAX_NAMES: usize = 1000;

/// The policy that a token has to fit, and the registry and audit log that record it.
pub(crate) struct Books<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) registry: &'a dyn Registry,
    pub(crate) audit: &'a Audit,
}

/// Makes a token for each name, or none if a name makes no principal. `span` is the time now and the lifetime, in seconds.
///
/// # Errors
///
/// If the role makes no principals of a name, or the registry or the audit log cannot be written.
pub(crate) fn make(
    books: &Books<'_>,
    role: &str,
    names: &[String],
    span: (u64, u64),
    uses: u32,
    by: &str,
) -> anyhow::Result<Value> {
    if names.is_empty() || names.len() > MAX_NAMES {
        bail!("one to {MAX_NAMES} names are taken at once");
    }
    let (now, lifetime) = span;
    let expires = now.saturating_add(lifetime);
    let mut lines = Vec::new();
    for name in names {
        let assignment = assignment(books.policy, role.to_owned(), name.clone())?;
        let mut secret = [0; 16];
        OsRng.fill_bytes(&mut secret);
        let token = base16ct::lower::encode_string(&secret);
        let line = TokenLine {
            hash: token_hash(&token),
            assignment,
            uses,
            expires,
            by: by.to_owned(),
        };
        lines.push((token, line));
    }
    let mut made = Vec::new();
    for (token, line) in lines {
        books.registry.add_join_token(&line)?;
        let id = id(&line);
        let facts = vec![
            ("role", line.assignment.role),
            ("name", line.assignment.name.clone()),
            ("token", id.clone()),
            ("uses", uses.to_string()),
            ("by", by.to_owned()),
        ];
        let noted = books.audit.write(now, "join-token", &facts);
        noted.context("it is done, but it cannot be written into the audit log")?;
        let name = line.assignment.name;
        made.push(json!({"name": name, "token": token, "id": id, "expires": expires}));
    }
    Ok(Value::Array(made))
}

/// The tokens that can still be used. The list shows ids, not the tokens themselves.
pub(super) fn list(authority: &Authority, now: u64) -> anyhow::Result<Value> {
    let tokens = authority.registry().join_tokens(now)?;
    let line = |token: &TokenLine| {
        json!({
            "id": id(token),
            "role": token.assignment.role,
            "name": token.assignment.name,
            "uses_left": token.uses,
            "expires": token.expires,
            "by": token.by,
        })
    };
    Ok(tokens.iter().map(line).collect())
}

pub(super) fn withdraw(
    authority: &Authority,
    wanted: &str,
    now: u64,
    by: &str,
) -> anyhow::Result<Value> {
    let registry = authority.registry();
    let tokens = registry.join_tokens(now)?;
    let Some(token) = tokens.iter().find(|it| id(it) == wanted) else {
        bail!("no join token {wanted:?} is good (tpmssh-ca join-token list)");
    };
    registry.withdraw_join_token(&token.hash)?;
    let facts = vec![("token", wanted.to_owned()), ("by", by.to_owned())];
    let noted = authority.audit().write(now, "join-token-revoke", &facts);
    noted.context("it is done, but it cannot be written into the audit log")?;
    Ok(json!({ "revoked": wanted }))
}

/// The id of a token: the beginning of its hash, which does not reveal the token.
pub(crate) fn id(token: &TokenLine) -> String {
    let mut id = base16ct::lower::encode_string(&token.hash);
    id.truncate(ID_LEN);
    id
}
