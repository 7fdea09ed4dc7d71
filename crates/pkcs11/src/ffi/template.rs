//! Attribute templates of the caller: read whole, or filled in.

use std::ptr::NonNull;

use cryptoki_sys::*;

use super::pointer::{count, input};
use crate::{
    error::{Error, Result},
    object::template::{Asked, Attribute, Found, Template},
};

/// The most attributes of a template. The standard defines some 150.
const MAX_ATTRIBUTES: usize = 1 << 10;
/// The longest value that is read, in bytes. All values that can be kept are shorter.
const MAX_VALUE: CK_ULONG = 1 << 20;

/// The attributes of a template, copied.
///
/// # Errors
///
/// [`Error::ArgumentsBad`] for null with a count, a count above the limit, or an attribute
/// that is null with a length; [`Error::AttributeValueInvalid`] for a value above the limit.
///
/// # Safety
///
/// `template` is null or good to read for `len` attributes, whose values are null or good to
/// read for their lengths.
pub(super) unsafe fn read(template: *const CK_ATTRIBUTE, len: CK_ULONG) -> Result<Template> {
    let len = checked_count(template, len)?;
    let mut attributes = Vec::with_capacity(len.min(64));
    for i in 0..len {
        // SAFETY: `i` is less than `len`.
        let attribute = unsafe { template.add(i) };
        // SAFETY: the caller vouches for it; alignment is not assumed.
        let attribute = unsafe { attribute.read_unaligned() };
        if attribute.ulValueLen > MAX_VALUE && !attribute.pValue.is_null() {
            return Err(Error::AttributeValueInvalid);
        }
        // SAFETY: the caller vouches for it.
        let value = unsafe { input(attribute.pValue.cast(), attribute.ulValueLen) }?;
        attributes.push(Attribute {
            kind: attribute.type_,
            value: value.to_vec(),
        });
    }
    Ok(Template::new(attributes))
}

/// A template to be filled in.
pub(super) struct Blank {
    template: NonNull<CK_ATTRIBUTE>,
    asked: Vec<Asked>,
}

impl Blank {
    /// # Errors
    ///
    /// [`Error::ArgumentsBad`] for null or a count above the limit.
    ///
    /// # Safety
    ///
    /// `template` is null or good to read and write for `len` attributes, whose values are
    /// null or good to write for their lengths, as long as the result lives.
    pub(super) unsafe fn new(template: *mut CK_ATTRIBUTE, len: CK_ULONG) -> Result<Self> {
        let len = checked_count(template, len)?;
        let mut asked = Vec::with_capacity(len.min(64));
        for i in 0..len {
            // SAFETY: `i` is less than `len`.
            let attribute = unsafe { template.add(i) };
            // SAFETY: the caller vouches for it; alignment is not assumed.
            let attribute = unsafe { attribute.read_unaligned() };
            asked.push(Asked {
                kind: attribute.type_,
                room: (!attribute.pValue.is_null())
                    .then(|| usize::try_from(attribute.ulValueLen).unwrap_or(usize::MAX)),
            });
        }
        // A template without attributes may be null, and is never read.
        let template = NonNull::new(template).unwrap_or(NonNull::dangling());
        Ok(Self { template, asked })
    }

    /// The attributes that are asked for.
    pub(super) fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// Writes the answers, one for each attribute that was asked for.
    pub(super) fn fill(&self, found: &[Found]) {
        for (i, (asked, found)) in self.asked.iter().zip(found).enumerate() {
            // SAFETY: `i` is less than the count that the caller of `new` vouched for.
            let target = unsafe { self.template.as_ptr().add(i) };
            // SAFETY: as above; alignment is not assumed.
            let mut attribute = unsafe { target.read_unaligned() };
            attribute.ulValueLen = match found {
                Found::Value(value) if asked.room.is_some_and(|room| room >= value.len()) => {
                    let to = attribute.pValue.cast::<u8>();
                    // SAFETY: not null, and it fits into what the caller vouched for.
                    unsafe { value.as_ptr().copy_to(to, value.len()) };
                    value.len() as CK_ULONG
                }
                Found::Length(len) => *len as CK_ULONG,
                Found::Value(_) | Found::Nothing => CK_UNAVAILABLE_INFORMATION,
            };
            // SAFETY: as above; alignment is not assumed.
            unsafe { target.write_unaligned(attribute) };
        }
    }
}

fn checked_count(template: *const CK_ATTRIBUTE, len: CK_ULONG) -> Result<usize> {
    let len = count::<CK_ATTRIBUTE>(len)?;
    if len > MAX_ATTRIBUTES || (len > 0 && template.is_null()) {
        return Err(Error::ArgumentsBad);
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use testing::assert_matches;

    use super::*;

    fn attribute(kind: CK_ATTRIBUTE_TYPE, value: &mut [u8]) -> CK_ATTRIBUTE {
        CK_ATTRIBUTE {
            type_: kind,
            pValue: value.as_mut_ptr().cast(),
            ulValueLen: value.len() as CK_ULONG,
        }
    }

    fn refusal(template: *const CK_ATTRIBUTE, len: CK_ULONG) -> Error {
        // SAFETY: the tests below pass templates that are refused before they are read.
        unsafe { read(template, len) }.expect_err("a malformed template was read")
    }

    #[test]
    fn a_template_is_copied() {
        let mut class = CKO_DATA.to_ne_bytes();
        let mut template = [attribute(CKA_CLASS, &mut class)];
        // SAFETY: one attribute with its value.
        let read = unsafe { read(template.as_mut_ptr(), 1) }.unwrap();
        assert_eq!(read.ulong(CKA_CLASS).unwrap(), Some(CKO_DATA));
    }

    #[test]
    fn counts_and_pointers_that_cannot_be_are_refused() {
        assert_matches!(refusal(ptr::null(), 1), Error::ArgumentsBad);
        assert_matches!(refusal(ptr::null(), 1 << 40), Error::ArgumentsBad);
        let one = CK_ATTRIBUTE {
            type_: CKA_ID,
            pValue: ptr::null_mut(),
            ulValueLen: 8,
        };
        assert_matches!(refusal(&raw const one, 1), Error::ArgumentsBad);
        assert_matches!(refusal(&raw const one, 1 << 40), Error::ArgumentsBad);
        assert_matches!(refusal(&raw const one, CK_ULONG::MAX), Error::ArgumentsBad);
        assert_matches!(
            refusal(&raw const one, CK_ULONG::MAX / 24 + 2),
            Error::ArgumentsBad
        );
        let mut byte = [0];
        let long = CK_ATTRIBUTE {
            ulValueLen: 1 << 40,
            ..attribute(CKA_ID, &mut byte)
        };
        assert_matches!(refusal(&raw const long, 1), Error::AttributeValueInvalid);
    }

    #[test]
    fn a_misaligned_template_is_read() {
        let mut memory = [0_u8; size_of::<CK_ATTRIBUTE>() + 1];
        let mut value = *b"label";
        let attribute = attribute(CKA_LABEL, &mut value);
        let place = memory.as_mut_ptr().wrapping_add(1).cast::<CK_ATTRIBUTE>();
        // SAFETY: there is room for it from byte 1 on.
        unsafe { place.write_unaligned(attribute) };
        // SAFETY: it was written just now.
        let read = unsafe { read(place, 1) }.unwrap();
        assert_eq!(read.bytes(CKA_LABEL), Some(&b"label"[..]));
    }

    #[test]
    fn a_blank_is_filled_in_place() {
        let mut label = [0xaa; 8];
        let mut template = [
            attribute(CKA_LABEL, &mut label),
            CK_ATTRIBUTE {
                type_: CKA_ID,
                pValue: ptr::null_mut(),
                ulValueLen: 0,
            },
            attribute(CKA_VALUE, &mut []),
        ];
        // SAFETY: three attributes with their values.
        let blank = unsafe { Blank::new(template.as_mut_ptr(), 3) }.unwrap();
        let rooms: Vec<_> = blank.asked().iter().map(|asked| asked.room).collect();
        assert_eq!(rooms, [Some(8), None, Some(0)]);
        blank.fill(&[
            Found::Value(b"label".to_vec()),
            Found::Length(20),
            Found::Nothing,
        ]);
        let lengths = template.map(|attribute| attribute.ulValueLen);
        assert_eq!(lengths, [5, 20, CK_UNAVAILABLE_INFORMATION]);
        assert_eq!(&label, b"label\xaa\xaa\xaa");
    }
}
