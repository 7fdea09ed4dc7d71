//! The built module, loaded as its hosts load it.

use std::{
    ffi::{CStr, CString, c_void},
    os::unix::ffi::OsStrExt,
    ptr,
};

use cryptoki_sys::*;

/// A loaded copy of the module. It stays loaded until [`Module::unload`].
#[derive(Clone, Copy)]
pub(crate) struct Module {
    handle: *mut c_void,
    functions: &'static CK_FUNCTION_LIST_3_0,
}

// SAFETY: the handle is an address that any thread may use, and the list is constant.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// Calls a function of the module with whatever a test wants to give it.
macro_rules! call {
    ($module:expr, $function:ident($($argument:expr),* $(,)?)) => {{
        let function = $module.functions().$function.expect("no entry is null");
        // SAFETY: what the standard wants of a caller holds, or its absence is what the test
        // is about and the module has to notice.
        let returned = unsafe { function($($argument),*) };
        returned
    }};
}
pub(crate) use call;

/// Calls a function that must succeed.
macro_rules! done {
    ($module:expr, $function:ident($($argument:expr),* $(,)?)) => {
        assert_eq!(
            $crate::loaded::call!($module, $function($($argument),*)),
            cryptoki_sys::CKR_OK,
            stringify!($function)
        )
    };
}
pub(crate) use done;

impl Module {
    /// Loads the module that cargo built.
    pub(crate) fn load() -> Self {
        Self::open(&testing::module(), libc::RTLD_NOW).expect("the module loads")
    }

    /// Loads the module at `path` with the flags of `dlopen`, or says why not.
    pub(crate) fn open(path: &std::path::Path, flags: i32) -> Result<Self, String> {
        let handle = dlopen(path, flags)?;
        Ok(Self {
            handle,
            functions: functions(handle),
        })
    }

    /// Loads a module that knows PKCS#11 2.40 alone, such as SoftHSM 2.6; the functions of 3.0 are
    /// missing.
    pub(crate) fn of_version_2(path: &std::path::Path) -> Self {
        let handle = dlopen(path, libc::RTLD_NOW).expect("the module loads");
        let address = symbol(handle, "C_GetFunctionList").expect("it is exported");
        // SAFETY: the symbol of that name has that type.
        let get: unsafe extern "C" fn(CK_FUNCTION_LIST_PTR_PTR) -> CK_RV =
            unsafe { std::mem::transmute(address) };
        let mut old: *mut CK_FUNCTION_LIST = ptr::null_mut();
        // SAFETY: a place for one pointer.
        assert_eq!(unsafe { get(&raw mut old) }, CKR_OK);
        let functions = Box::leak(Box::<CK_FUNCTION_LIST_3_0>::default());
        // SAFETY: a list of version 3.0 begins with the fields of one of version 2.40.
        unsafe { ptr::copy_nonoverlapping(old, (&raw mut *functions).cast(), 1) };
        Self { handle, functions }
    }

    pub(crate) fn functions(&self) -> &'static CK_FUNCTION_LIST_3_0 {
        self.functions
    }

    /// The address of an exported function.
    pub(crate) fn symbol(&self, name: &str) -> Option<*mut c_void> {
        symbol(self.handle, name)
    }

    /// Takes back one `dlopen`.
    pub(crate) fn unload(self) {
        // SAFETY: a handle of `dlopen`; nothing of the library is used afterwards.
        assert_eq!(unsafe { libc::dlclose(self.handle) }, 0);
    }
}

fn dlopen(path: &std::path::Path, flags: i32) -> Result<*mut c_void, String> {
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
    // SAFETY: a C string; what the library does when loaded is what is tested.
    let handle = unsafe { libc::dlopen(path.as_ptr(), flags) };
    if handle.is_null() {
        // SAFETY: it has no conditions.
        let why = unsafe { libc::dlerror() };
        // SAFETY: there was an error, so this is a C string.
        let why = unsafe { CStr::from_ptr(why) };
        return Err(why.to_string_lossy().into_owned());
    }
    Ok(handle)
}

fn symbol(handle: *mut c_void, name: &str) -> Option<*mut c_void> {
    let name = CString::new(name).expect("a name");
    // SAFETY: a handle of `dlopen` and a C string.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// The functions of PKCS#11 3.0, found as NSS and `pkcs11-tool` find them.
fn functions(handle: *mut c_void) -> &'static CK_FUNCTION_LIST_3_0 {
    let address = symbol(handle, "C_GetInterface").expect("C_GetInterface is exported");
    // SAFETY: the symbol of that name has that type.
    let get: unsafe extern "C" fn(
        CK_UTF8CHAR_PTR,
        CK_VERSION_PTR,
        CK_INTERFACE_PTR_PTR,
        CK_FLAGS,
    ) -> CK_RV = unsafe { std::mem::transmute(address) };
    let mut interface = ptr::null_mut();
    // SAFETY: null stands for any name and any version.
    let returned = unsafe { get(ptr::null_mut(), ptr::null_mut(), &raw mut interface, 0) };
    assert_eq!(returned, CKR_OK);
    // SAFETY: the module points to a constant.
    let interface = unsafe { &*interface };
    // SAFETY: the newest interface is of version 3.0.
    unsafe { &*interface.pFunctionList.cast() }
}
