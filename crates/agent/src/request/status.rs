//! What `tpmssh agent status` asks for. It needs neither the TPM nor a person.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use token_store::Token;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::ask::broker::Way;
use crate::error::chain;
use crate::key::store::Keys;
use crate::machine::mutex::lock;
use crate::protocol::{Reply, STATUS, put_string};
use crate::state::Agent;
use crate::status::{Proxy, Status, TokenStatus};

/// How long another agent may take to accept.
const PATIENCE: Duration = Duration::from_secs(1);

impl Agent {
    /// The state of this agent as JSON.
    pub(super) async fn status(&self) -> Reply {
        let mut status = self.describe();
        for proxy in &mut status.proxies {
            let connected = timeout(PATIENCE, UnixStream::connect(&proxy.socket)).await;
            proxy.reachable = matches!(connected, Ok(Ok(_)));
        }
        let status = serde_json::to_vec(&status);
        let Ok(status) = status else {
            return Reply::ExtensionFailure;
        };
        let mut contents = Vec::with_capacity(4 + status.len());
        put_string(&mut contents, &status);
        Reply::Extension(STATUS, contents)
    }

    /// The state, with no other agent looked at.
    fn describe(&self) -> Status {
        let locked = self.lock.is_locked();
        let read = lock(&self.keys).read();
        let store_error = read.as_ref().err().map(|err| chain(err));
        let tokens = match &read {
            Ok(keys) if !locked => self.tokens(keys),
            _ => Vec::new(),
        };
        let proxy = |socket: &Path| Proxy {
            socket: socket.to_owned(),
            reachable: false,
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            replaced: is_replaced(),
            activated: self.activated,
            tcti: self.chip.found().to_string(),
            store: self.chip.store().to_owned(),
            locked,
            only_token: self.only_token.clone(),
            store_error,
            tokens,
            asks_with: self.broker.way().ok().map(|way| match way {
                Way::Askpass(program) | Way::Pinentry(program) | Way::Systemd(program) => {
                    program.clone()
                }
            }),
            proxies: self.upstreams.sockets().map(proxy).collect(),
            log: self.audit_path.clone(),
        }
    }

    fn tokens(&self, keys: &Keys) -> Vec<TokenStatus> {
        let mut logins = lock(&self.logins);
        let describe = |token: &Arc<Token>| {
            let its = || {
                let all = keys.identities.iter();
                all.filter(|identity| identity.token.serial == token.serial)
            };
            let authorities = its().filter(|identity| identity.is_authority).count();
            let open = logins.get(&token.serial);
            let open = open.is_some_and(|open| open.is_current(token));
            TokenStatus {
                label: token.label.clone(),
                serial: token.serial.clone(),
                keys: its().count() - authorities,
                authorities,
                has_pin: token.login_required(),
                open,
                seconds_left: logins
                    .left(&token.serial)
                    .filter(|_| open)
                    .map(|left| left.as_secs()),
                policy: self.policy_of(token).to_string(),
            }
        };
        keys.tokens.iter().map(describe).collect()
    }
}

/// Whether the file of this program is another one now, or gone: proc(5), `/proc/pid/exe`.
fn is_replaced() -> bool {
    fs::read_link("/proc/self/exe")
        .is_ok_and(|path| path.as_os_str().as_bytes().ends_with(b" (deleted)"))
}
