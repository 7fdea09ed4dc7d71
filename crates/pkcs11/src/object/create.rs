//! Objects that a caller makes, changes and destroys.

use cryptoki_sys::*;
use token_store::object::{Attributes, Body, NewCertificate, NewData, NewPublicKey};
use tpm_core::PublicKey;

use super::{Content, Object, attribute, handle_of, template::Template};
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
    let (slot, read_write) = {
        let session = state.session(session)?;
        (session.slot, session.read_write)
    };
    template.check_unambiguous()?;
    let body = body(template)?;
    let on_token = template.bool(CKA_TOKEN)?.unwrap_or(false);
    let private = template.bool(CKA_PRIVATE)?.unwrap_or(false);
    if on_token && !read_write {
        return Err(Error::SessionReadOnly);
    }
    if private && !state.is_user(slot) {
        return Err(Error::NotLoggedIn);
    }
    let label = template.text(CKA_LABEL)?.unwrap_or_default().to_owned();
    let cka_id = template.bytes(CKA_ID).unwrap_or_default().to_vec();
    let object = Object {
        handle: 0,
        stored: None,
        label,
        cka_id,
        private,
        content: Content::Kept(body),
    };
    if on_token {
        store(state, slot, object)
    } else {
        Ok(state.session_objects.add(slot, session, object))
    }
}

/// What a template describes.
pub(crate) fn body(template: &Template) -> Result<Body> {
    match template
        .ulong(CKA_CLASS)?
        .ok_or(Error::TemplateIncomplete)?
    {
        CKO_CERTIFICATE => certificate(template),
        CKO_PUBLIC_KEY => public_key(template),
        CKO_DATA => data(template),
        // No private or secret key ever enters.
        CKO_PRIVATE_KEY | CKO_SECRET_KEY => Err(Error::TemplateInconsistent),
        _ => Err(Error::AttributeValueInvalid),
    }
}

fn store(state: &mut State, slot: CK_SLOT_ID, object: Object) -> Result<CK_OBJECT_HANDLE> {
    let token = state.token(slot)?.id;
    let store = state.store_mut()?;
    let Object {
        label,
        cka_id,
        private,
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
                ..NewCertificate::default()
            };
            store.add_certificate(token, &new)?
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
                attributes: Attributes::default(),
            };
            store.add_public_key(token, &new)?
        }
        Body::Data {
            value,
            application,
            object_id,
        } => store.add_data(
            token,
            &NewData {
                label,
                private,
                application,
                object_id,
                value,
                ..NewData::default()
            },
        )?,
        Body::PrivateKey { .. } => return Err(Error::TemplateInconsistent),
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
    // What the certificate itself says is what counts.
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

/// `C_DestroyObject`.
pub(crate) fn destroy(
    state: &mut State,
    session: CK_SESSION_HANDLE,
    handle: CK_OBJECT_HANDLE,
) -> Result<()> {
    let (slot, read_write) = {
        let session = state.session(session)?;
        (session.slot, session.read_write)
    };
    let object = state.object(slot, handle)?;
    match object.stored {
        None => state.session_objects.remove(handle),
        Some(_) if !read_write => return Err(Error::SessionReadOnly),
        Some(id) => {
            state.store_mut()?.delete_object(id)?;
            state.forget_objects(slot);
        }
    }
    Ok(())
}

/// `C_SetAttributeValue`: labels, ids, subjects and the value of data.
pub(crate) fn change(
    state: &mut State,
    session: CK_SESSION_HANDLE,
    handle: CK_OBJECT_HANDLE,
    template: &Template,
) -> Result<()> {
    let (slot, read_write) = {
        let session = state.session(session)?;
        (session.slot, session.read_write)
    };
    let object = state.object(slot, handle)?;
    template.check_unambiguous()?;
    if object.stored.is_some() && !read_write {
        return Err(Error::SessionReadOnly);
    }
    // All is checked before anything is changed.
    for wanted in template.attributes() {
        attribute::read(&object, wanted.kind).or_else(|err| match err {
            Error::AttributeSensitive => Ok(attribute::Value::Bool(false)),
            err => Err(err),
        })?;
        let is_data = matches!(object.content, Content::Kept(Body::Data { .. }));
        match wanted.kind {
            CKA_LABEL => drop(template.text(CKA_LABEL)?),
            CKA_ID if !is_data => {}
            CKA_SUBJECT if object.subject().is_some() => {}
            CKA_VALUE if is_data => {}
            _ => return Err(Error::AttributeReadOnly),
        }
    }
    for wanted in template.attributes() {
        let value = &wanted.value;
        let Some(id) = object.stored else {
            let object = state
                .session_objects
                .get_mut(handle)
                .ok_or(Error::ObjectHandleInvalid)?;
            change_session_object(object, wanted.kind, value);
            continue;
        };
        let store = state.store_mut()?;
        match wanted.kind {
            CKA_LABEL => {
                store.set_label(id, template.text(CKA_LABEL)?.unwrap_or_default())?;
            }
            CKA_ID => store.set_id(id, value)?,
            CKA_SUBJECT => store.set_subject(id, value)?,
            _ => store.set_data_value(id, value)?,
        }
    }
    state.forget_objects(slot);
    Ok(())
}

fn change_session_object(object: &mut Object, kind: CK_ATTRIBUTE_TYPE, new: &[u8]) {
    match (kind, &mut object.content) {
        (CKA_LABEL, _) => object.label = String::from_utf8_lossy(new).into_owned(),
        (CKA_ID, _) => object.cka_id = new.to_vec(),
        (
            CKA_SUBJECT,
            Content::Kept(
                Body::PrivateKey { subject, .. }
                | Body::PublicKey { subject, .. }
                | Body::Certificate { subject, .. },
            ),
        ) => *subject = new.to_vec(),
        (_, Content::Kept(Body::Data { value, .. })) => *value = new.to_vec(),
        _ => {}
    }
}
