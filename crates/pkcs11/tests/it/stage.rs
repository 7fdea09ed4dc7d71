//! A module that is initialized, and a session with one of its tokens.

use std::ptr;

use cryptoki_sys::*;

use crate::loaded::{Module, call, done};

/// A session with a token, and what is in the token.
#[derive(Clone, Copy)]
pub(crate) struct Stage {
    pub(crate) module: Module,
    pub(crate) slot: CK_SLOT_ID,
    pub(crate) session: CK_SESSION_HANDLE,
}

/// A session for reading and writing.
pub(crate) const RW: CK_FLAGS = CKF_SERIAL_SESSION | CKF_RW_SESSION;

impl Stage {
    /// Initializes `module` and opens a session with the token `label`.
    pub(crate) fn new(module: Module, label: &str) -> Self {
        done!(module, C_Initialize(ptr::null_mut()));
        let slot = slot_of(module, label);
        Self {
            module,
            slot,
            session: open(module, slot, RW),
        }
    }

    pub(crate) fn functions(&self) -> &'static CK_FUNCTION_LIST_3_0 {
        self.module.functions()
    }

    /// Another session with the same token.
    pub(crate) fn another(&self, flags: CK_FLAGS) -> Self {
        Self {
            session: open(self.module, self.slot, flags),
            ..*self
        }
    }

    /// Logs in as `user`; returns what the module returned.
    pub(crate) fn login(&self, user: CK_USER_TYPE, pin: &str) -> CK_RV {
        let len = pin.len() as CK_ULONG;
        let pin = pin.as_ptr().cast_mut();
        call!(self, C_Login(self.session, user, pin, len))
    }

    /// The objects with these attributes.
    pub(crate) fn find(&self, template: &mut [CK_ATTRIBUTE]) -> Vec<CK_OBJECT_HANDLE> {
        let len = template.len() as CK_ULONG;
        done!(
            self,
            C_FindObjectsInit(self.session, template.as_mut_ptr(), len)
        );
        let mut found = vec![0; 100];
        let mut count = 0;
        let max = found.len() as CK_ULONG;
        done!(
            self,
            C_FindObjects(self.session, found.as_mut_ptr(), max, &raw mut count)
        );
        done!(self, C_FindObjectsFinal(self.session));
        found.truncate(count as usize);
        found
    }

    /// The one object of this class and label.
    pub(crate) fn object(&self, mut class: CK_OBJECT_CLASS, label: &str) -> CK_OBJECT_HANDLE {
        let found = self.find(&mut [
            number(CKA_CLASS, &mut class),
            bytes(CKA_LABEL, label.as_bytes()),
        ]);
        assert_eq!(found.len(), 1, "{label}");
        found[0]
    }

    /// Makes an object of the session that holds `value`.
    pub(crate) fn create_data(&self, value: &[u8]) -> CK_OBJECT_HANDLE {
        let mut class = CKO_DATA;
        let mut template = [number(CKA_CLASS, &mut class), bytes(CKA_VALUE, value)];
        let mut object = 0;
        done!(
            self,
            C_CreateObject(self.session, template.as_mut_ptr(), 2, &raw mut object)
        );
        object
    }

    /// Makes a key pair; returns what the module returned, and its two halves.
    pub(crate) fn key_pair(
        &self,
        kind: CK_MECHANISM_TYPE,
        public: &[CK_ATTRIBUTE],
        private: &[CK_ATTRIBUTE],
    ) -> (CK_RV, CK_OBJECT_HANDLE, CK_OBJECT_HANDLE) {
        let mut mechanism = plain(kind);
        let (mut a, mut b) = (0, 0);
        let returned = call!(
            self,
            C_GenerateKeyPair(
                self.session,
                &raw mut mechanism,
                public.as_ptr().cast_mut(),
                public.len() as CK_ULONG,
                private.as_ptr().cast_mut(),
                private.len() as CK_ULONG,
                &raw mut a,
                &raw mut b
            )
        );
        (returned, a, b)
    }

    /// Makes a key pair; returns what the module returned.
    pub(crate) fn generate(
        &self,
        kind: CK_MECHANISM_TYPE,
        public: &[CK_ATTRIBUTE],
        private: &[CK_ATTRIBUTE],
    ) -> CK_RV {
        self.key_pair(kind, public, private).0
    }

    /// The value of an attribute, or what the module returned.
    pub(crate) fn get(
        &self,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Result<Vec<u8>, CK_RV> {
        let mut value = vec![0; 4096];
        let mut attribute = bytes(kind, &value);
        attribute.pValue = value.as_mut_ptr().cast();
        let place = &raw mut attribute;
        match call!(self, C_GetAttributeValue(self.session, object, place, 1)) {
            CKR_OK => {
                value.truncate(attribute.ulValueLen as usize);
                Ok(value)
            }
            err => Err(err),
        }
    }

    /// Verifies a signature; returns what the module returned.
    pub(crate) fn verify(
        &self,
        mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
        signature: &[u8],
    ) -> CK_RV {
        let mut mechanism = mechanism;
        done!(self, C_VerifyInit(self.session, &raw mut mechanism, key));
        call!(
            self,
            C_Verify(
                self.session,
                data.as_ptr().cast_mut(),
                data.len() as CK_ULONG,
                signature.as_ptr().cast_mut(),
                signature.len() as CK_ULONG
            )
        )
    }

    /// Derives a secret; returns its handle, or what the module returned.
    pub(crate) fn derive(
        &self,
        mut mechanism: CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
        template: &[CK_ATTRIBUTE],
    ) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        let mut secret = 0;
        let place = &raw mut secret;
        let len = template.len() as CK_ULONG;
        let template = match template {
            [] => ptr::null_mut(),
            _ => template.as_ptr().cast_mut(),
        };
        let returned = call!(
            self,
            C_DeriveKey(self.session, &raw mut mechanism, key, template, len, place)
        );
        (returned == CKR_OK).then_some(secret).ok_or(returned)
    }

    /// The same with the secret that `key` and the public key `point` agree on.
    pub(crate) fn agree(
        &self,
        key: CK_OBJECT_HANDLE,
        point: &[u8],
        template: &[CK_ATTRIBUTE],
    ) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        let mut parameter = ecdh(point);
        self.derive(with(CKM_ECDH1_DERIVE, &mut parameter), key, template)
    }

    /// Begins a signature; returns what the module returned.
    pub(crate) fn sign_init(&self, kind: CK_MECHANISM_TYPE, key: CK_OBJECT_HANDLE) -> CK_RV {
        let mut mechanism = plain(kind);
        call!(self, C_SignInit(self.session, &raw mut mechanism, key))
    }

    /// Finishes the signature of `data`, or says what the module returned.
    pub(crate) fn sign(&self, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
        let mut signature = vec![0; 512];
        let mut len = signature.len() as CK_ULONG;
        let input = data.as_ptr().cast_mut();
        let returned = call!(
            self,
            C_Sign(
                self.session,
                input,
                data.len() as CK_ULONG,
                signature.as_mut_ptr(),
                &raw mut len
            )
        );
        if returned != CKR_OK {
            return Err(returned);
        }
        signature.truncate(len as usize);
        Ok(signature)
    }
}

/// The slot of the token `label`.
pub(crate) fn slot_of(module: Module, label: &str) -> CK_SLOT_ID {
    let slots = slots(module, CK_TRUE);
    let is_wanted = |slot: &&CK_SLOT_ID| {
        let info = token_info(module, **slot);
        String::from_utf8_lossy(&info.label).trim_end() == label
    };
    *slots.iter().find(is_wanted).expect("the token is there")
}

/// The slots that are listed.
pub(crate) fn slots(module: Module, with_token: CK_BBOOL) -> Vec<CK_SLOT_ID> {
    let mut slots = vec![0; 16];
    let mut count = slots.len() as CK_ULONG;
    done!(
        module,
        C_GetSlotList(with_token, slots.as_mut_ptr(), &raw mut count)
    );
    slots.truncate(count as usize);
    slots
}

pub(crate) fn token_info(module: Module, slot: CK_SLOT_ID) -> CK_TOKEN_INFO {
    let mut info = CK_TOKEN_INFO::default();
    done!(module, C_GetTokenInfo(slot, &raw mut info));
    info
}

pub(crate) fn open(module: Module, slot: CK_SLOT_ID, flags: CK_FLAGS) -> CK_SESSION_HANDLE {
    let mut session = 0;
    done!(
        module,
        C_OpenSession(slot, flags, ptr::null_mut(), None, &raw mut session)
    );
    session
}

/// A mechanism without a parameter.
pub(crate) fn plain(kind: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: kind,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    }
}

/// A mechanism with its parameter.
pub(crate) fn with<T>(kind: CK_MECHANISM_TYPE, parameter: &mut T) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: kind,
        pParameter: (&raw mut *parameter).cast(),
        ulParameterLen: size_of::<T>() as CK_ULONG,
    }
}

/// The parameter of a derivation with this public key.
pub(crate) fn ecdh(point: &[u8]) -> CK_ECDH1_DERIVE_PARAMS {
    CK_ECDH1_DERIVE_PARAMS {
        kdf: CKD_NULL,
        ulSharedDataLen: 0,
        pSharedData: ptr::null_mut(),
        ulPublicDataLen: point.len() as CK_ULONG,
        pPublicData: point.as_ptr().cast_mut(),
    }
}

/// An attribute that is bytes. The module only reads them.
pub(crate) fn bytes(kind: CK_ATTRIBUTE_TYPE, value: &[u8]) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE {
        type_: kind,
        pValue: value.as_ptr().cast_mut().cast(),
        ulValueLen: value.len() as CK_ULONG,
    }
}

/// An attribute that is a number.
pub(crate) fn number(kind: CK_ATTRIBUTE_TYPE, value: &mut CK_ULONG) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE {
        type_: kind,
        pValue: (&raw mut *value).cast(),
        ulValueLen: size_of::<CK_ULONG>() as CK_ULONG,
    }
}

/// An attribute that is a number, which is there until the process ends.
pub(crate) fn constant(kind: CK_ATTRIBUTE_TYPE, value: CK_ULONG) -> CK_ATTRIBUTE {
    number(kind, Box::leak(Box::new(value)))
}

/// An attribute that is a flag.
pub(crate) fn flag(kind: CK_ATTRIBUTE_TYPE, value: bool) -> CK_ATTRIBUTE {
    static FLAGS: [CK_BBOOL; 2] = [CK_FALSE, CK_TRUE];
    bytes(kind, &FLAGS[usize::from(value)..][..1])
}
