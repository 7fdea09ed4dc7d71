//! The changes of a message, one field at a time.

use super::{
    field::{Content, Field},
    message::Message,
};

/// One change of one field. The changed message is well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    path: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The bit with this number is inverted, counted from the least significant one.
    Bit(usize),
    /// The top bit of the first byte is inverted.
    TopBit,
    /// All bytes become zero.
    Zero,
    /// All bits of a number become one.
    Max,
    /// A buffer becomes empty.
    Empty,
    /// An empty buffer gets 32 bytes.
    Fill,
    /// The last element of a list is gone.
    Shorten,
    /// The last element of a list stands there twice.
    Repeat,
}

impl Change {
    /// The path of the field that it changes.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Every change of every field of `message`, in the order of its bytes.
    ///
    /// Numbers: the lowest bit inverted, 0, the maximum. Flags: each bit inverted. Buffers and
    /// bytes: a bit inverted at either end; emptied, or if empty, filled. Lists: one element less,
    /// one more; in a long list, whose elements are all alike, only the first two and the last
    /// element are changed.
    #[must_use]
    pub fn all(message: &Message) -> Vec<Self> {
        let mut changes = Vec::new();
        let skipped = skipped(message);
        let is_skipped = |path: &str| {
            let below = |list: &String| path == list || path.starts_with(&format!("{list}."));
            skipped.iter().any(below)
        };
        for path in message.paths() {
            if is_skipped(&path) {
                continue;
            }
            let Some(field) = message.field(&path) else {
                continue;
            };
            for kind in kinds(field) {
                let path = path.clone();
                changes.push(Self { path, kind });
            }
        }
        changes
    }

    /// Makes the change. Returns `false` if `message` has no such field, or if the field already
    /// has the new value.
    #[must_use]
    pub fn apply(&self, message: &mut Message) -> bool {
        let before = message.clone();
        let Some(field) = message.field_mut(&self.path) else {
            return false;
        };
        change(&mut field.content, self.kind);
        *message != before
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = &self.path;
        match self.kind {
            Kind::Bit(bit) => write!(f, "{path}: bit {bit} inverted"),
            Kind::TopBit => write!(f, "{path}: top bit inverted"),
            Kind::Zero => write!(f, "{path} = 0"),
            Kind::Max => write!(f, "{path} = maximum"),
            Kind::Empty => write!(f, "{path} emptied"),
            Kind::Fill => write!(f, "{path} filled"),
            Kind::Shorten => write!(f, "{path}: last element removed"),
            Kind::Repeat => write!(f, "{path}: last element repeated"),
        }
    }
}

/// In lists of up to this many elements all are changed. A policy has no more branches.
const SHORT: usize = 8;

/// The paths of the elements of long lists that are not changed.
fn skipped(message: &Message) -> Vec<String> {
    let mut skipped = Vec::new();
    for path in message.paths() {
        if let Some(Content::List(elements)) = message.field(&path).map(|field| &field.content)
            && elements.len() > SHORT
        {
            let inner = &elements[2..elements.len() - 1];
            skipped.extend(
                inner
                    .iter()
                    .map(|element| format!("{path}.{}", element.name)),
            );
        }
    }
    skipped
}

fn kinds(field: &Field) -> Vec<Kind> {
    match &field.content {
        Content::Number(bytes) => {
            let candidates = [
                (Kind::Bit(0), None),
                (Kind::Zero, Some(0)),
                (Kind::Max, Some(0xff)),
            ];
            let differs =
                |value: Option<u8>| value.is_none_or(|value| bytes.iter().any(|b| *b != value));
            let kept = candidates.into_iter().filter(|(_, value)| differs(*value));
            kept.map(|(kind, _)| kind).collect()
        }
        Content::Flags(bytes) => (0..bytes.len() * 8).map(Kind::Bit).collect(),
        Content::Buffer(bytes) if bytes.is_empty() => vec![Kind::Fill],
        Content::Buffer(_) => vec![Kind::Bit(0), Kind::TopBit, Kind::Empty],
        Content::Raw(bytes) if bytes.is_empty() => Vec::new(),
        Content::Raw(_) => vec![Kind::Bit(0), Kind::TopBit],
        Content::List(elements) if elements.is_empty() => Vec::new(),
        Content::List(_) => vec![Kind::Shorten, Kind::Repeat],
        // Their parts are changed.
        Content::Sized(_) | Content::Structure(_) => Vec::new(),
    }
}

fn change(content: &mut Content, kind: Kind) {
    match content {
        Content::Number(bytes)
        | Content::Flags(bytes)
        | Content::Raw(bytes)
        | Content::Buffer(bytes) => change_bytes(bytes, kind),
        Content::List(elements) => match kind {
            Kind::Shorten => drop(elements.pop()),
            Kind::Repeat => elements.extend(elements.last().cloned()),
            _ => {}
        },
        Content::Sized(_) | Content::Structure(_) => {}
    }
}

fn change_bytes(bytes: &mut Vec<u8>, kind: Kind) {
    match kind {
        Kind::Bit(bit) => {
            let from_end = bit / 8 + 1;
            if let Some(index) = bytes.len().checked_sub(from_end) {
                bytes[index] ^= 1 << (bit % 8);
            }
        }
        Kind::TopBit => {
            if let Some(first) = bytes.first_mut() {
                *first ^= 0x80;
            }
        }
        Kind::Zero => bytes.fill(0),
        Kind::Max => bytes.fill(0xff),
        Kind::Empty => bytes.clear(),
        Kind::Fill => bytes.resize(32, 0xa5),
        Kind::Shorten | Kind::Repeat => {}
    }
}
