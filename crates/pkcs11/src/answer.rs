//! The two-call rule: a caller asks for the length, allocates a buffer, and asks again.

use crate::error::{Error, Result};

/// The room that the caller has for an answer, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// None: only the length is asked for.
    Query,
    /// A buffer for so many.
    Elements(usize),
}

/// What is given back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    /// So many would be given back.
    Length(usize),
    /// The elements.
    Data(Vec<T>),
}

impl Room {
    /// Whether `needed` elements are to be made now (`true`), or just their number is asked
    /// for (`false`).
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooSmall`], which tells the caller how many are needed.
    pub(crate) fn admits(self, needed: usize) -> Result<bool> {
        match self {
            Self::Query => Ok(false),
            Self::Elements(room) if room < needed => Err(Error::BufferTooSmall(needed)),
            Self::Elements(_) => Ok(true),
        }
    }

    /// The answer if `data` is at hand already.
    pub(crate) fn give<T>(self, data: Vec<T>) -> Result<Answer<T>> {
        if self.admits(data.len())? {
            Ok(Answer::Data(data))
        } else {
            Ok(Answer::Length(data.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use testing::assert_matches;

    use super::*;

    #[test]
    fn a_query_gets_the_length_and_a_small_buffer_a_refusal() {
        assert_eq!(Room::Query.give(vec![1, 2, 3]).unwrap(), Answer::Length(3));
        assert_eq!(
            Room::Elements(3).give(vec![1, 2, 3]).unwrap(),
            Answer::Data(vec![1, 2, 3])
        );
        let refused = Room::Elements(2).give(vec![1, 2, 3]);
        assert_matches!(refused, Err(Error::BufferTooSmall(3)));
    }
}
