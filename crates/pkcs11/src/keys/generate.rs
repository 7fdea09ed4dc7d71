//! `C_GenerateKeyPair`: key pairs from the templates of callers.

use std::sync::Arc;

use cryptoki_sys::*;
use token_store::{
    Key, KeySpec, OpenToken,
    object::{Body, Half, Mechanisms},
};
use tpm_core::{Blob, Curve, KeyType, Usage};

use crate::{
    der,
    error::{Error, Result},
    mechanism::{Mechanism, Parameter},
    module::State,
    object::{
        Content, Object, handle_of,
        rules::{self, Kind, Purpose},
        template::Template,
    },
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
    /// Checks all that can be checked before the chip begins.
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
        // A token holds each key once: a second copy would still work after the first was deleted.
        if on_token && private.bool(CKA_COPYABLE)?.unwrap_or(false) {
            return Err(Error::TemplateInconsistent);
        }
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
        let spec = self.spec;
        let default_id = token_store::object::default_id(key.public());
        let default_id = spec.id.unwrap_or(default_id);
        let mut add = |half: Half, hidden, body: fn(Arc<Key>, Vec<u8>) -> Body| {
            let subject = half.subject.unwrap_or_else(|| spec.subject.clone());
            let object = Object {
                handle: 0,
                stored: None,
                label: half.label.unwrap_or_else(|| spec.label.clone()),
                cka_id: half.id.unwrap_or_else(|| default_id.clone()),
                private: half.hidden.unwrap_or(hidden),
                attributes: half.attributes,
                content: Content::Kept(body(Arc::clone(&key), subject)),
            };
            state.session_objects.add(self.slot, handle, object)
        };
        let public = add(spec.public, false, |key, subject| Body::PublicKey {
            public: key.public().clone(),
            key: Some(key),
            subject,
        });
        let private = add(spec.private, true, |key, subject| Body::PrivateKey {
            key,
            subject,
        });
        Ok((public, private))
    }
}

/// The key pair that two templates describe.
pub(crate) fn wanted(
    mechanism: &Mechanism,
    public: &Template,
    private: &Template,
) -> Result<KeySpec> {
    let key_type = key_type(mechanism, public, private)?;
    check_agreement(key_type, public, private)?;
    spec(key_type, public, private)
}

fn key_type(mechanism: &Mechanism, public: &Template, private: &Template) -> Result<KeyType> {
    if mechanism.parameter != Parameter::None {
        return Err(Error::MechanismParamInvalid);
    }
    match mechanism.kind {
        CKM_RSA_PKCS_KEY_PAIR_GEN => {
            let given = [public, private].map(|half| half.bytes(CKA_PUBLIC_EXPONENT));
            // 65537, with or without leading zeros.
            let is_usual = |e: &[u8]| e.iter().skip_while(|byte| **byte == 0).eq(&[1, 0, 1]);
            if !given.into_iter().flatten().all(is_usual) {
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

/// Refuses halves that contradict the mechanism or each other.
fn check_agreement(key_type: KeyType, public: &Template, private: &Template) -> Result<()> {
    public.check_unambiguous()?;
    private.check_unambiguous()?;
    let kind = if key_type.is_rsa() { CKK_RSA } else { CKK_EC };
    for (half, class) in [(public, CKO_PUBLIC_KEY), (private, CKO_PRIVATE_KEY)] {
        let agrees = half.ulong(CKA_CLASS)?.is_none_or(|c| c == class)
            && half.ulong(CKA_KEY_TYPE)?.is_none_or(|k| k == kind);
        if !agrees {
            return Err(Error::TemplateInconsistent);
        }
    }
    // Some clients describe the key in both halves.
    let differs = |attribute| {
        let (a, b) = (public.bytes(attribute), private.bytes(attribute));
        a.is_some() && b.is_some() && a != b
    };
    let asks_unseen = private.bool(CKA_ALWAYS_AUTHENTICATE)?.unwrap_or(false)
        && !private.bool(CKA_PRIVATE)?.unwrap_or(true);
    if differs(CKA_TOKEN) || differs(CKA_EC_PARAMS) || asks_unseen {
        return Err(Error::TemplateInconsistent);
    }
    Ok(())
}

fn spec(key_type: KeyType, public: &Template, private: &Template) -> Result<KeySpec> {
    let rsa = key_type.is_rsa();
    let (public_kind, private_kind) = if rsa {
        (Kind::PublicRsa, Kind::PrivateRsa)
    } else {
        (Kind::PublicEc, Kind::PrivateEc)
    };
    let public_half = half(public, public_kind)?;
    let private_half = half(private, private_kind)?;
    // A value that is missing in one half is that of the other half.
    let label = private_half.label.as_ref().or(public_half.label.as_ref());
    let label = label.cloned().unwrap_or_default();
    let id = private_half
        .id
        .as_ref()
        .or(public_half.id.as_ref())
        .cloned();
    let subject = private_half
        .subject
        .as_ref()
        .or(public_half.subject.as_ref());
    // If the template does not mention decryption, other modules let an RSA key decrypt. Here every
    // RSA key can, because its paddings need it. An EC key that derives is another key in the chip.
    let more = if rsa {
        private.bool(CKA_DECRYPT)?.unwrap_or(true)
    } else {
        private.bool(CKA_DERIVE)?.unwrap_or(false)
    };
    Ok(KeySpec {
        usage: Usage::sign_and(more),
        signs: private.bool(CKA_SIGN)?.unwrap_or(true),
        mechanisms: private
            .numbers(CKA_ALLOWED_MECHANISMS)?
            .map(Mechanisms::new),
        id,
        subject: subject.cloned().unwrap_or_default(),
        always_authenticate: private.bool(CKA_ALWAYS_AUTHENTICATE)?.unwrap_or(false),
        public: public_half,
        private: private_half,
        ..KeySpec::new(key_type, label)
    })
}

/// The values in the template of one half that are for this half alone.
fn half(template: &Template, kind: Kind) -> Result<Half> {
    let given = |kind| template.bytes(kind).filter(|value| !value.is_empty());
    Ok(Half {
        attributes: rules::check(template, kind, Purpose::Make)?,
        label: template.text(CKA_LABEL)?.map(str::to_owned),
        id: given(CKA_ID).map(<[u8]>::to_vec),
        subject: given(CKA_SUBJECT).map(<[u8]>::to_vec),
        hidden: template.bool(CKA_PRIVATE)?,
    })
}
