//! The keys of a provider, fetched from its address in the background. Requests never wait for the provider.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use ssh_format::text::error_line;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use ureq::Agent;
use ureq::http::{StatusCode, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::keys::Keys;
use crate::clock::now;

/// The longest set of keys that is read, in bytes.
const MAX_LEN: u64 = 64 * 1024;
/// The longest time for one fetch, including name lookup and connection.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// The time after which the set is fetched again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// The shortest time between two tries after a failure, and between two fetches for unknown keys.
const PAUSE: Duration = Duration::from_secs(60);
/// How long the last good set is used if the next cannot be fetched, in seconds.
const KEPT: u64 = 24 * 60 * 60;
/// How often the thread looks whether a set is due.
const TICK: Duration = Duration::from_secs(1);

/// The address, and the certificates (PEM) that TLS trusts for it; `None` for those of the system.
type Place = (String, Option<Vec<u8>>);

/// All addresses in use. Roles with the same provider share its keys, and a reload of the policy keeps them.
static ALL: Mutex<BTreeMap<Place, Weak<Remote>>> = Mutex::new(BTreeMap::new());

/// The keys at an address.
#[derive(Debug)]
pub struct Remote {
    place: Place,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last good set, and when it came (seconds since 1970).
    kept: Option<(Arc<Keys>, u64)>,
    /// The time of the last try.
    tried: Option<Instant>,
    /// Why the last try failed; `None` if it succeeded.
    failed: Option<String>,
    /// Whether a token has named an unknown key since the last try.
    wanted: bool,
    /// The time of the last try for such a token.
    asked: Option<Instant>,
}

impl State {
    /// Whether the set is due to be fetched.
    fn is_due(&self) -> bool {
        let Some(tried) = self.tried else {
            return true;
        };
        let asked_long_ago = self.asked.is_none_or(|at| at.elapsed() >= PAUSE);
        tried.elapsed() >= FRESH
            || self.failed.is_some() && tried.elapsed() >= PAUSE
            || self.wanted && asked_long_ago
    }
}

impl PartialEq for Remote {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Remote {}

impl Remote {
    /// The keys at `url`. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// What is wrong with the address or the certificates, as a sentence.
    pub(super) fn at(url: &str, roots: Option<Vec<u8>>) -> Result<Arc<Self>, String> {
        let uri = url.parse::<Uri>().ok();
        let has_host = |uri: &Uri| uri.host().is_some_and(|host| !host.is_empty());
        let is_https = |uri: &Uri| uri.scheme_str() == Some("https");
        if !uri.is_some_and(|uri| is_https(&uri) && has_host(&uri)) || url.contains(['@', '#']) {
            return Err(format!(
                "jwks is a file or an address such as https://id.example.com/keys, and not {url:?}"
            ));
        }
        if let Some(pem) = &roots {
            certificates(pem).map_err(|why| format!("jwks_ca: {why}"))?;
        }
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, it| it.strong_count() > 0);
        let place = (url.to_owned(), roots);
        if let Some(known) = all.get(&place).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let new = Arc::new(Self {
            place: place.clone(),
            state: Mutex::default(),
        });
        all.insert(place, Arc::downgrade(&new));
        Ok(new)
    }

    /// The last good set, if it is less than a day old at `now` (seconds since 1970).
    pub(super) fn keys(&self, now: u64) -> Option<Arc<Keys>> {
        let mut state = self.state();
        let good = state.kept.as_ref();
        let good = good.filter(|(_, since)| now.saturating_sub(*since) < KEPT);
        let good = good.map(|(keys, _)| Arc::clone(keys));
        if good.is_none() && state.failed.is_some() {
            state.wanted = true;
        }
        good
    }

    /// Has the set fetched soon, because a token names an unknown key.
    pub(super) fn want(&self) {
        self.state().wanted = true;
    }

    /// Fetches the set. If that fails, the last good set is kept.
    ///
    /// # Errors
    ///
    /// Why it failed.
    pub fn fetch(&self) -> Result<(), String> {
        {
            let mut state = self.state();
            let begun = Instant::now();
            state.tried = Some(begun);
            if state.wanted {
                state.wanted = false;
                state.asked = Some(begun);
            }
        }
        let got = self.get().and_then(|bytes| Keys::read(&bytes));
        let mut state = self.state();
        match got {
            Ok(keys) => {
                state.kept = Some((Arc::new(keys), now()));
                state.failed = None;
                Ok(())
            }
            Err(why) => {
                state.failed = Some(why.clone());
                Err(why)
            }
        }
    }

    /// Fetches the set if it is due. Prints a failure that is new, and the first success after a failure.
    fn keep(&self) {
        let before = {
            let state = self.state();
            if !state.is_due() {
                return;
            }
            state.failed.clone()
        };
        let url = &self.place.0;
        match (self.fetch(), before) {
            (Err(why), before) if before.as_ref() != Some(&why) => {
                eprintln!("tpmssh-ca: the keys at {url} are not fetched: {why}");
            }
            (Ok(()), Some(_)) => eprintln!("tpmssh-ca: the keys at {url} are fetched again"),
            _ => {}
        }
    }

    fn get(&self) -> Result<Vec<u8>, String> {
        let (url, roots) = &self.place;
        let answer = agent(roots.as_deref())?
            .get(url)
            .header(header::ACCEPT, "application/json")
            .call()
            .map_err(|err| error_line(&err))?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(format!(
                "the server answers with status {}",
                status.as_u16()
            ));
        }
        let mut bytes = Vec::new();
        let mut body = answer.into_body().into_reader().take(MAX_LEN + 1);
        body.read_to_end(&mut bytes)
            .map_err(|err| error_line(&err))?;
        if bytes.len() as u64 > MAX_LEN {
            return Err(format!("they are longer than {MAX_LEN} bytes"));
        }
        Ok(bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread that fetches the keys which `named` returns. It ends when `named` returns `None`.
///
/// # Errors
///
/// If the thread cannot be started.
pub(crate) fn keep_fetched(
    named: impl Fn() -> Option<Vec<Arc<Remote>>> + Send + 'static,
) -> std::io::Result<()> {
    let work = move || {
        while let Some(remotes) = named() {
            remotes.iter().for_each(|it| it.keep());
            drop(remotes);
            thread::sleep(TICK);
        }
    };
    thread::Builder::new().name("jwks".to_owned()).spawn(work)?;
    Ok(())
}

/// The HTTP client: only HTTPS, and no redirections.
fn agent(roots: Option<&[u8]>) -> Result<Agent, String> {
    let roots = match roots {
        Some(pem) => certificates(pem)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    if roots.is_empty() {
        return Err("this machine has no certificates that TLS could trust".to_owned());
    }
    let roots = roots
        .iter()
        .map(|der| Certificate::from_der(der).to_owned());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .timeout_global(Some(PATIENCE))
        .timeout_connect(Some(CONNECT))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("tpmssh-ca/", env!("CARGO_PKG_VERSION")));
    Ok(config.build().into())
}

/// Reads certificates in PEM. There has to be at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("there is no certificate in PEM in it".to_owned()),
        Err(err) => Err(err.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_unknown_keys_have_the_set_fetched_once_a_minute_and_failures_too() {
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds));
        let state = |tried, failed: bool, wanted, asked| State {
            tried,
            failed: failed.then(|| "x".to_owned()),
            wanted,
            asked,
            kept: None,
        };
        for (state, is_due) in [
            (State::default(), true),
            (state(ago(1), false, false, None), false),
            (state(ago(3500), false, false, None), false),
            (state(ago(3601), false, false, None), true),
            (state(ago(50), true, false, None), false),
            (state(ago(61), true, false, None), true),
            (state(ago(1), false, true, None), true),
            (state(ago(50), false, true, ago(50)), false),
            (state(ago(61), false, true, ago(61)), true),
            // Hourly fetches, and those after a failure, do not count for the pause.
            (state(ago(1), false, true, ago(61)), true),
            (state(ago(61), false, false, ago(61)), false),
        ] {
            assert_eq!(state.is_due(), is_due, "{state:?}");
        }
    }

    #[test]
    fn roles_with_one_provider_share_its_keys() {
        let one = Remote::at("https://id.example.com/shared", None).unwrap();
        let other = Remote::at("https://id.example.com/shared", None).unwrap();
        assert!(Arc::ptr_eq(&one, &other));
        let another = Remote::at("https://id.example.com/keys", None).unwrap();
        assert!(!Arc::ptr_eq(&one, &another));
    }

    #[test]
    fn an_address_is_one_of_https() {
        for bad in [
            "https://",
            "http://id.example.com/keys",
            "https://anna:secret@id.example.com/",
            "https://id.example.com/#x",
        ] {
            let why = Remote::at(bad, None).unwrap_err();
            assert!(why.starts_with("jwks is a file or an address such as "));
        }
        let why = Remote::at("https://id.example.com/", Some(b"x".to_vec())).unwrap_err();
        assert_eq!(why, "jwks_ca: there is no certificate in PEM in it");
    }
}
