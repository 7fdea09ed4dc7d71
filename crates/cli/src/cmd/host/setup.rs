//! `tpmssh host setup`: have sshd use host keys that are in the TPM.

mod check;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ssh_format::{Certificate, CertificateKind, MAX_LINE_LEN};
use token_store::token::{self, InitOptions};
use token_store::{KeySpec, Store, StoreDir, Token, WallKind};

use self::check::ServerArgs;
use crate::app::{App, read_owner_auth};
use crate::fail::error::Error;
use crate::files::input_file;
use crate::files::output_file;
use crate::files::units::{self, OwnFiles};
use crate::keys::make;
use crate::keys::signing::{self, SigningKey};
use crate::options::{KeyTypeArgs, OwnerAuthArgs};
use crate::show::output::tell;

/// Make a host key in the TPM, and have sshd and systemd use it
///
/// Writes the public key, a service that is sshd's agent for it, and a drop-in for sshd, and shows
/// them. The key has no PIN, since nobody is there to type one. Host keys that are in files stay
/// in use beside it, for the clients that know them; --only leaves them out. sshd itself is not
/// touched: reload it when you have read what was written.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store of the host keys, apart from those of users
    #[arg(long, value_name = "DIR", default_value = "/var/lib/tpmssh")]
    store: PathBuf,

    #[command(flatten)]
    kind: KeyTypeArgs,

    /// A certificate for the key, as tpmssh ca sign-host makes it; - is standard input
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,

    /// Do not use the host keys that are in files
    #[arg(long)]
    only: bool,

    /// Where the agent listens for sshd
    #[arg(long, value_name = "PATH", default_value = "/run/tpmssh/host.sock")]
    socket: PathBuf,

    /// Where the configuration of this machine is
    #[arg(long, value_name = "DIR", default_value = "/etc")]
    etc: PathBuf,

    /// Show what would be written, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Set nothing up, but connect to the server and see that it proves each host key of the TPM
    #[arg(long, conflicts_with_all = ["dry_run", "only", "certificate"])]
    check: bool,

    #[command(flatten)]
    server: ServerArgs,

    #[command(flatten)]
    owner: OwnerAuthArgs,
}

const MARK: &str = "# Written by tpmssh host setup.\n";

/// The label of the token that holds the host keys.
const TOKEN: &str = "host";

/// The names of the host keys in files, as sshd_config(5) has them by default.
const FILES: [&str; 3] = [
    "ssh_host_rsa_key",
    "ssh_host_ecdsa_key",
    "ssh_host_ed25519_key",
];

const COMMANDS: [&[&str]; 2] = [
    &["daemon-reload"],
    &["enable", "--now", "tpmssh-host.socket"],
];

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    if args.check {
        return check::run(app, &args.store, &args.server);
    }
    let place = Place::new(args)?;
    // What can be refused is, before anything is made.
    place.files(app, args, false)?.check()?;
    let certificate = args
        .certificate
        .as_deref()
        .map(read_certificate)
        .transpose()?;
    let key = if args.dry_run {
        existing(app, args)?
    } else {
        Some(key(app, args)?)
    };
    let certificate = match (&key, certificate) {
        (_, None) => None,
        (Some(key), Some(certificate)) if *certificate.key() == key.public => Some(certificate),
        (_, Some(certificate)) => {
            let fingerprint = certificate.key_fingerprint().to_string();
            return Err(Error::NoKeyForCertificate { fingerprint }.into());
        }
    };
    let files = place.files(app, args, certificate.is_some())?;
    if args.dry_run {
        return files.put(true, 0o755);
    }
    let line = |line: String| format!("{line}\n").into_bytes();
    if let Some(key) = &key {
        units::make_parent(&place.public, 0o755)?;
        output_file::write(&place.public, 0o644, &line(key.line()))?;
    }
    if let Some(certificate) = certificate {
        output_file::write(&place.certificate, 0o644, &line(certificate.line(TOKEN)))?;
    }
    files.put(false, 0o755)?;
    place.check_included();
    if units::systemctl(&COMMANDS) {
        tell(
            "tpmssh: when you have read it: sudo sshd -t && sudo systemctl reload ssh; \
             then: sudo tpmssh host setup --check",
        );
    }
    Ok(())
}

/// The host certificate in a file.
fn read_certificate(file: &Path) -> anyhow::Result<Certificate> {
    let text = input_file::read_text(file, MAX_LINE_LEN + 2)?;
    let name = || input_file::name(file);
    let (certificate, _) = Certificate::from_line(&text).with_context(name)?;
    certificate.verify().with_context(name)?;
    certificate.check_critical_options().with_context(name)?;
    if certificate.kind() != CertificateKind::Host {
        return Err(Error::Usage(format!("{}: it is the certificate of a user", name())).into());
    }
    Ok(certificate)
}

/// The key of the kind that is meant, if there is one.
fn existing(app: &App, args: &Args) -> anyhow::Result<Option<SigningKey>> {
    match Store::open(&StoreDir::at(&args.store)?) {
        Err(token_store::Error::NoStore { .. }) => Ok(None),
        store => find(app, &store?, args),
    }
}

fn find(app: &App, store: &Store, args: &Args) -> anyhow::Result<Option<SigningKey>> {
    let kind = args.kind.key_type()?;
    let keys = signing::all(app, store)?;
    Ok(keys
        .into_iter()
        .find(|it| it.token.label == TOKEN && it.key.key_type() == kind))
}

/// The key of the kind that is meant; made if it does not exist.
fn key(app: &App, args: &Args) -> anyhow::Result<SigningKey> {
    let mut store = Store::open_or_create(&StoreDir::at(&args.store)?)?;
    if let Some(key) = find(app, &store, args)? {
        return Ok(key);
    }
    let token = token(app, &mut store, args)?;
    let label = format!("{} host key", make::host_name());
    let spec = KeySpec::new(args.kind.key_type()?, label);
    make::key(app, &mut store, &token, &spec, None)?;
    let found = find(app, &store, args)?;
    found.context("the new host key is not in the store")
}

/// The token of the host keys, without a PIN; made if it does not exist.
fn token(app: &App, store: &mut Store, args: &Args) -> anyhow::Result<Token> {
    let known = store.tokens()?.into_iter().find(|it| it.label == TOKEN);
    if let Some(token) = known {
        return Ok(token);
    }
    let options = InitOptions {
        wall: Some(WallKind::None),
        ..InitOptions::new(TOKEN)
    };
    let owner = read_owner_auth(&args.owner.source())?;
    let tpm = app.tpm()?;
    Ok(token::init(store, &tpm, &options, None, None, &owner)?.token)
}

/// The files that are written.
struct Place {
    public: PathBuf,
    certificate: PathBuf,
    drop_in: PathBuf,
    units: PathBuf,
    ssh: PathBuf,
}

impl Place {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let ssh = args.etc.join("ssh");
        let kind = if args.kind.key_type()?.is_rsa() {
            "rsa"
        } else {
            "ecdsa"
        };
        Ok(Self {
            public: ssh.join(format!("ssh_host_tpm_{kind}_key.pub")),
            certificate: ssh.join(format!("ssh_host_tpm_{kind}_key-cert.pub")),
            drop_in: ssh.join("sshd_config.d/10-tpmssh.conf"),
            units: args.etc.join("systemd/system"),
            ssh,
        })
    }

    fn files(&self, app: &App, args: &Args, certified: bool) -> anyhow::Result<OwnFiles> {
        let mut files = OwnFiles::new(MARK);
        files.add(self.units.join("tpmssh-host.socket"), socket(args));
        files.add(self.units.join("tpmssh-host.service"), service(app, args)?);
        files.add(self.drop_in.clone(), self.sshd(args, certified));
        Ok(files)
    }

    /// The drop-in for sshd. With one `HostKey` it takes no others by default.
    fn sshd(&self, args: &Args, certified: bool) -> String {
        let mut text = format!("HostKeyAgent {}\n", word(&args.socket));
        for kind in ["ecdsa", "rsa"] {
            let public = self.ssh.join(format!("ssh_host_tpm_{kind}_key.pub"));
            if public == self.public || public.exists() {
                text += &format!("HostKey {}\n", word(&public));
            }
            let certificate = self.ssh.join(format!("ssh_host_tpm_{kind}_key-cert.pub"));
            if certificate.exists() || (certified && certificate == self.certificate) {
                text += &format!("HostCertificate {}\n", word(&certificate));
            }
        }
        for name in FILES.into_iter().filter(|_| !args.only) {
            let file = self.ssh.join(name);
            if file.exists() {
                text += &format!("HostKey {}\n", word(&file));
            }
        }
        text
    }

    /// Says if sshd will not look at the drop-in.
    fn check_included(&self) {
        let main = fs::read_to_string(self.ssh.join("sshd_config")).unwrap_or_default();
        let includes = |line: &str| {
            line.trim_start()
                .to_ascii_lowercase()
                .starts_with("include")
                && line.contains("sshd_config.d/")
        };
        if !main.lines().any(includes) {
            tell(&format!(
                "tpmssh: {} does not include it: add Include {}/*.conf at its top",
                self.ssh.join("sshd_config").display(),
                self.ssh.join("sshd_config.d").display()
            ));
        }
    }
}

fn socket(args: &Args) -> String {
    format!(
        "[Unit]\n\
         Description=SSH host keys in the TPM (socket)\n\
         Before=ssh.service sshd.service\n\
         \n\
         [Socket]\n\
         ListenStream={}\n\
         SocketMode=0600\n\
         DirectoryMode=0700\n\
         \n\
         [Install]\n\
         WantedBy=sockets.target\n",
        args.socket.display()
    )
}

fn service(app: &App, args: &Args) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let program = units::quote(&program.display().to_string());
    let store = format!("TPMSSH_STORE={}", args.store.display());
    let tcti = format!("TPMSSH_TCTI={}", app.tpm_choice()?.tcti);
    Ok(format!(
        "[Unit]\n\
         Description=SSH host keys in the TPM\n\
         Requires=tpmssh-host.socket\n\
         \n\
         [Service]\n\
         Environment={}\n\
         Environment={}\n\
         Environment=XDG_STATE_HOME=/var/log\n\
         ExecStart={program} agent --no-ask\n\
         LimitCORE=0\n\
         NoNewPrivileges=yes\n\
         ProtectHome=yes\n\
         PrivateTmp=yes\n",
        units::quote(&store),
        units::quote(&tcti),
    ))
}

/// A path as one word of sshd_config(5).
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains([' ', '#']) {
        format!("\"{text}\"")
    } else {
        text
    }
}
