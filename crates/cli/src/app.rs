//! What every command starts from: the configuration, the TPM, the store and the token.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use ssh_format::text::shown;
use token_store::config::Choice;
use token_store::{
    Config, Error as StoreError, Pin, SoPin, Store, StoreDir, Token, WallKind, state_dir,
};
use tpm_core::{Operation, OwnerAuth, Srk, Tcti, Tpm};

use crate::ask::pin_prompt::Source;
use crate::fail::error::Error;
use crate::machine::harden;
use crate::machine::simulator::{Running, Simulator};
use crate::options::Global;
use crate::show::output::{Output, tell};

/// The global options and the configuration file, and what follows from them.
pub(crate) struct App {
    pub(crate) out: Output,
    pub(crate) config: Config,
    tcti: Option<String>,
    token: Option<String>,
    announced: Cell<bool>,
}

impl App {
    /// Reads the configuration file, and hardens the process before any PIN is in it.
    ///
    /// # Errors
    ///
    /// If the configuration file is unusable.
    pub(crate) fn new(global: &Global) -> anyhow::Result<Self> {
        let config = Config::load()?;
        // Not earlier: whether the environment may be believed is read from a file in /proc
        // that a hardened process cannot open.
        harden::process();
        Ok(Self {
            out: Output::new(global.json),
            config,
            tcti: global.tcti.clone(),
            token: global.token.clone(),
            announced: Cell::new(false),
        })
    }

    /// The same with the configuration file read again.
    ///
    /// # Errors
    ///
    /// If the configuration file is unusable.
    pub(crate) fn reload(&self) -> anyhow::Result<Self> {
        Ok(Self {
            out: self.out,
            config: Config::load()?,
            tcti: self.tcti.clone(),
            token: self.token.clone(),
            announced: self.announced.clone(),
        })
    }

    /// The global options that were given, for another run of this program.
    pub(crate) fn global_options(&self) -> Vec<String> {
        let given = |name, value: &Option<String>| Some(format!("{name}={}", value.as_ref()?));
        [given("--tcti", &self.tcti), given("--token", &self.token)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The TPM that is meant; nothing is sent to it yet.
    ///
    /// # Errors
    ///
    /// If none is configured and there is no `/dev/tpmrm0`.
    pub(crate) fn tpm(&self) -> anyhow::Result<Arc<Tpm>> {
        let choice = self.tpm_choice()?;
        if choice.simulated && !self.announced.replace(true) {
            tell("tpmssh: the TPM is simulated and protects nothing");
        }
        Ok(Arc::new(Tpm::new(choice.tcti)))
    }

    /// Which TPM is meant, and who said so.
    ///
    /// # Errors
    ///
    /// As for [`App::tpm`].
    pub(crate) fn tpm_choice(&self) -> Result<Choice, StoreError> {
        self.config.tcti(self.tcti.as_deref())
    }

    /// Starts the simulator and has the configuration file name it.
    ///
    /// # Errors
    ///
    /// If swtpm does not start, or the configuration file cannot be written.
    pub(crate) fn start_simulator(&self, simulator: &Simulator) -> anyhow::Result<Running> {
        let running = simulator.start(self.preferred_port())?;
        let tcti = running.tcti();
        if !Config::set_simulator(Some(&tcti))? {
            tell(&format!(
                "tpmssh: the configuration names another TPM and stays as it is; use --tcti {tcti}"
            ));
        }
        tell("tpmssh: the simulated TPM protects nothing; it is for trying things out");
        Ok(running)
    }

    /// The port that earlier commands were told, so that they find the simulator again.
    fn preferred_port(&self) -> Option<u16> {
        match self.config.tcti.as_deref()?.parse() {
            Ok(Tcti::Swtpm { port, .. }) => Some(port),
            _ => None,
        }
    }

    /// The store, which has to exist.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoStore`], and whatever is wrong with it.
    pub(crate) fn store(&self) -> anyhow::Result<Store> {
        self.announce();
        Ok(Store::open(&StoreDir::for_user()?)?)
    }

    /// The store; made if it does not exist.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with it or its directory.
    pub(crate) fn store_or_new(&self) -> anyhow::Result<Store> {
        self.announce();
        Ok(Store::open_or_create(&StoreDir::for_user()?)?)
    }

    /// The tokens of the store; none if there is no store.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the store.
    pub(crate) fn tokens(&self) -> anyhow::Result<Vec<Token>> {
        self.announce();
        match Store::open(&StoreDir::for_user()?) {
            Err(StoreError::NoStore { .. }) => Ok(Vec::new()),
            store => Ok(store?.tokens()?),
        }
    }

    /// The storage root key to which a session is salted that proves the password of a hierarchy;
    /// `None` if the TPM shows none.
    ///
    /// If no token of the store is bound to it, this is its first use, and its Name is shown.
    ///
    /// # Errors
    ///
    /// Failures of the TPM.
    pub(crate) fn srk(&self, op: &Operation<'_>) -> tpm_core::Result<Option<Srk>> {
        let Some(srk) = Srk::find_serving(op)? else {
            return Ok(None);
        };
        let known = self.tokens().unwrap_or_default();
        if !known.is_empty() && known.iter().all(|token| token.srk_name() != srk.name()) {
            tell(&format!(
                "tpmssh: no token of yours is bound to this TPM; the Name of its storage root key is {}",
                srk.name()
            ));
        }
        Ok(Some(srk))
    }

    /// The token that is meant: `--token`, else the configured one, else the only one.
    ///
    /// # Errors
    ///
    /// If there is none, or several and none is named.
    pub(crate) fn token(&self, store: &Store) -> anyhow::Result<Token> {
        if let Some(name) = self.token_name() {
            return Ok(store.find_token(name)?);
        }
        let mut tokens = store.tokens()?;
        match tokens.len() {
            0 => Err(Error::NoToken.into()),
            1 => Ok(tokens.remove(0)),
            _ => {
                let labels = tokens.into_iter().map(|token| token.label).collect();
                Err(Error::WhichToken { labels }.into())
            }
        }
    }

    /// The tokens that are meant: the named one, else all.
    ///
    /// # Errors
    ///
    /// If the named one does not exist.
    pub(crate) fn some_tokens(&self, store: &Store) -> anyhow::Result<Vec<Token>> {
        match self.token_name() {
            Some(name) => Ok(vec![store.find_token(name)?]),
            None => Ok(store.tokens()?),
        }
    }

    fn token_name(&self) -> Option<&str> {
        self.token.as_deref().or(self.config.token.as_deref())
    }

    /// Says once that the TPM is simulated, for commands that need no TPM.
    fn announce(&self) {
        // Whether one is configured at all is not the concern of such a command.
        let _ = self.tpm();
    }
}

/// Where the agent's audit log is.
///
/// # Errors
///
/// If no directory for it is known.
pub(crate) fn agent_log() -> token_store::Result<PathBuf> {
    Ok(state_dir()?.join("agent.log"))
}

/// Gets the user PIN of `token` from `source`; nothing where the token has none.
///
/// # Errors
///
/// If it cannot be got, or cannot be a PIN; no try is spent.
pub(crate) fn read_pin(token: &Token, source: &Source) -> anyhow::Result<Option<Pin>> {
    if token.wall == WallKind::None {
        return Ok(None);
    }
    if !token.pin_is_set {
        return Err(StoreError::PinNotSet.into());
    }
    let typed = source.read(&format!("PIN for token \"{}\"", shown(&token.label)))?;
    Ok(Some(Pin::new(&typed).map_err(StoreError::from)?))
}

/// Gets a user PIN that is being chosen.
///
/// # Errors
///
/// If it cannot be got, or cannot be a PIN.
pub(crate) fn read_new_pin(label: &str, source: &Source) -> anyhow::Result<Pin> {
    let typed = source.read_new(&format!("New PIN for token \"{}\"", shown(label)))?;
    Ok(Pin::new(&typed).map_err(StoreError::from)?)
}

/// Gets the SO PIN of `token`.
///
/// # Errors
///
/// If it cannot be got, or cannot be an SO PIN; no try is spent.
pub(crate) fn read_so_pin(token: &Token, source: &Source) -> anyhow::Result<SoPin> {
    let typed = source.read(&format!("SO PIN for token \"{}\"", shown(&token.label)))?;
    Ok(SoPin::new(&typed).map_err(StoreError::from)?)
}

/// Gets the password of the owner hierarchy; empty unless a file or descriptor is named.
///
/// # Errors
///
/// If it cannot be read, or is longer than a TPM takes.
pub(crate) fn read_owner_auth(source: &Source) -> anyhow::Result<OwnerAuth> {
    match source {
        Source::Ask => Ok(OwnerAuth::empty()),
        source => {
            let password = source.read("owner password")?;
            OwnerAuth::new(&password)
                .map_err(StoreError::from)
                .context("unusable owner password")
        }
    }
}
