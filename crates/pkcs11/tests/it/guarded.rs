//! Memory that ends where nothing can be written.

use std::{cell::RefCell, ptr, slice};

/// What fills memory that is not to be written.
const FILL: u8 = 0xa5;

/// Pieces of memory, each ending at a page that cannot be touched, with a filled rest before
/// it. They are there until the process ends.
#[derive(Default)]
pub(crate) struct Guarded {
    /// Where the filled rests are, and how long.
    rests: RefCell<Vec<(*const u8, usize)>>,
}

impl Guarded {
    /// Room for `count` values, filled with bytes that mean nothing.
    pub(crate) fn room<T>(&self, count: usize) -> *mut T {
        const PAGE: usize = 4096;
        let len = size_of::<T>() * count;
        let pages = len.div_ceil(PAGE) * PAGE;
        // SAFETY: a mapping of its own.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                pages + 2 * PAGE,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        let middle = base.cast::<u8>().wrapping_add(PAGE);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: these pages are ours.
        let opened = unsafe { libc::mprotect(middle.cast(), pages, access) };
        assert_eq!(opened, 0);
        // SAFETY: these pages can be written now.
        unsafe { middle.write_bytes(FILL, pages) };
        self.rests.borrow_mut().push((middle, pages - len));
        middle.wrapping_add(pages - len).cast()
    }

    /// A copy of `values`, with the same borders.
    pub(crate) fn copy<T: Copy>(&self, values: &[T]) -> *mut T {
        let place = self.room::<T>(values.len());
        for (i, value) in values.iter().enumerate() {
            // SAFETY: there is room for it; where the end of the page is aligned for bytes
            // only, so is the place.
            unsafe { place.wrapping_add(i).write_unaligned(*value) };
        }
        place
    }

    /// Fails the test if a byte before one of the pieces has been written. What comes after
    /// them would have ended the process.
    pub(crate) fn check(&self) {
        for &(rest, len) in &*self.rests.borrow() {
            // SAFETY: mapped, and nobody writes to it now.
            let rest = unsafe { slice::from_raw_parts(rest, len) };
            assert!(
                rest.iter().all(|byte| *byte == FILL),
                "written before its place"
            );
        }
    }
}
