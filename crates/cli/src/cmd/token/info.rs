//! `tpmssh token info`: the properties of one token.

use std::fmt;

use serde::Serialize;
use token_store::{Class, Store, Token, WallKind, token};
use tpm_core::Origin;

use crate::app::App;
use crate::options::TokenArg;
use crate::show::output::{Facts, error_line, tell};
use crate::show::words::count;

/// Show a token: PIN wall, tries left, TPM and objects
///
/// The tries left are asked of the TPM, which takes no PIN; if it cannot answer, they are
/// those that were seen last.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    token: TokenArg,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let store = app.store()?;
    let mut token = app.named_token(&store, &args.token)?;
    let asked = app
        .tpm()
        .and_then(|tpm| Ok(token::refresh_tries(&store, &tpm, &token)?));
    let in_this_tpm = match asked {
        Ok(tries) => {
            token.tries = tries;
            true
        }
        Err(err) => {
            tell(&format!(
                "tpmssh: the tries left are those seen last: {}",
                error_line(&err)
            ));
            false
        }
    };
    app.out.print(&Report::new(&store, &token, in_this_tpm)?)
}

#[derive(Debug, Serialize)]
struct Report {
    label: String,
    serial: String,
    pin_wall: &'static str,
    pin_set: bool,
    tries_left: Option<u32>,
    max_tries: Option<u32>,
    so_pin_set: bool,
    so_tries_left: Option<u32>,
    /// The Name of the storage root key that it is below.
    storage_root_key: String,
    /// Whether the TPM in use is the one that it was made in, as far as could be seen.
    in_this_tpm: bool,
    /// The PIN counter's NV index.
    nv_index: Option<String>,
    keys: usize,
    /// How many of the keys were made outside of the TPM.
    imported: usize,
    public_keys: usize,
    certificates: usize,
    data: usize,
    /// Keys that this program did not make and does not use.
    refused: usize,
    /// PKCS#11 token flags that are set: for programs, so only in JSON.
    flags: Vec<&'static str>,
}

impl Report {
    fn new(store: &Store, token: &Token, in_this_tpm: bool) -> anyhow::Result<Self> {
        let objects = store.objects(token.id)?;
        let count = |class| {
            objects
                .iter()
                .filter(|object| object.class() == class)
                .count()
        };
        Ok(Self {
            label: token.label.clone(),
            serial: token.serial.clone(),
            pin_wall: token.wall.as_str(),
            pin_set: token.pin_is_set,
            tries_left: token.tries.map(|tries| tries.left),
            max_tries: token.tries.map(|tries| tries.max),
            so_pin_set: token.so_pin_is_set,
            so_tries_left: token.so_tries.map(|tries| tries.left),
            storage_root_key: token.srk_name().to_string(),
            in_this_tpm,
            nv_index: token.nv_handle.map(|handle| format!("{handle:#010x}")),
            keys: count(Class::PrivateKey),
            imported: objects
                .iter()
                .filter(|object| object.class() == Class::PrivateKey)
                .filter(|object| {
                    object
                        .key()
                        .is_some_and(|key| key.origin() == Origin::Outside)
                })
                .count(),
            public_keys: count(Class::PublicKey),
            certificates: count(Class::Certificate),
            data: count(Class::Data),
            refused: store.refused(token.id)?.len(),
            flags: flags(token),
        })
    }

    fn pin(&self) -> String {
        match (self.pin_set, self.tries_left.zip(self.max_tries)) {
            _ if self.pin_wall == "none" => "none is needed".into(),
            (false, _) => "not set".into(),
            (true, Some((0, _))) => "locked".into(),
            (true, Some((left, max))) => format!("{left} of {max} tries left"),
            (true, None) => "set".into(),
        }
    }

    fn so_pin(&self) -> String {
        match (self.so_pin_set, self.so_tries_left) {
            (false, _) => "none, so nobody can reset the PIN".into(),
            (true, Some(left)) => format!("set, {left} tries left when last seen"),
            (true, None) => "set".into(),
        }
    }
}

/// The flags that PKCS#11 programs see, by the names of the standard.
fn flags(token: &Token) -> Vec<&'static str> {
    let tries = token.tries.filter(|_| token.login_required());
    let so_tries = token.so_tries.filter(|_| token.so_pin_is_set);
    [
        ("CKF_TOKEN_INITIALIZED", true),
        ("CKF_LOGIN_REQUIRED", token.login_required()),
        (
            "CKF_USER_PIN_INITIALIZED",
            token.wall != WallKind::None && token.pin_is_set,
        ),
        (
            "CKF_USER_PIN_COUNT_LOW",
            tries.is_some_and(|tries| tries.left < tries.max),
        ),
        (
            "CKF_USER_PIN_FINAL_TRY",
            tries.is_some_and(|tries| tries.left == 1),
        ),
        (
            "CKF_USER_PIN_LOCKED",
            tries.is_some_and(|tries| tries.left == 0),
        ),
        (
            "CKF_SO_PIN_COUNT_LOW",
            so_tries.is_some_and(|tries| tries.left < tries.max),
        ),
        (
            "CKF_SO_PIN_FINAL_TRY",
            so_tries.is_some_and(|tries| tries.left == 1),
        ),
        (
            "CKF_SO_PIN_LOCKED",
            so_tries.is_some_and(|tries| tries.left == 0),
        ),
    ]
    .into_iter()
    .filter_map(|(name, is_set)| is_set.then_some(name))
    .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        facts.add("label", &self.label);
        facts.add("serial", &self.serial);
        facts.add("PIN wall", self.pin_wall);
        facts.add("PIN", self.pin());
        facts.add("SO PIN", self.so_pin());
        facts.add("storage root key", &self.storage_root_key);
        facts.add(
            "in this TPM",
            if self.in_this_tpm { "yes" } else { "not seen" },
        );
        facts.add("NV index", self.nv_index.as_deref().unwrap_or("none"));
        facts.add(
            "objects",
            format!(
                "{}{}, {}, {}, {}",
                count(self.keys, "key"),
                match self.imported {
                    0 => String::new(),
                    imported => format!(" ({imported} imported)"),
                },
                count(self.public_keys, "public key"),
                count(self.certificates, "certificate"),
                count(self.data, "data object")
            ),
        );
        if self.refused > 0 {
            facts.add("refused keys", self.refused);
        }
        facts.fmt(f)
    }
}
