//! `tpmssh host renew`: renew the certificates of host keys, and update the list of revoked keys.

use std::fmt;

use enroll::{Authorities, Server, Url};
use serde::Serialize;
use ssh_format::{Certificate, MAX_LINE_LEN};
use token_store::{Error as StoreError, SshCertificate, Store, StoreDir, Terms};

use super::place::{MachineArgs, TOKEN};
use super::server;
use crate::app::App;
use crate::cmd::enroll::Report as Renewed;
use crate::enrolments::again::{self, Which};
use crate::enrolments::{self, Enrolled, revoked};
use crate::fail::error::EnrolmentError;
use crate::files::changes::Changes;
use crate::files::output_file;
use crate::files::units::remove_file;
use crate::options::UserPinArgs;
use crate::show::date;
use crate::show::output::{error_line, tell};

/// Keep host certificates and the list of revoked keys new
///
/// For hosts that tpmssh host setup --enroll has set up; its timer runs this. Renews the certificates that are due, reloads sshd, and gets
/// the list of revoked keys, which sshd reads at each login. If something fails, the old certificates and the old list stay.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,

    /// Also renew certificates that are not due
    #[arg(long)]
    all: bool,

    /// For timers: after a failure, wait before the next renewal; the list is fetched each time
    #[arg(long, conflicts_with = "all")]
    unattended: bool,
}

/// The longest file with the authority's keys for users, in bytes.
const MAX_USER_CAS: usize = 4 * 1024 * 1024;
/// A file in the store's directory. It exists while sshd has not yet read a new certificate.
const UNREAD: &str = "certificate-unread";

/// The host keys that an authority certifies; none if there is no store.
pub(super) fn enrolled(app: &App, machine: &MachineArgs) -> anyhow::Result<Vec<Enrolled>> {
    let store = match Store::open(&StoreDir::at(&machine.store)?) {
        Err(StoreError::NoStore { .. }) => return Ok(Vec::new()),
        store => store?,
    };
    let mut all = enrolments::all(app, &store)?;
    all.retain(|it| it.key.token.label == TOKEN && it.enrolment.terms.is_host);
    Ok(all)
}

/// Ends the enrolments of the host keys. The keys stay.
pub(super) fn end(app: &App, machine: &MachineArgs) -> anyhow::Result<()> {
    let all = enrolled(app, machine)?;
    if all.is_empty() {
        return Ok(());
    }
    let mut store = Store::open(&StoreDir::at(&machine.store)?)?;
    for it in &all {
        store.end_enrolment(it.enrolment.id)?;
    }
    Ok(remove_file(&machine.store.join(UNREAD))?)
}

/// Writes the authority's keys for users into the file that sshd's configuration names.
pub(super) fn write_user_ca(machine: &MachineArgs, keys: &Authorities) -> anyhow::Result<()> {
    let lines = user_ca_lines(keys);
    Ok(output_file::write(
        &machine.user_ca(),
        0o644,
        lines.as_bytes(),
    )?)
}

/// The file, with a line for each key.
fn user_ca_lines(keys: &Authorities) -> String {
    let lines = keys.users.iter().map(|key| key.line("tpmssh-ca") + "\n");
    lines.collect()
}

pub(super) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let machine = &args.machine;
    machine.check_user()?;
    let all = enrolled(app, machine)?;
    if all.is_empty() {
        return Err(EnrolmentError::NotEnrolled.into());
    }
    let which = match (args.all, args.unattended) {
        (true, _) => Which::All,
        (_, true) => Which::Unattended,
        _ => Which::Due,
    };
    let mut store = Store::open(&StoreDir::at(&machine.store)?)?;
    let mut report = Report::default();
    let mut failed = Vec::new();
    let now = date::now();
    for it in all.iter().filter(|it| which.takes(it, now)) {
        match renew(app, &mut store, it, args.unattended) {
            Ok(done) => report.certificates.push(done),
            Err(err) => failed.push(err),
        }
    }
    let mut is_new = false;
    for it in enrolled(app, machine)? {
        match put(machine, &store, &it) {
            Ok(new) => is_new |= new,
            Err(err) => failed.push(err),
        }
    }
    // The file also exists if sshd could not be reloaded the last time.
    let unread = machine.store.join(UNREAD);
    if is_new || unread.exists() {
        // systemctl has printed the reason.
        let told = server::reload(&mut Changes::unseen()).and_then(|()| remove_file(&unread));
        failed.extend(told.err().map(anyhow::Error::from));
    }
    let refreshed = refresh_keys(app, machine, &mut store, &mut failed);
    failed.extend(refreshed.err());
    // Read again, because a renewal may have stored new keys of the authority.
    for it in enrolled(app, machine)? {
        match pull(machine, &it) {
            Ok((number, true)) => report.revoked_keys = Some(number),
            Ok((_, false)) => {}
            Err(err) => failed.push(err),
        }
    }
    app.out.print(&report)?;
    let last = failed.pop();
    for err in &failed {
        tell(&format!("tpmssh: {}", error_line(err)));
    }
    last.map_or(Ok(()), Err)
}

/// Renews one certificate.
fn renew(
    app: &App,
    store: &mut Store,
    enrolled: &Enrolled,
    unattended: bool,
) -> anyhow::Result<Renewed> {
    let no_pin = UserPinArgs::default();
    let got = again::renew(app, store, enrolled, &no_pin, unattended)?;
    let server = &enrolled.enrolment.terms.server;
    Ok(Renewed::new(&enrolled.key.label, server, &got))
}

/// Writes the stored certificate into sshd's file. Returns whether the file changed: an earlier run may have been killed after it stored the
/// certificate.
fn put(machine: &MachineArgs, store: &Store, enrolled: &Enrolled) -> anyhow::Result<bool> {
    let kept = store.ssh_certificates(enrolled.key.token.id)?;
    let last = |it: &&SshCertificate| Some(it.id) == enrolled.enrolment.certificate;
    let Some(last) = kept.iter().find(last) else {
        return Ok(false);
    };
    let line = Certificate::from_blob(&last.certificate)?.line(TOKEN) + "\n";
    let path = machine.certificate(enrolled.key.key.key_type());
    let here = output_file::existing(&path, MAX_LINE_LEN + 2)?;
    if here.as_deref() == Some(line.as_bytes()) {
        return Ok(false);
    }
    output_file::write(&machine.store.join(UNREAD), 0o600, b"")?;
    output_file::write(&path, 0o644, line.as_bytes())?;
    Ok(true)
}

fn server(terms: &Terms) -> anyhow::Result<Server> {
    let roots = terms.trust.tls_roots.as_deref();
    Ok(Server::new(Url::parse(&terms.server)?, roots)?)
}

/// Gets the list of revoked keys, and writes it into sshd's file. Returns its number, and whether it is new.
fn pull(machine: &MachineArgs, enrolled: &Enrolled) -> anyhow::Result<(u64, bool)> {
    let terms = &enrolled.enrolment.terms;
    let trusted = enrolments::authorities(&terms.trust)?;
    revoked::pull(&server(terms)?, &trusted, &machine.revoked())
}

/// Asks the authority for its keys, and writes the newest ones into sshd's file. If that fails, the old ones stay.
fn refresh_keys(
    app: &App,
    machine: &MachineArgs,
    store: &mut Store,
    failed: &mut Vec<anyhow::Error>,
) -> anyhow::Result<()> {
    for it in enrolled(app, machine)? {
        let refreshed = server(&it.enrolment.terms)
            .and_then(|server| enrolments::refresh_keys(store, &it.enrolment, &server));
        failed.extend(refreshed.err());
    }
    // All enrolments are with the same authority, so keys that one of them has got are written for all.
    let all = enrolled(app, machine)?;
    let newest = all.iter().map(|it| &it.enrolment.terms.trust);
    match newest.max_by_key(|it| it.keys_number) {
        Some(newest) => put_user_cas(machine, &enrolments::authorities(newest)?),
        None => Ok(()),
    }
}

/// Writes the authority's keys for users into sshd's file, if sshd is configured to accept such users.
fn put_user_cas(machine: &MachineArgs, keys: &Authorities) -> anyhow::Result<()> {
    let here = output_file::existing(&machine.user_ca(), MAX_USER_CAS)?;
    if here.is_some_and(|here| here != user_ca_lines(keys).as_bytes()) {
        write_user_ca(machine, keys)?;
    }
    Ok(())
}

#[derive(Debug, Default, Serialize)]
struct Report {
    certificates: Vec<Renewed>,
    /// The number of the list of revoked keys, if there was a newer one.
    revoked_keys: Option<u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for it in &self.certificates {
            writeln!(f, "{it}")?;
        }
        if let Some(number) = self.revoked_keys {
            writeln!(f, "list {number} of revoked keys is in place")?;
        }
        Ok(())
    }
}
