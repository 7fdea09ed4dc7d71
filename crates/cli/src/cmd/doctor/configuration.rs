//! The configuration file: whether it is valid, and whether the tokens that it names exist.

use agent::Policy;
use ssh_format::text::shown;
use token_store::{Config, Store, StoreDir};

use super::check::Check;
use crate::app::App;
use crate::fail::error::Error;
use crate::show::path::quote;

const NAME: &str = "configuration";

pub(super) fn check(app: &App, checks: &mut Vec<Check>) {
    if let Some(err) = app.unusable_config() {
        return checks.push(Check::known(NAME, err));
    }
    let path = match Config::path() {
        Ok(path) if path.exists() => path,
        Ok(_) => return checks.push(Check::ok(NAME, "no file; everything has its default")),
        Err(err) => return checks.push(Check::failed(NAME, err)),
    };
    let before = checks.len();
    let agent = &app.config.agent;
    let pins = agent.pins.iter();
    let pins = pins.map(|(token, pin)| (format!("agent.pins.{token}"), pin));
    let pin = agent.pin.iter().map(|pin| ("agent.pin".to_owned(), pin));
    for (key, pin) in pin.chain(pins) {
        if let Err(why) = pin.parse::<Policy>() {
            let check = Check::failed(NAME, Error::BadPolicy { key, why });
            checks.push(check.fixed_by(format!(
                "correct {}; the agent does not start",
                quote(&path)
            )));
        }
    }
    for name in unknown_tokens(app) {
        let name = shown(&name);
        checks.push(
            Check::warning(
                NAME,
                format!("it names token \"{name}\", which is not there"),
            )
            .fixed_by("tpmssh token list"),
        );
    }
    if checks.len() == before {
        checks.push(Check::ok(NAME, path.display().to_string()));
    }
}

/// The names of tokens in the file that no token, or more than one, has.
fn unknown_tokens(app: &App) -> Vec<String> {
    let store = StoreDir::for_user().and_then(|dir| Store::open(&dir));
    let Ok(store) = store else {
        return Vec::new();
    };
    let named = app.config.token.iter().chain(app.config.agent.pins.keys());
    named
        .filter(|name| store.find_token(name).is_err())
        .cloned()
        .collect()
}
