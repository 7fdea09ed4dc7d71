//! What `tpmssh unlock` and `tpmssh lock` ask for.

use std::time::Duration;

use ssh_format::text;
use token_store::{Kind, Pin};

use crate::audit::{DONE, Record};
use crate::error::chain;
use crate::protocol::{Malformed, Reply, UNLOCK, fields, put_string};
use crate::request::requester::Client;
use crate::state::Agent;

impl Agent {
    /// Opens a token: its label or serial number, the PIN, for how many seconds (0: as its
    /// policy says).
    ///
    /// A refusal is answered with an exit code and a message.
    pub(super) async fn unlock_token(&self, client: &Client<'_>, contents: &[u8]) -> Reply {
        if self.lock.is_locked() {
            return Reply::ExtensionFailure;
        }
        let Ok((name, pin, seconds)) = unlock_fields(contents) else {
            return Reply::ExtensionFailure;
        };
        let keys = self.keys();
        let result = match (keys.token(name), Pin::new(pin)) {
            (None, _) => Err((
                Kind::NotThere.exit_code(),
                match &self.only_token {
                    Some(only) => {
                        format!("this agent serves only token \"{}\"", text::shown(only))
                    }
                    None => "there is no such token".to_owned(),
                },
            )),
            (_, Err(err)) => Err((3, err.to_string())),
            (Some(token), Ok(pin)) => {
                let time = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
                let opened = self.open_with(token, pin, time);
                opened
                    .map(drop)
                    .map_err(|err| (err.exit_code(), chain(&err)))
            }
        };
        let text = result.as_ref().err().map_or(DONE, |(_, text)| text);
        // The client names the token by its serial number; the log has the label.
        let label = keys.token(name).map_or(name, |token| token.label.as_str());
        let (label, text) = (text::shown(label), text.to_owned());
        client.record(move || Record {
            label: Some(label),
            ..Record::of("unlock", &text)
        });
        match result {
            Ok(()) => Reply::Success,
            Err((code, message)) => {
                let mut contents = vec![code];
                put_string(&mut contents, message.as_bytes());
                Reply::Extension(UNLOCK, contents)
            }
        }
    }

    /// Ends all logins.
    pub(super) fn lock_tokens(&self, client: &Client<'_>) -> Reply {
        self.end_logins();
        client.record(|| Record::of("lock", DONE));
        Reply::Success
    }
}

fn unlock_fields(contents: &[u8]) -> Result<(&str, &[u8], u32), Malformed> {
    let mut reader = fields(contents);
    let read = (reader.text("token")?, reader.string()?, reader.u32()?);
    reader.finish()?;
    Ok(read)
}
