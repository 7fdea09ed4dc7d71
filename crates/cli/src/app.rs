//! The state that every command starts with: the configuration, the TPM, the store and the token.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use token_store::config::Choice;
use token_store::{Config, Error as StoreError, Store, StoreDir, Token, state_dir};
use tpm_core::{Operation, Srk, Tcti, Tpm};

use crate::fail::error::Error;
use crate::machine::simulator::{Running, Simulator};
use crate::machine::{harden, notice, waiting};
use crate::options::{Global, TokenArg};
use crate::show::output::{Output, tell};

/// The global options and the configuration file, and what follows from them.
pub(crate) struct App {
    pub(crate) out: Output,
    pub(crate) config: Config,
    tcti: Option<String>,
    token: Option<String>,
    /// The token that the environment or the configuration names.
    shown_token: Option<String>,
    /// Whether this command has said that the TPM is simulated.
    announced: Cell<bool>,
    /// Whether to say so even if this terminal session has heard it.
    always_announces: bool,
    /// Whether a person waits for this command.
    has_a_person: bool,
    unusable_config: Option<anyhow::Error>,
}

impl App {
    /// Reads the configuration file, and hardens the process before any PIN is in it.
    ///
    /// # Errors
    ///
    /// If the configuration file is unusable.
    pub(crate) fn new(global: &Global) -> anyhow::Result<Self> {
        let config = Config::load()?;
        let shown_token = config.shown_token();
        // After the configuration: whether the environment can be trusted is read from a file in
        // /proc, which a hardened process cannot open.
        harden::process();
        Ok(Self {
            out: Output::new(global.json),
            config,
            tcti: global.tcti.clone(),
            token: global.token.clone(),
            shown_token,
            announced: Cell::new(false),
            always_announces: false,
            has_a_person: true,
            unusable_config: None,
        })
    }

    /// As [`App::new`], but with all defaults if the configuration file is unusable: see
    /// [`App::unusable_config`].
    pub(crate) fn forgiving(global: &Global) -> Self {
        Self::new(global).unwrap_or_else(|err| {
            harden::process();
            Self {
                out: Output::new(global.json),
                shown_token: Config::default().shown_token(),
                config: Config::default(),
                tcti: global.tcti.clone(),
                token: global.token.clone(),
                announced: Cell::new(false),
                always_announces: false,
                has_a_person: true,
                unusable_config: Some(err),
            }
        })
    }

    /// Why the configuration file is not used, if it is unusable.
    pub(crate) fn unusable_config(&self) -> Option<&anyhow::Error> {
        self.unusable_config.as_ref()
    }

    /// The same, which says that the TPM is simulated even if this terminal session has heard it.
    pub(crate) fn always_announcing(self) -> Self {
        Self {
            always_announces: true,
            ..self
        }
    }

    /// The same for a service without a person, which must start no threads before it gives up its
    /// rights.
    pub(crate) fn unattended(self) -> Self {
        Self {
            has_a_person: false,
            ..self
        }
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
            shown_token: self.shown_token.clone(),
            announced: self.announced.clone(),
            always_announces: self.always_announces,
            has_a_person: self.has_a_person,
            unusable_config: None,
        })
    }

    /// The same with this token, whatever the environment or the configuration names.
    ///
    /// # Errors
    ///
    /// As for [`Self::reload`].
    pub(crate) fn for_token(&self, token: &Token) -> anyhow::Result<Self> {
        Ok(Self {
            token: Some(token.serial.clone()),
            ..self.reload()?
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
    /// If none is configured and there is no `/dev/tpmrm*`.
    pub(crate) fn tpm(&self) -> anyhow::Result<Arc<Tpm>> {
        let choice = self.tpm_choice()?;
        self.announce(&choice);
        let tpm = Arc::new(Tpm::new(choice.tcti));
        if self.has_a_person {
            waiting::tell_of(&tpm);
        }
        Ok(tpm)
    }

    /// The configured TPM, and where it is configured.
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

    /// The port in the configuration file, so that programs with the old setting find the simulator
    /// again.
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
        self.announce_if_configured();
        Ok(Store::open(&StoreDir::for_user()?)?)
    }

    /// The store; made if it does not exist.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with it or its directory.
    pub(crate) fn store_or_new(&self) -> anyhow::Result<Store> {
        self.announce_if_configured();
        Ok(Store::open_or_create(&StoreDir::for_user()?)?)
    }

    /// The tokens of the store; none if there is no store.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the store.
    pub(crate) fn tokens(&self) -> anyhow::Result<Vec<Token>> {
        self.announce_if_configured();
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

    /// The token that an argument names. Without one, [the default token](Self::token).
    ///
    /// # Errors
    ///
    /// If it does not exist; if `--token` names another one; those of [`App::token`].
    pub(crate) fn named_token(&self, store: &Store, named: &TokenArg) -> anyhow::Result<Token> {
        let Some(name) = &named.name else {
            return self.token(store);
        };
        let token = store.find_token(name)?;
        match &self.token {
            Some(other) if store.find_token(other)?.id != token.id => {
                Err(Error::Usage("two tokens are named".into()).into())
            }
            _ => Ok(token),
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

    /// What `--token` calls the token that is meant.
    pub(crate) fn token_option(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// What `--token`, the environment or the configuration calls the token that is meant.
    pub(crate) fn token_name(&self) -> Option<&str> {
        self.token.as_deref().or(self.shown_token.as_deref())
    }

    /// Says once that the TPM is simulated.
    fn announce(&self, choice: &Choice) {
        if choice.simulated
            && !self.announced.replace(true)
            && (self.always_announces || notice::is_due())
        {
            tell("tpmssh: the TPM is simulated and protects nothing");
        }
    }

    /// As [`App::announce`], for commands that need no TPM: without a configured one nothing is said.
    fn announce_if_configured(&self) {
        if let Ok(choice) = self.tpm_choice() {
            self.announce(&choice);
        }
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
