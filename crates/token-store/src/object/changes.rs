//! Changes to an object that is there.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Attributes, MAX_ID_LEN, MAX_VALUE_LEN, ObjectId, check_label, check_len};
use crate::{Error, Result, Store};

/// New values for the fields of an object. A field that is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectChange {
    /// `CKA_LABEL`.
    pub label: Option<String>,
    /// `CKA_ID`.
    pub cka_id: Option<Vec<u8>>,
    /// `CKA_SUBJECT` of a key or certificate.
    pub subject: Option<Vec<u8>>,
    /// The value of data.
    pub value: Option<Vec<u8>>,
    /// Attributes that get these values. The others keep what another program may just have set.
    pub attributes: Attributes,
}

impl ObjectChange {
    /// Another label.
    pub fn label(label: impl Into<String>) -> Self {
        Self {
            label: Some(label.into()),
            ..Self::default()
        }
    }

    fn check(&self) -> Result<()> {
        if let Some(label) = &self.label {
            check_label(label)?;
        }
        for (what, bytes, max) in [
            ("id", &self.cka_id, MAX_ID_LEN),
            ("subject", &self.subject, MAX_VALUE_LEN),
            ("value", &self.value, MAX_VALUE_LEN),
        ] {
            check_len(what, bytes.as_deref().unwrap_or_default(), max)?;
        }
        Ok(())
    }
}

impl Store {
    /// Changes one object: all that `change` says, or nothing.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`], [`Error::Invalid`], those of the store; [`Error::NoSuchObject`] also for
    /// the subject of data, and for the value of anything else.
    pub fn change_object(&mut self, id: ObjectId, change: &ObjectChange) -> Result<()> {
        change.check()?;
        self.write(|tx| {
            let sql = "UPDATE object SET label = coalesce(?1, label), \
                       cka_id = coalesce(?2, cka_id), subject = coalesce(?3, subject), \
                       value = coalesce(?4, value) WHERE id = ?5 \
                       AND (?3 IS NULL OR class <> 'data') AND (?4 IS NULL OR class = 'data')";
            let changed = tx.execute(
                sql,
                params![
                    change.label,
                    change.cka_id,
                    change.subject,
                    change.value,
                    id.0
                ],
            )?;
            one_row(changed)?;
            set_attributes(tx, id, MAX_VALUE_LEN, |attributes| {
                for (kind, value) in change.attributes.iter() {
                    attributes.set(kind, value);
                }
            })
        })
    }
}

/// Changes the attributes of an object that are kept as they are, and writes them if they differ.
///
/// # Errors
///
/// [`Error::NoSuchObject`]; [`Error::TooLong`] if they are longer than `max` bytes together; those of the store.
pub(super) fn set_attributes(
    tx: &Transaction<'_>,
    id: ObjectId,
    max: usize,
    change: impl FnOnce(&mut Attributes),
) -> Result<()> {
    let sql = "SELECT attributes FROM object WHERE id = ?";
    let stored: Option<Vec<u8>> = tx.query_row(sql, [id.0], |row| row.get(0)).optional()?;
    let before = Attributes::decode(&stored.ok_or(Error::NoSuchObject)?)
        .ok_or_else(|| Error::corrupt("an object has attributes that cannot be read"))?;
    let mut after = before.clone();
    change(&mut after);
    if after != before {
        let sql = "UPDATE object SET attributes = ? WHERE id = ?";
        tx.execute(sql, params![after.encode_within(max)?, id.0])?;
    }
    Ok(())
}

/// Checks that a statement changed the one row that it names.
pub(super) fn one_row(changed: usize) -> Result<()> {
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::NoSuchObject)
    }
}
