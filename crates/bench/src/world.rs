//! The surroundings of a measurement: a private TPM, a home, a token of tpmssh and, behind a resource
//! manager, a token of tpm2-pkcs11.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use testing::{Abrmd, Home, Service, SshAgent, Swtpm, Tap};

/// The label of both tokens.
pub(crate) const TOKEN: &str = "bench";
const PIN: &str = "correct horse";
const SO_PIN: &str = "battery staple";

/// Debian's tpm2-pkcs11, by which p11-kit finds it as well.
const INCUMBENT: &str = "pkcs11/libtpm2_pkcs11.so";

/// A kind of key, as the programs call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// In tables.
    pub(crate) name: &'static str,
    /// The label of the key in both tokens.
    pub(crate) label: &'static str,
    /// `tpmssh keygen -t … -b …`.
    ours: [&'static str; 2],
    /// `tpm2_ptool addkey --algorithm …`, if that works.
    theirs: Option<&'static str>,
}

impl Key {
    /// Whether tpm2-pkcs11 has such keys.
    pub(crate) fn is_theirs(self) -> bool {
        self.theirs.is_some()
    }
}

/// All kinds, the usual one first.
pub(crate) const KEYS: [Key; 5] = [
    key("P-256", "p256", ["ecdsa", "256"], Some("ecc256")),
    key("P-384", "p384", ["ecdsa", "384"], Some("ecc384")),
    // tpm2_ptool 1.9.0 offers ecc521 and then knows no parameters for it.
    key("P-521", "p521", ["ecdsa", "521"], None),
    key("RSA 2048", "rsa2048", ["rsa", "2048"], Some("rsa2048")),
    key("RSA 3072", "rsa3072", ["rsa", "3072"], Some("rsa3072")),
];

const fn key(
    name: &'static str,
    label: &'static str,
    ours: [&'static str; 2],
    theirs: Option<&'static str>,
) -> Key {
    Key {
        name,
        label,
        ours,
        theirs,
    }
}

/// How the TPM is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Its socket.
    Bare,
    /// The resource manager tpm2-abrmd.
    Managed,
}

/// A TPM, its resource manager, and a home with tokens.
pub(crate) struct World {
    // In the order of dropping.
    abrmd: Option<Abrmd>,
    tap: Option<Tap>,
    pub(crate) home: Home,
    pub(crate) pin_file: PathBuf,
    tcti: String,
    swtpm: Swtpm,
}

impl World {
    /// A world whose tokens have `keys`. A tap stands in front of the TPM if `tapped`.
    ///
    /// # Errors
    ///
    /// If a program fails.
    pub(crate) fn new(reach: Reach, tapped: bool, keys: &[Key]) -> Result<Self> {
        Self::with(Swtpm::start(), reach, tapped, keys)
    }

    /// A world with a tapped TPM as it leaves its factory, with certificates of its maker.
    ///
    /// # Errors
    ///
    /// If a program fails.
    pub(crate) fn manufactured(keys: &[Key]) -> Result<Self> {
        Self::with(Swtpm::manufactured(), Reach::Bare, true, keys)
    }

    fn with(swtpm: Swtpm, reach: Reach, tapped: bool, keys: &[Key]) -> Result<Self> {
        let tap = tapped.then(|| Tap::start(&swtpm));
        let tcti = tap.as_ref().map_or_else(|| swtpm.tcti(), Tap::tcti);
        let (abrmd, tcti) = match (reach, &tap) {
            (Reach::Bare, _) => (None, tcti),
            (Reach::Managed, Some(tap)) => managed(Abrmd::behind(tap)),
            (Reach::Managed, None) => managed(Abrmd::start(&swtpm)),
        };
        let home = Home::with_tcti(&tcti);
        let world = Self {
            tcti,
            pin_file: home.secret_file("pin", PIN),
            abrmd,
            tap,
            home,
            swtpm,
        };
        world.make_our_token(keys)?;
        if reach == Reach::Managed {
            world.make_their_token(keys)?;
        }
        Ok(world)
    }

    fn make_our_token(&self, keys: &[Key]) -> Result<()> {
        let so_pin = self.home.secret_file("so-pin", SO_PIN);
        let mut init = self.tpmssh();
        init.args(["token", "init", "--label", TOKEN, "--pin-file"]);
        init.arg(&self.pin_file).arg("--so-pin-file").arg(so_pin);
        run(&mut init)?;
        for key in keys {
            let [algorithm, bits] = key.ours;
            let mut keygen = self.tpmssh();
            keygen.args(["keygen", "-t", algorithm, "-b", bits, "--label", key.label]);
            run(keygen.arg("--pin-file").arg(&self.pin_file))?;
        }
        Ok(())
    }

    fn make_their_token(&self, keys: &[Key]) -> Result<()> {
        fs::create_dir(self.home.path().join("tpm2-pkcs11"))?;
        let ptool = |args: &[&str]| run(self.command("tpm2_ptool").args(args)).map(drop);
        ptool(&["init"])?;
        ptool(&[
            "addtoken",
            "--pid=1",
            "--label",
            TOKEN,
            "--userpin",
            PIN,
            "--sopin",
            SO_PIN,
        ])?;
        for key in keys {
            let Some(algorithm) = key.theirs else {
                continue;
            };
            let label = ["--label", TOKEN, "--key-label", key.label];
            let how = ["--userpin", PIN, "--algorithm", algorithm];
            ptool(&[&["addkey"][..], &label, &how].concat())?;
        }
        Ok(())
    }

    /// A program in this world: it finds both tokens and nothing outside.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.home.command(program);
        command.envs(self.env());
        command
    }

    /// The `tpmssh` beside this program.
    pub(crate) fn tpmssh(&self) -> Command {
        self.command(built("tpmssh"))
    }

    /// This program in another role.
    pub(crate) fn contestant(&self, role: &str) -> Command {
        let mut command = self.command(built("bench"));
        command.args(["contestant", role]);
        command
    }

    /// The variables of the world that its home does not set.
    pub(crate) fn env(&self) -> Vec<(OsString, OsString)> {
        let mut env = Vec::new();
        if let Some(abrmd) = &self.abrmd {
            let store = self.home.path().join("tpm2-pkcs11");
            env.extend(abrmd.env());
            env.push(("TPM2_PKCS11_STORE".into(), store.into()));
            for name in ["TPM2_PKCS11_TCTI", "TPM2TOOLS_TCTI"] {
                env.push((name.into(), abrmd.tcti().into()));
            }
        }
        env
    }

    /// The variables by which OpenSSH takes the PIN from a file.
    pub(crate) fn askpass(&self) -> Vec<(OsString, OsString)> {
        self.home.askpass(&self.pin_file)
    }

    /// The tap in front of the TPM.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn tap(&self) -> Result<&Tap> {
        self.tap.as_ref().context("this world has no tap")
    }

    /// The connection to the TPM, or to its resource manager.
    pub(crate) fn tcti(&self) -> &str {
        &self.tcti
    }

    /// The connection to the TPM, without its resource manager.
    pub(crate) fn swtpm(&self) -> &Swtpm {
        &self.swtpm
    }

    /// Starts `tpmssh agent`; `unlocked` if it is given the PIN.
    ///
    /// # Errors
    ///
    /// If the PIN is refused.
    pub(crate) fn our_agent(&self, unlocked: bool) -> Result<Service> {
        let socket = self.home.path().join("run/tpmssh/agent.sock");
        fs::create_dir_all(socket.parent().unwrap_or(&socket))?;
        let mut command = self.home.daemon(built("tpmssh"));
        command.envs(self.env()).args(["agent", "--no-ask"]);
        let agent = Service::start("tpmssh agent", command, &socket);
        if unlocked {
            let mut unlock = self.tpmssh();
            run(unlock.arg("unlock").arg("--pin-file").arg(&self.pin_file))?;
        }
        Ok(agent)
    }

    /// Starts OpenSSH's agent, which takes `provider`, at the socket `name` of the home.
    pub(crate) fn ssh_agent(&self, name: &str, provider: &str) -> SshAgent {
        SshAgent::start_at(&self.home, name, provider, &self.env())
    }

    /// Starts OpenSSH's agent with `module` in it.
    ///
    /// # Errors
    ///
    /// If the module or the PIN is refused.
    pub(crate) fn their_agent(&self, module: &Path, name: &str) -> Result<SshAgent> {
        let agent = self.ssh_agent(name, &module.display().to_string());
        let mut add = self.command("ssh-add");
        add.envs(agent.env()).envs(self.askpass());
        run(add.arg("-s").arg(module))?;
        Ok(agent)
    }
}

fn managed(abrmd: Abrmd) -> (Option<Abrmd>, String) {
    let tcti = abrmd.tcti();
    (Some(abrmd), tcti)
}

/// A file that cargo has put beside this program.
pub(crate) fn built(name: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.with_file_name(name)
}

/// The PKCS#11 module of tpmssh.
pub(crate) fn our_module() -> PathBuf {
    built("libtpmssh_pkcs11.so")
}

/// The PKCS#11 module of tpm2-pkcs11, with the canonical path that ssh-agent wants.
///
/// # Errors
///
/// If it is not installed.
pub(crate) fn their_module() -> Result<PathBuf> {
    let places = fs::read_dir("/usr/lib")?.filter_map(std::result::Result::ok);
    places
        .map(|dir| dir.path().join(INCUMBENT))
        .find_map(|path| path.canonicalize().ok())
        .context("the Debian package libtpm2-pkcs11-1 is not installed")
}

/// Runs a program that must succeed.
///
/// # Errors
///
/// If it fails, with its standard error.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}
