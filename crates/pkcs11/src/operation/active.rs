//! How an operation begins, goes on and ends, whatever it does.

use crate::{
    answer::Room,
    error::{Error, Result},
};

/// The place of one kind of operation in a session. It holds one operation at a time.
///
/// An operation takes its input in one call (`C_Sign`) or in parts (`C_SignUpdate`); the first
/// call after its beginning decides which, and a call of the other way ends it. It ends with its
/// result or with an error. Two things leave it active: a question for the length of the result,
/// and a buffer that is too small.
///
/// # Source
///
/// PKCS#11 3.0, section 5.2 "Conventions for functions returning output in a variable-length
/// buffer".
pub(crate) struct Active<T>(Option<Running<T>>);

struct Running<T> {
    operation: T,
    /// The way in which the input comes; `None` until the first call.
    way: Option<Way>,
}

/// How an operation takes its input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All of it in one call.
    Whole,
    /// In parts, with a call for the result at the end.
    Parts,
}

/// The outcome of a call that asks for a result.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// The length of the result; the operation is still active.
    Length(usize),
    /// The operation, which is no longer active. The caller finishes it.
    Finish(T),
}

impl<T> Active<T> {
    /// A place without an operation.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Refuses to begin while an operation is active. Callers check this before all else.
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
            way: None,
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
    /// [`Error::OperationNotInitialized`]; [`Error::OperationActive`] for an operation that
    /// takes its input in one call; those of `add`.
    pub(crate) fn part(&mut self, add: impl FnOnce(&mut T) -> Result<()>) -> Result<()> {
        let added = add(self.go(Way::Parts)?);
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
        let size = size(self.go(Way::Whole)?);
        self.finish(room, size)
    }

    /// The call that asks for the result of the parts, with room for a result of `size`.
    ///
    /// # Errors
    ///
    /// As [`Active::part`]; [`Error::BufferTooSmall`], which leaves the operation active.
    pub(crate) fn last(&mut self, room: Room, size: impl FnOnce(&T) -> usize) -> Result<Next<T>> {
        let size = size(self.go(Way::Parts)?);
        self.finish(room, size)
    }

    fn finish(&mut self, room: Room, size: usize) -> Result<Next<T>> {
        if room.admits(size)? {
            self.take().map(Next::Finish)
        } else {
            Ok(Next::Length(size))
        }
    }

    /// Ends the operation for a call that has the whole input and needs no output.
    ///
    /// # Errors
    ///
    /// [`Error::OperationNotInitialized`]; [`Error::OperationActive`] if a part has come
    /// before.
    pub(crate) fn take_whole(&mut self) -> Result<T> {
        self.go(Way::Whole)?;
        self.take()
    }

    /// Ends the operation for a call that asks for the result of the parts and needs no output.
    ///
    /// # Errors
    ///
    /// As [`Active::part`].
    pub(crate) fn take_last(&mut self) -> Result<T> {
        self.go(Way::Parts)?;
        self.take()
    }

    /// The operation, for a call that has the whole input and finishes it later.
    ///
    /// # Errors
    ///
    /// As [`Active::take_whole`].
    pub(crate) fn peek_whole(&mut self) -> Result<&mut T> {
        self.go(Way::Whole)
    }

    /// Ends the operation, for a call that finishes it.
    ///
    /// # Errors
    ///
    /// [`Error::OperationNotInitialized`].
    fn take(&mut self) -> Result<T> {
        let running = self.0.take().ok_or(Error::OperationNotInitialized)?;
        Ok(running.operation)
    }

    /// Ends the operation without a result, if there is one.
    pub(crate) fn cancel(&mut self) {
        self.0 = None;
    }

    /// The operation, for a call of this way. If it has begun in the other way, the call ends it.
    fn go(&mut self, way: Way) -> Result<&mut T> {
        if self
            .0
            .as_ref()
            .is_some_and(|running| running.way.is_some_and(|before| before != way))
        {
            self.cancel();
            return Err(Error::OperationActive);
        }
        let running = self.0.as_mut().ok_or(Error::OperationNotInitialized)?;
        running.way = Some(way);
        Ok(&mut running.operation)
    }
}

#[cfg(test)]
mod tests {
    use testing::assert_matches;

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
        assert_matches!(none.part(|_| Ok(())), Err(Error::OperationNotInitialized));
        assert_matches!(
            none.whole(Room::Query, String::len),
            Err(Error::OperationNotInitialized)
        );
        assert_matches!(none.take(), Err(Error::OperationNotInitialized));
    }

    #[test]
    fn a_second_one_does_not_begin_and_the_first_goes_on() {
        let mut active = begun();
        let second = active.begin(String::from("b"));
        assert_matches!(second, Err(Error::OperationActive));
        assert_eq!(active.take().expect("it goes on"), "a");
    }

    #[test]
    fn a_length_and_a_buffer_too_small_leave_it_active_and_a_result_ends_it() {
        let mut active = begun();
        assert_eq!(length(active.whole(Room::Query, String::len)), Some(1));
        assert_matches!(
            active.whole(Room::Elements(0), String::len),
            Err(Error::BufferTooSmall(1))
        );
        assert_matches!(active.whole(Room::Elements(1), String::len),
            Ok(Next::Finish(operation)) if operation == "a");
        active.check_free().expect("it is over");
    }

    #[test]
    fn parts_come_before_the_result() {
        let mut active = begun();
        active.part(add).expect("it is active");
        assert_eq!(length(active.last(Room::Query, String::len)), Some(2));
        assert_matches!(active.last(Room::Elements(2), String::len),
            Ok(Next::Finish(operation)) if operation == "ab");
    }

    fn add(operation: &mut String) -> Result<()> {
        operation.push('b');
        Ok(())
    }

    #[test]
    fn parts_and_the_whole_are_not_mixed_and_a_try_ends_the_operation() {
        type Call = fn(&mut Active<String>) -> Result<()>;
        let parts: [Call; 3] = [
            |active| active.part(add),
            |active| active.last(Room::Query, String::len).map(drop),
            |active| active.take_last().map(drop),
        ];
        let whole: [Call; 3] = [
            |active| active.whole(Room::Query, String::len).map(drop),
            |active| active.take_whole().map(drop),
            |active| active.peek_whole().map(drop),
        ];
        // Each call that leaves an operation active, and then each call of the other way.
        let mixed = [
            (parts[0], whole),
            (parts[1], whole),
            (whole[0], parts),
            (whole[2], parts),
        ];
        for (first, then) in mixed {
            for second in then {
                let mut active = begun();
                first(&mut active).expect("it is active");
                assert_matches!(second(&mut active), Err(Error::OperationActive));
                active.check_free().expect("it is over");
            }
        }
    }

    #[test]
    fn an_error_ends_it() {
        let mut active = begun();
        let refused = active.part(|_| Err(Error::DataLenRange));
        assert_matches!(refused, Err(Error::DataLenRange));
        active.check_free().expect("it is over");
    }
}
