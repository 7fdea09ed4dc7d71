//! Pointers of the caller, turned into values for safe code.

use std::{ptr::NonNull, slice};

use cryptoki_sys::*;

use crate::{
    answer::{Answer, Room},
    error::{Error, Result},
};

/// A length of the caller as a number of elements of `T`.
///
/// # Errors
///
/// [`Error::ArgumentsBad`] for more than an address space can hold.
pub(super) fn count<T>(len: CK_ULONG) -> Result<usize> {
    usize::try_from(len)
        .ok()
        .filter(|len| {
            len.checked_mul(size_of::<T>())
                .is_some_and(|bytes| isize::try_from(bytes).is_ok())
        })
        .ok_or(Error::ArgumentsBad)
}

/// `len` bytes of input.
///
/// # Errors
///
/// [`Error::ArgumentsBad`] for null with a length, or a range that leaves the address space.
///
/// # Safety
///
/// `data` is null or good to read for `len` bytes as long as the result lives.
pub(super) unsafe fn input<'a>(data: *const CK_BYTE, len: CK_ULONG) -> Result<&'a [u8]> {
    let len = count::<u8>(len)?;
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() || data.addr().checked_add(len).is_none() {
        return Err(Error::ArgumentsBad);
    }
    // SAFETY: not null, within the address space, and the caller vouches for the rest.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// A value of input behind a pointer.
///
/// # Errors
///
/// [`Error::ArgumentsBad`] for null.
///
/// # Safety
///
/// `source` is null or good to read for one `T`, of which any bytes are a valid value.
pub(super) unsafe fn value<T: Copy>(source: *const T) -> Result<T> {
    if source.is_null() {
        return Err(Error::ArgumentsBad);
    }
    // SAFETY: not null; the caller vouches for the rest; alignment is not assumed.
    Ok(unsafe { source.read_unaligned() })
}

/// A place for one value of output.
pub(super) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Errors
    ///
    /// [`Error::ArgumentsBad`] for null.
    ///
    /// # Safety
    ///
    /// `target` is null or good to write for one `T` as long as the result lives.
    pub(super) unsafe fn new(target: *mut T) -> Result<Self> {
        NonNull::new(target).map(Self).ok_or(Error::ArgumentsBad)
    }

    pub(super) fn put(&self, value: T) {
        // SAFETY: the caller of `new` vouched for it; alignment is not assumed.
        unsafe { self.0.as_ptr().write_unaligned(value) }
    }
}

/// A place for a number of elements, under the two-call rule.
pub(super) struct Buffer<T> {
    target: Option<NonNull<T>>,
    room: usize,
    count: Out<CK_ULONG>,
}

impl<T: Copy> Buffer<T> {
    /// # Errors
    ///
    /// [`Error::ArgumentsBad`] if `count` is null.
    ///
    /// # Safety
    ///
    /// `count` is null or good to read and write, and `target` is null or good to write for
    /// so many elements, as long as the result lives.
    pub(super) unsafe fn new(target: *mut T, count: *mut CK_ULONG) -> Result<Self> {
        // SAFETY: the caller vouches for `count`.
        let room = unsafe { value(count) }?;
        // SAFETY: the caller vouches for `count`.
        let count = unsafe { Out::new(count) }?;
        Ok(Self {
            target: NonNull::new(target),
            // More room than an address space has is enough for any answer.
            room: usize::try_from(room).unwrap_or(usize::MAX),
            count,
        })
    }

    /// The number of elements that fit.
    pub(super) fn room(&self) -> Room {
        match self.target {
            Some(_) => Room::Elements(self.room),
            None => Room::Query,
        }
    }

    /// Writes the answer of safe code to the question of [`Buffer::room`].
    pub(super) fn answer(&self, outcome: Result<Answer<T>>) -> Result<()> {
        match outcome {
            Ok(Answer::Length(len)) => self.count.put(len as CK_ULONG),
            Ok(Answer::Data(data)) => {
                let target = self.target.ok_or(Error::Internal)?;
                if data.len() > self.room {
                    return Err(Error::Internal);
                }
                let bytes = size_of_val(data.as_slice());
                // SAFETY: it fits, and the caller of `new` vouched for the target. Bytes are
                // copied, so that alignment does not matter.
                unsafe {
                    data.as_ptr()
                        .cast::<u8>()
                        .copy_to(target.as_ptr().cast(), bytes)
                };
                self.count.put(data.len() as CK_ULONG);
            }
            Err(Error::BufferTooSmall(needed)) => {
                self.count.put(needed as CK_ULONG);
                return Err(Error::BufferTooSmall(needed));
            }
            Err(err) => return Err(err),
        }
        Ok(())
    }
}

/// A place for exactly `len` bytes of output.
pub(super) struct Fill {
    target: *mut CK_BYTE,
    len: usize,
}

impl Fill {
    /// # Errors
    ///
    /// [`Error::ArgumentsBad`] for null with a length.
    ///
    /// # Safety
    ///
    /// `target` is null or good to write for `len` bytes as long as the result lives.
    pub(super) unsafe fn new(target: *mut CK_BYTE, len: CK_ULONG) -> Result<Self> {
        let len = count::<u8>(len)?;
        if target.is_null() && len > 0 {
            return Err(Error::ArgumentsBad);
        }
        Ok(Self { target, len })
    }

    /// Writes all of it, in pieces that `make` fills.
    pub(super) fn with(&self, mut make: impl FnMut(&mut [u8]) -> Result<()>) -> Result<()> {
        let mut piece = [0; 256];
        let mut done = 0;
        while done < self.len {
            let piece = &mut piece[..(self.len - done).min(256)];
            make(piece)?;
            // SAFETY: `done` is less than `len`, which the caller of `new` vouched for.
            let target = unsafe { self.target.add(done) };
            // SAFETY: the piece ends at `len` at the latest.
            unsafe { piece.as_ptr().copy_to(target, piece.len()) };
            done += piece.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use testing::assert_matches;

    use super::*;

    #[test]
    fn null_is_an_empty_input_and_nothing_else() {
        // SAFETY: null.
        assert_eq!(unsafe { input(ptr::null(), 0) }.unwrap(), b"");
        // SAFETY: null.
        let refused = unsafe { input(ptr::null(), 1) };
        assert_matches!(refused, Err(Error::ArgumentsBad));
        let byte = 0;
        // SAFETY: refused before it is read.
        let refused = unsafe { input(&raw const byte, CK_ULONG::MAX) };
        assert_matches!(refused, Err(Error::ArgumentsBad));
    }

    #[test]
    fn a_count_whose_bytes_wrap_is_refused() {
        assert!(count::<CK_ATTRIBUTE>(CK_ULONG::MAX / 24 + 2).is_err());
        assert!(count::<CK_ATTRIBUTE>(1 << 61).is_err());
        assert_eq!(count::<CK_ATTRIBUTE>(3).unwrap(), 3);
    }

    #[test]
    fn a_misaligned_buffer_is_written_as_far_as_it_goes() {
        let mut memory = [0xaa_u8; 32];
        let mut len: CK_ULONG = 2;
        let target = memory.as_mut_ptr().wrapping_add(1).cast::<CK_ULONG>();
        // SAFETY: room for two numbers from byte 1 on.
        let buffer = unsafe { Buffer::new(target, &raw mut len) }.unwrap();
        assert_eq!(buffer.room(), Room::Elements(2));
        buffer.answer(Ok(Answer::Data(vec![1, 2]))).unwrap();
        assert_eq!(len, 2);
        assert_eq!(memory[0], 0xaa);
        assert_eq!(memory[1..9], 1_u64.to_ne_bytes());
        assert_eq!(memory[9..17], 2_u64.to_ne_bytes());
        assert_eq!(memory[17..], [0xaa; 15]);
    }

    #[test]
    fn a_small_buffer_stays_as_it_is_and_its_length_says_what_is_needed() {
        let mut memory = [0xaa_u8; 4];
        let mut len: CK_ULONG = 4;
        // SAFETY: four bytes.
        let buffer = unsafe { Buffer::new(memory.as_mut_ptr(), &raw mut len) }.unwrap();
        let refused = buffer.answer(buffer.room().give(vec![0; 5]));
        assert_matches!(refused, Err(Error::BufferTooSmall(5)));
        assert_eq!(len, 5);
        assert_eq!(memory, [0xaa; 4]);
    }
}
