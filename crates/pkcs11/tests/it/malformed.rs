//! Calls that are malformed or out of order: each in a process of its own, each with the one
//! return value that is right, and none of them ends its host.

mod arguments;
mod call;
mod functions;
mod lifecycle;
mod logins;
mod mechanisms;
mod objects;
mod operations;

use std::ptr;

use cryptoki_sys::*;
use tpm_core::{KeyType, Usage};

use crate::{
    isolated::{forked, isolated},
    loaded::{Module, done},
    stage::Stage,
    world::{LOCKED, OPEN, World},
};

/// A call and what is right for it: it panics if something else happens.
type Case = (String, Box<dyn Fn(Module)>);

/// The names of all functions but `C_Initialize` and `C_Finalize`.
pub(crate) fn function_names() -> Vec<&'static str> {
    functions::all()
        .iter()
        .map(|function| function.name)
        .collect()
}

/// The open token with two keys, and the locked one with one.
fn world() -> World {
    let ec = (KeyType::EccP256, Usage::SIGN_DECRYPT);
    let rsa = (KeyType::Rsa2048, Usage::SIGN_DECRYPT);
    World::new().token(OPEN, &[ec, rsa]).token(LOCKED, &[ec])
}

/// Cases that begin with a session for reading and writing with the open token.
fn staged<F: Fn(Stage) + 'static>(name: impl Into<String>, body: F) -> Case {
    let body = move |module| body(Stage::new(module, OPEN));
    (name.into(), Box::new(body))
}

/// Runs each case in a forked process that has a module of its own to begin with.
fn run(module: Module, cases: Vec<Case>) {
    // Valgrind translates the code that this runs once, and not in each child again.
    let stage = Stage::new(module, OPEN);
    let key = stage.object(CKO_PRIVATE_KEY, "ecdsa-p256");
    assert_eq!(stage.sign_init(CKM_ECDSA, key), CKR_OK);
    assert!(stage.sign(&[1; 32]).is_ok());
    done!(module, C_Finalize(ptr::null_mut()));
    let all = cases.len();
    let failed: Vec<_> = cases
        .into_iter()
        .filter_map(|(name, case)| {
            let ending = forked(|| case(module));
            ending.err().map(|why| format!("{name}: {why}"))
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {all}:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn wrong_arguments_are_refused_and_crash_nothing() {
    isolated(world, || {
        let module = Module::load();
        let cases = arguments::cases(module);
        assert!(cases.len() >= 400, "{}", cases.len());
        run(module, cases);
    });
}

#[test]
fn calls_out_of_order_are_refused_and_crash_nothing() {
    isolated(world, || {
        let mut cases = lifecycle::cases();
        cases.extend(logins::cases());
        cases.extend(operations::cases());
        run(Module::load(), cases);
    });
}

#[test]
fn templates_and_mechanisms_that_make_no_sense_are_refused() {
    isolated(world, || {
        let mut cases = objects::cases();
        cases.extend(mechanisms::cases());
        run(Module::load(), cases);
    });
}
