//! Objects whose values a caller brings: certificates, public keys and data.

use cryptoki_sys::*;
use token_store::{
    KeySpec,
    object::{Attributes, Body, Half, NewCertificate, NewData, NewPublicKey},
};
use tpm_core::PublicKey;

use super::{
    Content, Object, handle_of,
    rules::{self, Kind, Purpose},
    template::Template,
};
use crate::{
    der,
    error::{Error, Result},
    module::State,
};

/// `C_CreateObject`: certificates, public keys and data.
pub(crate) fn create(
    state: &mut State,
    session: CK_SESSION_HANDLE,
    template: &Template,
) -> Result<CK_OBJECT_HANDLE> {
    let slot = state.session(session)?.slot;
    let object = described(template)?;
    let on_token = template.bool(CKA_TOKEN)?.unwrap_or(false);
    add(state, slot, session, on_token, object)
}

/// Adds an object to a token, or to the session objects of its slot.
///
/// # Errors
///
/// [`Error::SessionReadOnly`], [`Error::NotLoggedIn`], and those of the store.
pub(super) fn add(
    state: &mut State,
    slot: CK_SLOT_ID,
    session: CK_SESSION_HANDLE,
    on_token: bool,
    object: Object,
) -> Result<CK_OBJECT_HANDLE> {
    if on_token && !state.session(session)?.read_write {
        return Err(Error::SessionReadOnly);
    }
    if object.private && !state.is_user(slot) {
        return Err(Error::NotLoggedIn);
    }
    if on_token {
        store(state, slot, object)
    } else {
        Ok(state.session_objects.add(slot, session, object))
    }
}

/// The object that a template describes.
///
/// # Errors
///
/// Those of [`rules::check`]; [`Error::TemplateIncomplete`].
pub(crate) fn described(template: &Template) -> Result<Object> {
    let body = body(template)?;
    let mut object = Object {
        handle: 0,
        stored: None,
        label: template.text(CKA_LABEL)?.unwrap_or_default().to_owned(),
        cka_id: template.bytes(CKA_ID).unwrap_or_default().to_vec(),
        private: template.bool(CKA_PRIVATE)?.unwrap_or(false),
        attributes: Attributes::default(),
        content: Content::Kept(body),
    };
    object.attributes = rules::check(template, Kind::of(&object), Purpose::Create)?;
    rules::check_same(template, &object)?;
    Ok(object)
}

/// The body that a template describes.
fn body(template: &Template) -> Result<Body> {
    match template
        .ulong(CKA_CLASS)?
        .ok_or(Error::TemplateIncomplete)?
    {
        CKO_CERTIFICATE => certificate(template),
        CKO_PUBLIC_KEY => public_key(template),
        CKO_DATA => data(template),
        // No private or secret key enters by the module.
        CKO_PRIVATE_KEY | CKO_SECRET_KEY => Err(Error::TemplateInconsistent),
        _ => Err(Error::AttributeValueInvalid),
    }
}

/// Keeps an object in the token of a slot.
fn store(state: &mut State, slot: CK_SLOT_ID, object: Object) -> Result<CK_OBJECT_HANDLE> {
    let token = state.token(slot)?.id;
    let Object {
        label,
        cka_id,
        private,
        attributes,
        ..
    } = object;
    let Content::Kept(body) = object.content else {
        return Err(Error::TemplateInconsistent);
    };
    let stored = match body {
        Body::Certificate {
            value,
            subject,
            issuer,
            serial_number,
        } => {
            let new = NewCertificate {
                label,
                cka_id,
                private,
                value,
                subject,
                issuer,
                serial_number,
                attributes,
            };
            state.store_mut()?.add_certificate(token, &new)?
        }
        Body::PublicKey {
            public, subject, ..
        } => {
            let new = NewPublicKey {
                label,
                cka_id,
                private,
                subject,
                public,
                attributes,
            };
            state.store_mut()?.add_public_key(token, &new)?
        }
        Body::Data {
            value,
            application,
            object_id,
        } => {
            let new = NewData {
                label,
                private,
                application,
                object_id,
                value,
                attributes,
            };
            state.store_mut()?.add_data(token, &new)?
        }
        // A key of a session that is copied: no template describes a private key (`body`).
        Body::PrivateKey { key, subject } => {
            let spec = KeySpec {
                id: Some(cka_id),
                subject,
                private: Half {
                    hidden: Some(private),
                    attributes,
                    ..Half::default()
                },
                ..KeySpec::new(key.key_type(), label)
            };
            let open = state.open_token(slot)?;
            open.keep_session_key(state.store_mut()?, &spec, &key)?
        }
    };
    state.forget_objects(slot);
    handle_of(stored.id)
}

fn certificate(template: &Template) -> Result<Body> {
    if template.ulong(CKA_CERTIFICATE_TYPE)?.unwrap_or(CKC_X_509) != CKC_X_509 {
        return Err(Error::AttributeValueInvalid);
    }
    let value = template.bytes(CKA_VALUE).ok_or(Error::TemplateIncomplete)?;
    let fields = der::certificate(value).ok_or(Error::AttributeValueInvalid)?;
    let given = |kind| template.bytes(kind).filter(|value| !value.is_empty());
    let differs =
        |kind, fields: &[&[u8]]| given(kind).is_some_and(|value| !fields.contains(&value));
    // NSS and Java give a serial number without the DER around it.
    let serial = &[fields.serial_number, fields.serial_contents];
    if differs(CKA_SUBJECT, &[fields.subject])
        || differs(CKA_ISSUER, &[fields.issuer])
        || differs(CKA_SERIAL_NUMBER, serial)
    {
        return Err(Error::TemplateInconsistent);
    }
    Ok(Body::Certificate {
        value: value.to_vec(),
        subject: fields.subject.to_vec(),
        issuer: fields.issuer.to_vec(),
        serial_number: fields.serial_number.to_vec(),
    })
}

fn public_key(template: &Template) -> Result<Body> {
    let public = match template
        .ulong(CKA_KEY_TYPE)?
        .ok_or(Error::TemplateIncomplete)?
    {
        CKK_RSA => {
            let n = template
                .bytes(CKA_MODULUS)
                .ok_or(Error::TemplateIncomplete)?;
            let e = template
                .bytes(CKA_PUBLIC_EXPONENT)
                .ok_or(Error::TemplateIncomplete)?;
            let e = e.iter().try_fold(0_u32, |acc, &byte| {
                acc.checked_mul(256).map(|acc| acc | u32::from(byte))
            });
            let n: Vec<u8> = n.iter().copied().skip_while(|byte| *byte == 0).collect();
            PublicKey::Rsa {
                n,
                e: e.ok_or(Error::AttributeValueInvalid)?,
            }
        }
        CKK_EC => {
            let params = template
                .bytes(CKA_EC_PARAMS)
                .ok_or(Error::TemplateIncomplete)?;
            let curve = der::curve(params).ok_or(Error::CurveNotSupported)?;
            let point = template
                .bytes(CKA_EC_POINT)
                .ok_or(Error::TemplateIncomplete)?;
            der::point(curve, point).ok_or(Error::AttributeValueInvalid)?
        }
        _ => return Err(Error::AttributeValueInvalid),
    };
    public.check().map_err(|_| Error::AttributeValueInvalid)?;
    let subject = template.bytes(CKA_SUBJECT).unwrap_or_default().to_vec();
    Ok(Body::PublicKey {
        key: None,
        public,
        subject,
    })
}

fn data(template: &Template) -> Result<Body> {
    Ok(Body::Data {
        value: template.bytes(CKA_VALUE).unwrap_or_default().to_vec(),
        application: template
            .text(CKA_APPLICATION)?
            .unwrap_or_default()
            .to_owned(),
        object_id: template.bytes(CKA_OBJECT_ID).unwrap_or_default().to_vec(),
    })
}
