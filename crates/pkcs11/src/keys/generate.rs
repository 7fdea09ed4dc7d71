//! `C_GenerateKeyPair`: from the templates of many clients to a key of ours.

use std::sync::Arc;

use cryptoki_sys::*;
use token_store::{Key, KeySpec, OpenToken, object::Body};
use tpm_core::{Blob, Curve, KeyType, Usage};

use crate::{
    der,
    error::{Error, Result},
    mechanism::{Mechanism, Parameter},
    module::State,
    object::{Content, Object, handle_of, template::Template},
};

/// A key pair to be made.
pub(crate) struct Plan {
    slot: CK_SLOT_ID,
    spec: KeySpec,
    on_token: bool,
    open: Arc<OpenToken>,
}

/// A key that the chip has made.
pub(crate) enum Made {
    OnToken(Blob),
    OfSession(Arc<Key>),
}

impl Plan {
    /// Refuses what can be refused before the chip begins.
    pub(crate) fn new(
        state: &mut State,
        handle: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        public: &Template,
        private: &Template,
    ) -> Result<Self> {
        let session = state.session(handle)?;
        let (slot, read_write) = (session.slot, session.read_write);
        let spec = wanted(mechanism, public, private)?;
        let on_token = private
            .bool(CKA_TOKEN)?
            .or(public.bool(CKA_TOKEN)?)
            .unwrap_or(false);
        if on_token && !read_write {
            return Err(Error::SessionReadOnly);
        }
        let open = state.open_token(slot)?;
        if on_token {
            open.check_spec(state.store()?, &spec)?;
        }
        Ok(Self {
            slot,
            spec,
            on_token,
            open,
        })
    }

    /// Makes the key, in the chip. It can take a minute, in which other threads go on.
    pub(crate) fn make(&self) -> Result<Made> {
        Ok(if self.on_token {
            Made::OnToken(self.open.make(&self.spec)?)
        } else {
            Made::OfSession(Arc::new(self.open.generate_session_key(&self.spec)?))
        })
    }

    /// Keeps the key; returns the handles of its public and its private half.
    pub(crate) fn keep(
        self,
        state: &mut State,
        handle: CK_SESSION_HANDLE,
        made: Made,
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
        // It may have been closed meanwhile.
        state.session(handle)?;
        let key = match made {
            Made::OnToken(blob) => {
                let pair = self.open.keep(state.store_mut()?, &self.spec, &blob)?;
                state.forget_objects(self.slot);
                return Ok((handle_of(pair.public.id)?, handle_of(pair.private.id)?));
            }
            Made::OfSession(key) => key,
        };
        let KeySpec {
            label, id, subject, ..
        } = self.spec;
        let cka_id = id.unwrap_or_else(|| token_store::object::default_id(key.public()));
        let body_public = Body::PublicKey {
            key: Some(key.clone()),
            public: key.public().clone(),
            subject: subject.clone(),
        };
        let mut add = |private, body: Body| {
            let object = Object {
                handle: 0,
                stored: None,
                label: label.clone(),
                cka_id: cka_id.clone(),
                private,
                content: Content::Kept(body),
            };
            state.session_objects.add(self.slot, handle, object)
        };
        let public = add(false, body_public);
        let private = add(true, Body::PrivateKey { key, subject });
        Ok((public, private))
    }
}

/// The key pair that two templates describe.
pub(crate) fn wanted(
    mechanism: &Mechanism,
    public: &Template,
    private: &Template,
) -> Result<KeySpec> {
    let key_type = key_type(mechanism, public)?;
    check_halves(key_type, public, private)?;
    spec(key_type, public, private)
}

fn key_type(mechanism: &Mechanism, public: &Template) -> Result<KeyType> {
    if mechanism.parameter != Parameter::None {
        return Err(Error::MechanismParamInvalid);
    }
    match mechanism.kind {
        CKM_RSA_PKCS_KEY_PAIR_GEN => {
            let exponent = public.bytes(CKA_PUBLIC_EXPONENT).unwrap_or(&[1, 0, 1]);
            if exponent
                .iter()
                .skip_while(|byte| **byte == 0)
                .ne(&[1, 0, 1])
            {
                return Err(Error::AttributeValueInvalid);
            }
            match public
                .ulong(CKA_MODULUS_BITS)?
                .ok_or(Error::TemplateIncomplete)?
            {
                2048 => Ok(KeyType::Rsa2048),
                3072 => Ok(KeyType::Rsa3072),
                _ => Err(Error::KeySizeRange),
            }
        }
        CKM_EC_KEY_PAIR_GEN => {
            let params = public
                .bytes(CKA_EC_PARAMS)
                .ok_or(Error::TemplateIncomplete)?;
            match der::curve(params).ok_or(Error::CurveNotSupported)? {
                Curve::P256 => Ok(KeyType::EccP256),
                Curve::P384 => Ok(KeyType::EccP384),
                Curve::P521 => Ok(KeyType::EccP521),
            }
        }
        _ => Err(Error::MechanismInvalid),
    }
}

/// Refuses what contradicts the mechanism, and what would let a key leave the chip. Hints such
/// as WRAP or VERIFY_RECOVER, which clients send along, are no contradiction.
fn check_halves(key_type: KeyType, public: &Template, private: &Template) -> Result<()> {
    public.check_unambiguous()?;
    private.check_unambiguous()?;
    let kind = if key_type.is_rsa() { CKK_RSA } else { CKK_EC };
    for (half, class) in [(public, CKO_PUBLIC_KEY), (private, CKO_PRIVATE_KEY)] {
        let agrees = half.ulong(CKA_CLASS)?.is_none_or(|c| c == class)
            && half.ulong(CKA_KEY_TYPE)?.is_none_or(|k| k == kind)
            && !half.bool(CKA_COPYABLE)?.unwrap_or(false);
        if !agrees {
            return Err(Error::TemplateInconsistent);
        }
    }
    let may_leave = private.bool(CKA_EXTRACTABLE)?.unwrap_or(false)
        || !private.bool(CKA_SENSITIVE)?.unwrap_or(true)
        || !private.bool(CKA_SIGN)?.unwrap_or(true);
    if may_leave {
        Err(Error::TemplateInconsistent)
    } else {
        Ok(())
    }
}

fn spec(key_type: KeyType, public: &Template, private: &Template) -> Result<KeySpec> {
    let label = private
        .text(CKA_LABEL)?
        .or(public.text(CKA_LABEL)?)
        .unwrap_or_default();
    let more = if key_type.is_rsa() {
        CKA_DECRYPT
    } else {
        CKA_DERIVE
    };
    let either = |kind| {
        private
            .bytes(kind)
            .or(public.bytes(kind))
            .filter(|b| !b.is_empty())
    };
    Ok(KeySpec {
        usage: Usage::sign_and(private.bool(more)?.unwrap_or(false)),
        id: either(CKA_ID).map(<[u8]>::to_vec),
        subject: either(CKA_SUBJECT).unwrap_or_default().to_vec(),
        always_authenticate: private.bool(CKA_ALWAYS_AUTHENTICATE)?.unwrap_or(false),
        ..KeySpec::new(key_type, label)
    })
}
