//! Reading fields from the start of a byte slice.

use super::field::{Content, Field};

/// The type of a field.
#[derive(Clone, Copy)]
pub(super) enum Type {
    U8,
    U16,
    U32,
    U64,
    /// Flags in 32 bits.
    Flags,
    /// A `TPM2B_*` of bytes.
    Buffer,
    /// A `TPM2B_*` that holds these parts.
    Sized(&'static [Part]),
    /// A `TPM2B_*` that holds a structure as in `Union`.
    SizedUnion(Read),
    /// A list with elements of this type.
    List(&'static Type),
    /// A structure of these parts.
    Structure(&'static [Part]),
    /// A structure whose parts depend on its contents.
    Union(Read),
}

/// Reads the parts of a structure.
pub(super) type Read = fn(&mut Reader<'_>) -> Option<Vec<Field>>;

/// A name and a type.
pub(super) type Part = (&'static str, Type);

/// The unread bytes. Each method returns `None` if there are too few.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn number(&mut self, name: &str, bytes: usize) -> Option<Field> {
        let bytes = self.take(bytes)?.to_vec();
        Some(Field::new(name, Content::Number(bytes)))
    }

    pub(super) fn flags(&mut self, name: &str, bytes: usize) -> Option<Field> {
        let bytes = self.take(bytes)?.to_vec();
        Some(Field::new(name, Content::Flags(bytes)))
    }

    pub(super) fn buffer(&mut self, name: &str) -> Option<Field> {
        let length = usize::try_from(self.value(2)?).ok()?;
        let bytes = self.take(length)?.to_vec();
        Some(Field::new(name, Content::Buffer(bytes)))
    }

    /// The number in the next bytes.
    pub(super) fn value(&mut self, bytes: usize) -> Option<u64> {
        let bytes = self.take(bytes)?;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    }

    /// The parts, one after the other.
    pub(super) fn parts(&mut self, parts: &[Part]) -> Option<Vec<Field>> {
        parts
            .iter()
            .map(|(name, kind)| self.field(name, *kind))
            .collect()
    }

    pub(super) fn field(&mut self, name: &str, kind: Type) -> Option<Field> {
        let content = match kind {
            Type::U8 => return self.number(name, 1),
            Type::U16 => return self.number(name, 2),
            Type::U32 => return self.number(name, 4),
            Type::U64 => return self.number(name, 8),
            Type::Flags => return self.flags(name, 4),
            Type::Buffer => return self.buffer(name),
            Type::Sized(parts) => return self.sized(name, |inner| inner.parts(parts)),
            Type::SizedUnion(read) => return self.sized(name, read),
            Type::List(kind) => {
                let count = self.value(4)?;
                let elements = (1..=count)
                    .map(|number| self.field(&number.to_string(), *kind))
                    .collect::<Option<_>>()?;
                Content::List(elements)
            }
            Type::Structure(parts) => Content::Structure(self.parts(parts)?),
            Type::Union(read) => Content::Structure(read(self)?),
        };
        Some(Field::new(name, content))
    }

    /// A buffer that holds a structure. If its contents are not that structure, such as in an empty
    /// one, it stays a buffer.
    fn sized(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Reader<'_>) -> Option<Vec<Field>>,
    ) -> Option<Field> {
        let buffer = self.buffer(name)?;
        let value = buffer.value();
        let mut inner = Reader(&value);
        Some(match read(&mut inner) {
            Some(parts) if inner.0.is_empty() => Field::new(name, Content::Sized(parts)),
            _ => buffer,
        })
    }
}
