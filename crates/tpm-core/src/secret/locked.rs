//! Memory for secrets: it is not swapped to disk, and it is wiped when it is freed.
//!
//! ssh-format has the like of it for private key files (`private_key/secret.rs`). Neither crate
//! depends on the other, and what changes here probably has to change there.

use region::LockGuard;
use zeroize::Zeroize;

/// The size of a page on most machines. If pages are larger, the lock also covers other memory and
/// may end when that is unlocked; the secret is then swappable.
const PAGE: usize = 4096;

/// A whole page, because the kernel locks whole pages and does not count how often.
#[repr(align(4096))]
struct Page([u8; PAGE]);

/// A few bytes in a page that the kernel keeps in memory, wiped when dropped.
pub(crate) struct Locked {
    // Declared first so that the page is unlocked before it is freed. `None` if RLIMIT_MEMLOCK is
    // used up; the secret is then swappable.
    _guard: Option<LockGuard>,
    page: Box<Page>,
    len: usize,
}

impl Locked {
    /// `len` zero bytes.
    ///
    /// # Panics
    ///
    /// If they do not fit into a page.
    pub(crate) fn zeroed(len: usize) -> Self {
        assert!(len <= PAGE, "a secret of this crate is short");
        let page = Box::new(Page([0; PAGE]));
        Self {
            _guard: region::lock(page.0.as_ptr(), PAGE).ok(),
            page,
            len,
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.page.0[..self.len]
    }

    /// The bytes, to be filled.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.page.0[..self.len]
    }
}

impl Clone for Locked {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len);
        copy.bytes_mut().copy_from_slice(self.bytes());
        copy
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// proc(5): the flag `lo` stands for pages that are locked.
    fn is_locked(address: usize) -> bool {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut here = false;
        for line in maps.lines() {
            let range = line.split(' ').next().unwrap().split_once('-');
            let number = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(from), Some(to))) = range.map(|(a, b)| (number(a), number(b))) {
                here = (from..to).contains(&address);
            }
            if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| here) {
                return flags.split_whitespace().any(|flag| flag == "lo");
            }
        }
        panic!("no such address")
    }

    #[test]
    fn a_secret_is_locked_as_long_as_it_lives() {
        let mut secret = Locked::zeroed(32);
        secret.bytes_mut().fill(7);
        let copy = secret.clone();
        assert_eq!(copy.bytes(), [7; 32]);
        let address = copy.bytes().as_ptr() as usize;
        assert!(is_locked(address));
        drop(secret);
        assert!(is_locked(address), "one does not unlock another");
        let unlocked = Box::new(Page([0; PAGE]));
        assert!(!is_locked(unlocked.0.as_ptr() as usize));
    }
}
