//! The existing names of tokens, keys, authorities and certificates.

use token_store::{Store, StoreDir, Token};

use super::Offer;
use crate::certificates;
use crate::keys::{self, Key};

/// The sizes of keys, with the kind that has them.
pub(super) fn sizes() -> Vec<Offer> {
    let sizes = [
        ("256", "ecdsa"),
        ("384", "ecdsa"),
        ("521", "ecdsa"),
        ("2048", "rsa"),
        ("3072", "rsa"),
    ];
    let offer = |(value, help): (&str, &str)| Offer {
        value: value.into(),
        help: help.into(),
    };
    sizes.map(offer).into()
}

/// The tokens, by label; by serial number if several have the label.
pub(super) fn tokens() -> Vec<Offer> {
    let Some((_, tokens)) = open() else {
        return Vec::new();
    };
    let has = |label: &str| tokens.iter().filter(|token| token.label == label).count();
    let offers = tokens.iter().map(|token| match has(&token.label) {
        1 => Offer {
            value: token.label.clone(),
            help: format!("PIN wall: {}", token.wall.as_str()),
        },
        _ => Offer {
            value: token.serial.clone(),
            help: token.label.clone(),
        },
    });
    offers.collect()
}

/// The keys, by label; by id if several have the label.
pub(super) fn keys() -> Vec<Offer> {
    offers_of(all_keys())
}

/// The keys that sign certificates.
pub(super) fn authorities() -> Vec<Offer> {
    let keys = all_keys().into_iter();
    offers_of(keys.filter(|key| key.authority).collect())
}

fn offers_of(keys: Vec<Key>) -> Vec<Offer> {
    let has = |label: &str| keys.iter().filter(|key| key.label == label).count();
    let kind = |key: &Key| {
        let ca = if key.authority { "CA key, " } else { "" };
        format!("{ca}{}", key.key_type)
    };
    let offers = keys.iter().map(|key| match has(&key.label) {
        1 => Offer {
            value: key.label.clone(),
            help: kind(key),
        },
        _ => Offer {
            value: key.id.clone(),
            help: format!("{}, {}", key.label, kind(key)),
        },
    });
    offers.collect()
}

/// The certificates that are kept, by number.
pub(super) fn certificates() -> Vec<Offer> {
    let Some((store, tokens)) = open() else {
        return Vec::new();
    };
    let kept = |token: &Token| certificates::of_token(&store, token).unwrap_or_default();
    let offers = tokens.iter().flat_map(kept).map(|kept| Offer {
        value: kept.number.to_string(),
        help: format!("{}, of key {}", kept.contents.key_id, kept.key),
    });
    offers.collect()
}

fn all_keys() -> Vec<Key> {
    let Some((store, tokens)) = open() else {
        return Vec::new();
    };
    let of_token = |token| keys::of_token(&store, token).unwrap_or_default();
    tokens.iter().flat_map(of_token).collect()
}

/// The store and its tokens. Errors are not shown in the middle of a line: nothing is offered.
fn open() -> Option<(Store, Vec<Token>)> {
    let store = Store::open(&StoreDir::for_user().ok()?).ok()?;
    let tokens = store.tokens().ok()?;
    Some((store, tokens))
}
