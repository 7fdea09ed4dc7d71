//! The parts of a command or response, and their wire form.

/// A named part of a [`Message`](super::Message).
///
/// Lengths are not parts. They are computed when the message is encoded, so that a changed message
/// is well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub(super) name: String,
    pub(super) content: Content,
}

/// The content of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A number, a handle or an algorithm: 1, 2, 4 or 8 bytes, big-endian.
    Number(Vec<u8>),
    /// A set of flags: 1 or 4 bytes, big-endian.
    Flags(Vec<u8>),
    /// Bytes without a length of their own.
    Raw(Vec<u8>),
    /// A `TPM2B_*` of bytes: a length of 16 bits goes before them.
    Buffer(Vec<u8>),
    /// A `TPM2B_*` that holds a structure.
    Sized(Vec<Field>),
    /// A structure.
    Structure(Vec<Field>),
    /// A `TPML_*`: a count of 32 bits goes before the elements.
    List(Vec<Field>),
}

impl Field {
    pub(super) fn new(name: impl Into<String>, content: Content) -> Self {
        Self {
            name: name.into(),
            content,
        }
    }

    /// Its name in the specification, e.g. `outPublic`. The elements of a list are named `1`, `2`
    /// and so on.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value: a number in its wire form, the bytes of a buffer without their length, or all
    /// parts of a structure, with the lengths inside.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        let mut value = Vec::new();
        match &self.content {
            Content::Number(bytes)
            | Content::Flags(bytes)
            | Content::Raw(bytes)
            | Content::Buffer(bytes) => value.extend_from_slice(bytes),
            Content::Sized(parts) | Content::Structure(parts) | Content::List(parts) => {
                parts.iter().for_each(|part| part.write(&mut value));
            }
        }
        value
    }

    /// The value as a number.
    ///
    /// # Panics
    ///
    /// If it is longer than 8 bytes.
    #[must_use]
    pub fn number(&self) -> u64 {
        let value = self.value();
        assert!(value.len() <= 8, "{} is not a number", self.name);
        value
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Sets its value, in the form of [`Field::value`]. The lengths around it are adjusted.
    ///
    /// # Panics
    ///
    /// If `value` has a wrong length for a number or a set of flags, or is longer than a buffer can
    /// be (65,535 bytes), or the field is a list.
    pub fn set(&mut self, value: &[u8]) {
        match &mut self.content {
            Content::Number(bytes) | Content::Flags(bytes) => {
                assert_eq!(bytes.len(), value.len(), "the length of {}", self.name);
                value.clone_into(bytes);
            }
            Content::Raw(bytes) | Content::Buffer(bytes) => value.clone_into(bytes),
            Content::Sized(_) => self.content = Content::Buffer(value.to_vec()),
            Content::Structure(_) => self.content = Content::Raw(value.to_vec()),
            Content::List(_) => panic!("{} is a list: set its elements", self.name),
        }
        assert!(value.len() <= 0xffff, "{} is too long", self.name);
    }

    /// The parts of a structure or list; none for a number or bytes.
    #[must_use]
    pub fn parts(&self) -> &[Self] {
        match &self.content {
            Content::Sized(parts) | Content::Structure(parts) | Content::List(parts) => parts,
            _ => &[],
        }
    }

    fn parts_mut(&mut self) -> &mut [Self] {
        match &mut self.content {
            Content::Sized(parts) | Content::Structure(parts) | Content::List(parts) => parts,
            _ => &mut [],
        }
    }

    /// Appends the wire form.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let value = self.value();
        match &self.content {
            Content::Buffer(_) | Content::Sized(_) => {
                let length = u16::try_from(value.len()).expect("a buffer below 64 KiB");
                out.extend(length.to_be_bytes());
            }
            Content::List(parts) => {
                let count = u32::try_from(parts.len()).expect("a short list");
                out.extend(count.to_be_bytes());
            }
            Content::Number(_) | Content::Flags(_) | Content::Raw(_) | Content::Structure(_) => {}
        }
        out.extend(value);
    }

    /// The field at `path` below `fields`: names with dots between them.
    pub(super) fn find<'a>(fields: &'a [Self], path: &str) -> Option<&'a Self> {
        let (name, rest) = split(path);
        let field = fields.iter().find(|field| field.name == name)?;
        rest.map_or(Some(field), |rest| Self::find(field.parts(), rest))
    }

    /// The same, mutable.
    pub(super) fn find_mut<'a>(fields: &'a mut [Self], path: &str) -> Option<&'a mut Self> {
        let (name, rest) = split(path);
        let field = fields.iter_mut().find(|field| field.name == name)?;
        match rest {
            Some(rest) => Self::find_mut(field.parts_mut(), rest),
            None => Some(field),
        }
    }

    /// Appends the paths of all fields below `fields`, each structure before its parts.
    pub(super) fn paths(fields: &[Self], above: &str, out: &mut Vec<String>) {
        for field in fields {
            let path = format!("{above}{}", field.name);
            out.push(path.clone());
            Self::paths(field.parts(), &format!("{path}."), out);
        }
    }
}

fn split(path: &str) -> (&str, Option<&str>) {
    match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    }
}
