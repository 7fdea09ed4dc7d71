//! `tpmssh ca public-key`: the line with which others trust an authority.

use std::fmt;

use serde::Serialize;

use crate::app::App;
use crate::certificates::authorities;
use crate::fail::error::Error;
use crate::options::AuthorityArgs;

/// Print the public key of an authority, for those who trust it
///
/// A server lets in whom the authority certifies: TrustedUserCAKeys in sshd_config names a file
/// with this line. A client believes the hosts that it certifies: ~/.ssh/known_hosts, or
/// /etc/ssh/ssh_known_hosts, has the line that --known-hosts prints.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    authority: AuthorityArgs,

    /// Print the line for known_hosts that trusts it for hosts like PATTERN, such as *.example.org
    #[arg(long, value_name = "PATTERN")]
    known_hosts: Option<String>,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let store = app.store()?;
    let authority = authorities::find(app, &store, args.authority.ca.as_deref())?;
    authorities::tell_if_imported(&authority);
    let line = match &args.known_hosts {
        None => authority.line(),
        Some(pattern) => {
            if pattern.is_empty() || pattern.contains(char::is_whitespace) {
                return Err(Error::Usage("a pattern of hosts is one word".into()).into());
            }
            format!("@cert-authority {pattern} {}", authority.line())
        }
    };
    app.out.print(&Report { line })
}

#[derive(Debug, Serialize)]
struct Report {
    line: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.line)
    }
}
