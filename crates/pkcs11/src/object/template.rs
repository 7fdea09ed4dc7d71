//! Attributes that a caller asks for or sets.

use cryptoki_sys::*;

use crate::error::{Error, Result};

/// An attribute with its value, as the caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) kind: CK_ATTRIBUTE_TYPE,
    pub(crate) value: Vec<u8>,
}

/// An attribute whose value is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) kind: CK_ATTRIBUTE_TYPE,
    /// The number of bytes that fit; `None` if only the length is asked for.
    pub(crate) room: Option<usize>,
}

/// The answer to an [`Asked`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Value(Vec<u8>),
    Length(usize),
    /// The object has no such attribute, it is secret, or its value does not fit.
    Nothing,
}

/// The attributes that a caller sets or searches for.
#[derive(Debug, Default)]
pub(crate) struct Template(Vec<Attribute>);

impl Template {
    pub(crate) fn new(attributes: Vec<Attribute>) -> Self {
        Self(attributes)
    }

    pub(crate) fn attributes(&self) -> &[Attribute] {
        &self.0
    }

    /// The value of an attribute.
    pub(crate) fn bytes(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|attribute| attribute.kind == kind)
            .map(|attribute| attribute.value.as_slice())
    }

    /// The value of an attribute that is a `CK_ULONG`.
    ///
    /// # Errors
    ///
    /// [`Error::AttributeValueInvalid`] for a value of another length.
    pub(crate) fn ulong(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<CK_ULONG>> {
        self.bytes(kind)
            .map(|value| value.try_into().map(CK_ULONG::from_ne_bytes))
            .transpose()
            .map_err(|_| Error::AttributeValueInvalid)
    }

    /// The value of an attribute that is a list of `CK_ULONG`.
    ///
    /// # Errors
    ///
    /// [`Error::AttributeValueInvalid`] for a value of another length, and an empty list.
    pub(crate) fn numbers(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<Vec<CK_ULONG>>> {
        let Some(value) = self.bytes(kind) else {
            return Ok(None);
        };
        let numbers = numbers(value).filter(|numbers| !numbers.is_empty());
        numbers.map(Some).ok_or(Error::AttributeValueInvalid)
    }

    /// The value of an attribute that is a `CK_BBOOL`.
    ///
    /// # Errors
    ///
    /// [`Error::AttributeValueInvalid`] for a value of another length.
    pub(crate) fn bool(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<bool>> {
        match self.bytes(kind) {
            None => Ok(None),
            Some([byte]) => Ok(Some(*byte != CK_FALSE)),
            Some(_) => Err(Error::AttributeValueInvalid),
        }
    }

    /// The value of an attribute that is text.
    ///
    /// # Errors
    ///
    /// [`Error::AttributeValueInvalid`] if it is not UTF-8.
    pub(crate) fn text(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<&str>> {
        self.bytes(kind)
            .map(str::from_utf8)
            .transpose()
            .map_err(|_| Error::AttributeValueInvalid)
    }

    /// Refuses a template in which an attribute has two different values.
    ///
    /// # Errors
    ///
    /// [`Error::TemplateInconsistent`].
    pub(crate) fn check_unambiguous(&self) -> Result<()> {
        for attribute in &self.0 {
            if self.bytes(attribute.kind) != Some(&attribute.value) {
                return Err(Error::TemplateInconsistent);
            }
        }
        Ok(())
    }
}

/// A value as a list of `CK_ULONG`; `None` if it has another length.
pub(crate) fn numbers(value: &[u8]) -> Option<Vec<CK_ULONG>> {
    let numbers = value
        .chunks(size_of::<CK_ULONG>())
        .map(|number| number.try_into().map(CK_ULONG::from_ne_bytes));
    numbers.collect::<Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use testing::assert_matches;

    use super::*;

    fn template(attributes: &[(CK_ATTRIBUTE_TYPE, &[u8])]) -> Template {
        let attribute = |&(kind, value): &(_, &[u8])| Attribute {
            kind,
            value: value.to_vec(),
        };
        Template::new(attributes.iter().map(attribute).collect())
    }

    #[test]
    fn values_have_the_length_of_their_type() {
        let seven = template(&[(CKA_CLASS, &[0; 7]), (CKA_TOKEN, &[1, 0])]);
        assert_matches!(seven.ulong(CKA_CLASS), Err(Error::AttributeValueInvalid));
        assert_matches!(seven.bool(CKA_TOKEN), Err(Error::AttributeValueInvalid));
        let good = template(&[(CKA_CLASS, &3_u64.to_ne_bytes()), (CKA_TOKEN, &[1])]);
        assert_eq!(good.ulong(CKA_CLASS).unwrap(), Some(CKO_PRIVATE_KEY));
        assert_eq!(good.bool(CKA_TOKEN).unwrap(), Some(true));
        assert_eq!(good.bool(CKA_PRIVATE).unwrap(), None);
    }

    #[test]
    fn a_label_is_text() {
        let bad = template(&[(CKA_LABEL, b"\xff")]);
        assert_matches!(bad.text(CKA_LABEL), Err(Error::AttributeValueInvalid));
    }

    #[test]
    fn an_attribute_cannot_have_two_values() {
        let twice = template(&[(CKA_ID, b"1"), (CKA_ID, b"1")]);
        assert!(twice.check_unambiguous().is_ok());
        let both = template(&[(CKA_ID, b"1"), (CKA_ID, b"2")]);
        assert_matches!(both.check_unambiguous(), Err(Error::TemplateInconsistent));
    }
}
