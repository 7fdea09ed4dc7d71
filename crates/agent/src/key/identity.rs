//! A key that the agent can use, and how thousands of them are held.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use ssh_format::{Fingerprint, text};
use token_store::{Error, Key, Object, ObjectId, Token};
use tpm_core::Origin;

use crate::key::certificate::Offered;

/// A key that the agent can use. There may be thousands, so it holds what a list shows, and the
/// rest only once it is used.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The private key in the store.
    pub(crate) id: ObjectId,
    /// Whether it is the key of a certificate authority.
    pub(crate) is_authority: bool,
    always_authenticate: bool,
    origin: Origin,
    /// Its part of [`Texts::blobs`].
    blob: Part,
    /// Its part of [`Texts::labels`].
    label: Part,
    texts: Arc<Texts>,
    key: OnceLock<Arc<Key>>,
    /// The certificates that the store keeps for it.
    pub(crate) certificates: Box<[Offered]>,
    /// The token that it belongs to.
    pub(crate) token: Arc<Token>,
}

/// The blobs and the labels of all keys. In allocations of their own they would take some 100 bytes
/// a key more.
#[derive(Debug, Default)]
struct Texts {
    blobs: Vec<u8>,
    labels: String,
}

/// A part of a text: from where on, and how long, in bytes.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: u32,
    len: u32,
}

impl Part {
    /// The last `len` bytes of a text of `end` bytes; `None` beyond 4 GiB.
    fn last(len: usize, end: usize) -> Option<Self> {
        Some(Self {
            start: u32::try_from(end - len).ok()?,
            len: u32::try_from(len).ok()?,
        })
    }

    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

/// Keys that are being read.
#[derive(Default)]
pub(super) struct Identities {
    list: Vec<Identity>,
    texts: Texts,
    /// What the keys hold until all texts are read.
    none: Arc<Texts>,
}

impl Identities {
    /// Adds a private key of `token` with the certificates that were `kept` for it. A key that SSH
    /// cannot use is left out.
    pub(super) fn add(
        &mut self,
        object: &Object,
        token: &Arc<Token>,
        kept: &[Vec<u8>],
        authorities: &[ObjectId],
    ) {
        self.list.extend(
            self.texts
                .identity(object, token, kept, authorities, &self.none),
        );
    }

    /// All keys that were added.
    pub(super) fn finish(mut self) -> Vec<Identity> {
        self.texts.blobs.shrink_to_fit();
        self.texts.labels.shrink_to_fit();
        let texts = Arc::new(self.texts);
        for identity in &mut self.list {
            identity.texts = Arc::clone(&texts);
        }
        self.list.shrink_to_fit();
        self.list
    }
}

impl Texts {
    /// The key, with its texts added to these; `None` if SSH has no such keys.
    fn identity(
        &mut self,
        object: &Object,
        token: &Arc<Token>,
        kept: &[Vec<u8>],
        authorities: &[ObjectId],
        none: &Arc<Self>,
    ) -> Option<Identity> {
        // SSH cannot use a key that only decrypts.
        let key = object.key().filter(|key| ssh_keys::can_sign(key))?;
        let public = ssh_keys::public_key(key.public()).ok()?;
        let offered = |certificate: &Vec<u8>| Offered::new(certificate, public.blob());
        self.blobs.extend_from_slice(public.blob());
        self.labels.push_str(&object.label);
        Some(Identity {
            id: object.id,
            is_authority: authorities.contains(&object.id),
            always_authenticate: key.always_authenticate(),
            origin: key.origin(),
            blob: Part::last(public.blob().len(), self.blobs.len())?,
            label: Part::last(object.label.len(), self.labels.len())?,
            texts: Arc::clone(none),
            key: OnceLock::new(),
            certificates: kept.iter().filter_map(offered).collect(),
            token: token.clone(),
        })
    }
}

impl Identity {
    /// The blob by which clients name it.
    #[must_use]
    pub(crate) fn blob(&self) -> &[u8] {
        &self.texts.blobs[self.blob.range()]
    }

    /// Its label, which anybody may have chosen: see [`text`].
    #[must_use]
    pub(crate) fn label(&self) -> &str {
        &self.texts.labels[self.label.range()]
    }

    /// Its label as clients list it, with a word for a key that was made outside of the TPM.
    #[must_use]
    pub(crate) fn comment(&self) -> Cow<'_, str> {
        let label = text::one_line(self.label());
        match self.imported() {
            "" => label,
            imported => label + imported,
        }
    }

    /// Its label for a question to a person, between quotation marks.
    #[must_use]
    pub(crate) fn quoted(&self) -> String {
        format!("{}{}", text::quoted(self.label()), self.imported())
    }

    /// The text that follows its label.
    fn imported(&self) -> &'static str {
        match self.origin {
            Origin::Chip => "",
            Origin::Outside => " (imported)",
        }
    }

    /// Where it was made.
    #[must_use]
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// The fingerprint, by which people compare it.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_blob(self.blob())
    }

    /// Whether each use is to ask for the PIN again.
    #[must_use]
    pub(crate) fn always_authenticate(&self) -> bool {
        self.always_authenticate
    }

    /// The key in the chip, once [`Identity::keep_key`] has got it from the store.
    #[must_use]
    pub(crate) fn key(&self) -> Option<&Key> {
        self.key.get().map(Arc::as_ref)
    }

    /// Keeps the key in the chip and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`] if `key` has another public key: the store was replaced, and its
    /// object ids name other keys now.
    pub(crate) fn keep_key(&self, key: Arc<Key>) -> Result<&Key, Error> {
        match ssh_keys::public_key(key.public()).ok() {
            Some(public) if public.blob() == self.blob() => Ok(self.key.get_or_init(|| key)),
            _ => Err(Error::NoSuchObject),
        }
    }
}
