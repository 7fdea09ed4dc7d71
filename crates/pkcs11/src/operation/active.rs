//! How an operation begins, goes on and ends, whatever it does.

use crate::{
    answer::Room,
    error::{Error, Result},
};

/// The place of one kind of operation in a session. It holds one operation at a time.
///
/// An operation takes its input in one call (`C_Sign`) or in parts (`C_SignUpdate`), which are
/// not mixed. It ends with its result or with an error. Two things leave it active: a question
/// for the length of the result, and a buffer that is too small.
///
/// # Source
///
/// PKCS#11 3.0, section 5.2 "Conventions for functions returning output in a variable-length
/// buffer".
pub(crate) struct Active<T>(Option<Running<T>>);

struct Running<T> {
    operation: T,
    /// Whether a part of the input has come.
    in_parts: bool,
}

/// What a call comes to that asks for a result.
pub(crate) enum Next<T> {
    /// The length of the result; the operation is still active.
    Length(usize),
    /// The operation, which is over: it is for the caller to finish.
    Finish(T),
}

impl<T> Active<T> {
    /// A place without an operation.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Refuses to begin where an operation is active, before anything else is looked at.
    ///
    /// # Errors
    ///
    /// [`Error::OperationActive`].
    pub(crate) fn check_free(&self) -> Result<()> {
        match self.0 {
            Some(_) => Err(Error::OperationActive),
            None => Ok(()),
        }
    }

    /// Begins an operation.
    ///
    /// # Errors
    ///
    /// [`Error::OperationActive`].
    pub(crate) fn begin(&mut self, operation: T) -> Result<()> {
        self.check_free()?;
        self.0 = Some(Running {
            operation,
            in_parts: false,
        });
        Ok(())
    }

    /// The active operation.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut().map(|running| &mut running.operation)
    }

    /// Adds a part of the input. An error of `add` ends the operation.
    ///
    /// # Errors
    ///
    /// [`Error::OperationNotInitialized`], and those of `add`.
    pub(crate) fn part(&mut self, add: impl FnOnce(&mut T) -> Result<()>) -> Result<()> {
        let running = self.0.as_mut().ok_or(Error::OperationNotInitialized)?;
        running.in_parts = true;
        let added = add(&mut running.operation);
        if added.is_err() {
            self.cancel();
        }
        added
    }

    /// The call that has the whole input, with room for a result of `size`.
    ///
    /// # Errors
    ///
    /// As [`Active::take_whole`]; [`Error::BufferTooSmall`], which leaves the operation active.
    pub(crate) fn whole(&mut self, room: Room, size: impl FnOnce(&T) -> usize) -> Result<Next<T>> {
        self.check_whole()?;
        self.last(room, size)
    }

    /// The call that asks for the result of the parts, with room for a result of `size`.
    ///
    /// # Errors
    ///
    /// [`Error::OperationNotInitialized`]; [`Error::BufferTooSmall`], which leaves the operation
    /// active.
    pub(crate) fn last(&mut self, room: Room, size: impl FnOnce(&T) -> usize) -> Result<Next<T>> {
        let size = size(self.get_mut().ok_or(Error::OperationNotInitialized)?);
        if room.admits(size)? {
            self.take().map(Next::Finish)
        } else {
            Ok(Next::Length(size))
        }
    }

    /// Ends the operation for a call that has the whole input and wants no output.
    ///
    /// # Errors
    ///
    /// [`Error::OperationNotInitialized`]; [`Error::OperationActive`] where a part has come
    /// before.
    pub(crate) fn take_whole(&mut self) -> Result<T> {
        self.check_whole()?;
        self.take()
    }

    /// Ends the operation, for a call that finishes it.
    ///
    /// # Errors
    ///
    /// [`Error::OperationNotInitialized`].
    pub(crate) fn take(&mut self) -> Result<T> {
        let running = self.0.take().ok_or(Error::OperationNotInitialized)?;
        Ok(running.operation)
    }

    /// Ends the operation without a result, if there is one.
    pub(crate) fn cancel(&mut self) {
        self.0 = None;
    }

    fn check_whole(&self) -> Result<()> {
        match &self.0 {
            None => Err(Error::OperationNotInitialized),
            Some(running) if running.in_parts => Err(Error::OperationActive),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operation whose input is the letters so far.
    fn begun() -> Active<String> {
        let mut active = Active::none();
        active.begin(String::from("a")).expect("nothing is active");
        active
    }

    fn length(next: Result<Next<String>>) -> Option<usize> {
        match next {
            Ok(Next::Length(length)) => Some(length),
            _ => None,
        }
    }

    #[test]
    fn nothing_goes_on_that_has_not_begun() {
        let mut none = Active::<String>::none();
        assert!(matches!(
            none.part(|_| Ok(())),
            Err(Error::OperationNotInitialized)
        ));
        assert!(matches!(
            none.whole(Room::Query, String::len),
            Err(Error::OperationNotInitialized)
        ));
        assert!(matches!(none.take(), Err(Error::OperationNotInitialized)));
    }

    #[test]
    fn a_second_one_does_not_begin_and_the_first_goes_on() {
        let mut active = begun();
        let second = active.begin(String::from("b"));
        assert!(matches!(second, Err(Error::OperationActive)));
        assert_eq!(active.take().expect("it goes on"), "a");
    }

    #[test]
    fn a_length_and_a_buffer_too_small_leave_it_active_and_a_result_ends_it() {
        let mut active = begun();
        assert_eq!(length(active.whole(Room::Query, String::len)), Some(1));
        assert!(matches!(
            active.whole(Room::Elements(0), String::len),
            Err(Error::BufferTooSmall(1))
        ));
        assert!(matches!(
            active.whole(Room::Elements(1), String::len),
            Ok(Next::Finish(operation)) if operation == "a"
        ));
        active.check_free().expect("it is over");
    }

    #[test]
    fn parts_and_the_whole_are_not_mixed() {
        let mut active = begun();
        let add = |operation: &mut String| {
            operation.push('b');
            Ok(())
        };
        active.part(add).expect("it is active");
        assert!(matches!(
            active.whole(Room::Query, String::len),
            Err(Error::OperationActive)
        ));
        assert!(matches!(active.take_whole(), Err(Error::OperationActive)));
        assert!(matches!(
            active.last(Room::Elements(2), String::len),
            Ok(Next::Finish(operation)) if operation == "ab"
        ));
    }

    #[test]
    fn an_error_ends_it() {
        let mut active = begun();
        let refused = active.part(|_| Err(Error::DataLenRange));
        assert!(matches!(refused, Err(Error::DataLenRange)));
        active.check_free().expect("it is over");
    }
}
