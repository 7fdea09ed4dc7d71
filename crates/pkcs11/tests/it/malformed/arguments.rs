//! Cases that are made from the signatures: each function before `C_Initialize`, with each
//! pointer null, each length absurd, each handle wrong.

use std::ptr;

use cryptoki_sys::*;

use super::{
    Case,
    call::{Call, Form, Objects, Pointer, Takes, Wrong},
    functions::{Function, all},
};
use crate::{
    loaded::{Module, done},
    stage::Stage,
    world::OPEN,
};

/// The functions that answer before `C_Initialize`.
const ALWAYS: [&str; 3] = ["C_GetFunctionList", "C_GetInterfaceList", "C_GetInterface"];

/// Lengths that nothing has: in elements, so that bytes wrap for some of them.
const ABSURD: [CK_ULONG; 4] = [1 << 40, 1 << 61, CK_ULONG::MAX / 24 + 2, CK_ULONG::MAX];

/// All cases that the signatures give.
pub(super) fn cases(module: Module) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for number in 0..all().len() {
        // This process never calls C_Initialize, so this shows what the function takes and
        // does nothing else.
        let call = Call::new(
            Stage {
                module,
                slot: 0,
                session: 1,
            },
            Objects::default(),
            Wrong::Nothing,
        );
        let function = &all()[number];
        let returned = (function.call)(&call);
        let expected = if ALWAYS.contains(&function.name) {
            CKR_OK
        } else {
            CKR_CRYPTOKI_NOT_INITIALIZED
        };
        assert_eq!(returned, expected, "{}", function.name);
        for wrong in wrongs(&call.takes()) {
            let takes = call.takes();
            let name = format!("{}, {wrong:?}", function.name);
            cases.push((
                name,
                Box::new(move |module| check(module, &all()[number], wrong, &takes)),
            ));
        }
    }
    cases
}

/// What can be wrong about a call of a function that takes this.
fn wrongs(takes: &Takes) -> Vec<Wrong> {
    let mut wrongs = vec![Wrong::Nothing];
    for (i, pointer) in takes.pointers.iter().enumerate() {
        let forms = match pointer {
            Pointer::Required | Pointer::Optional => vec![Form::Null],
            Pointer::Query => vec![Form::Null, Form::Short],
            Pointer::Input => {
                let mut forms = vec![Form::Null, Form::Of(CK_ULONG::MAX)];
                forms.extend(ABSURD.map(Form::NullOf));
                forms
            }
        };
        wrongs.extend(forms.into_iter().map(|form| Wrong::Pointer(i, form)));
    }
    let handles = [0, 77, CK_ULONG::MAX];
    if takes.session {
        wrongs.extend(handles.map(Wrong::Session));
    }
    if takes.slot {
        wrongs.extend([99, CK_ULONG::MAX].map(Wrong::Slot));
    }
    if takes.object {
        wrongs.extend(handles.map(Wrong::Object));
    }
    if takes.key {
        wrongs.extend(handles.map(Wrong::Key));
    }
    wrongs
}

/// What the function has to return when this is wrong.
fn expected(function: &Function, wrong: Wrong, takes: &Takes) -> CK_RV {
    match wrong {
        Wrong::Nothing => function.returns,
        Wrong::Session(_) => CKR_SESSION_HANDLE_INVALID,
        Wrong::Slot(_) => CKR_SLOT_ID_INVALID,
        Wrong::Object(_) => CKR_OBJECT_HANDLE_INVALID,
        Wrong::Key(_) => CKR_KEY_HANDLE_INVALID,
        Wrong::Pointer(i, form) => match (takes.pointers[i], form) {
            (Pointer::Optional, _) => function.returns,
            // A length is all that is asked for, and it can be told.
            (Pointer::Query, Form::Null) if function.name == "C_Decrypt" => CKR_OK,
            (Pointer::Query, Form::Null) => function.returns,
            (Pointer::Query, _) if function.returns == CKR_OK => CKR_BUFFER_TOO_SMALL,
            (Pointer::Query, _) => function.returns,
            (Pointer::Required | Pointer::Input, _) => CKR_ARGUMENTS_BAD,
        },
    }
}

/// Makes one call in a module of its own, whose state is good.
fn check(module: Module, function: &Function, wrong: Wrong, takes: &Takes) {
    let stage = Stage::new(module, OPEN);
    let objects = Objects {
        ec: stage.object(CKO_PRIVATE_KEY, "ecdsa-p256"),
        rsa: stage.object(CKO_PRIVATE_KEY, "rsa2048"),
        public: stage.object(CKO_PUBLIC_KEY, "ecdsa-p256"),
        rsa_public: stage.object(CKO_PUBLIC_KEY, "rsa2048"),
        data: stage.create_data(b"data"),
    };
    (function.prepare)(&Call::new(stage, objects, Wrong::Nothing));
    let call = Call::new(stage, objects, wrong);
    let returned = (function.call)(&call);
    assert_eq!(
        returned,
        expected(function, wrong, takes),
        "{} with {wrong:?}",
        function.name
    );
    call.memory.check();
    done!(module, C_Finalize(ptr::null_mut()));
}
