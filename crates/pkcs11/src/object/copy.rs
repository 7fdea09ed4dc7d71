//! Copies of objects.

use cryptoki_sys::*;
use token_store::object::Body;
use tpm_core::PublicKey;

use super::{Content, Object, attribute, change, create, rules::Purpose, template::Template};
use crate::{
    error::{Error, Result},
    module::State,
};

/// `C_CopyObject`.
///
/// A key that was made for a session can be copied into the token whose chip made it, which is
/// how Java's keytool keeps a key. A private key of a token is not copied (`CKA_COPYABLE` is
/// false): a token holds each key once. A second copy would still work after the first
/// was deleted.
pub(crate) fn copy(
    state: &mut State,
    session: CK_SESSION_HANDLE,
    handle: CK_OBJECT_HANDLE,
    template: &Template,
) -> Result<CK_OBJECT_HANDLE> {
    let slot = state.session(session)?.slot;
    let original = state.object(slot, handle)?;
    if !attribute::flag(&original, CKA_COPYABLE) {
        return Err(Error::ActionProhibited);
    }
    let mut copy = Object {
        stored: None,
        ..Object::clone(&original)
    };
    change::apply(&mut copy, template, Purpose::Copy)?;
    keep_uses(&original, &mut copy);
    let on_token = template
        .bool(CKA_TOKEN)?
        .unwrap_or(original.stored.is_some());
    if let Some(private) = template.bool(CKA_PRIVATE)? {
        // A private object has no public copy.
        if original.private && !private {
            return Err(Error::TemplateInconsistent);
        }
        copy.private = private;
    }
    create::add(state, slot, session, on_token, copy)
}

/// Gives the copy of a public key the uses of the original. The copy belongs to no key pair, from
/// which they could be read.
fn keep_uses(original: &Object, copy: &mut Object) {
    let Content::Kept(Body::PublicKey { public, .. }) = &original.content else {
        return;
    };
    let other = match public {
        PublicKey::Rsa { .. } => CKA_ENCRYPT,
        PublicKey::Ecc { .. } => CKA_DERIVE,
    };
    for kind in [CKA_VERIFY, other] {
        let flag = attribute::flag(original, kind);
        copy.attributes.set(kind, [CK_BBOOL::from(flag)]);
    }
}
