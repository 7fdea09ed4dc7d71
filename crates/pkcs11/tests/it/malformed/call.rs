//! One call of a function, with one thing wrong about it.

use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    ptr,
};

use cryptoki_sys::*;

use crate::{guarded::Guarded, stage::Stage};

/// What a pointer among the arguments is for, and so what null means there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pointer {
    /// Something is written or read: null is wrong.
    Required,
    /// Null has a meaning of its own that changes nothing here.
    Optional,
    /// Something is written, and null asks for its length.
    Query,
    /// So much is read as the length says: null goes with a length of zero alone.
    Input,
}

/// What is wrong about a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// It is null.
    Null,
    /// It is null and has this length.
    NullOf(CK_ULONG),
    /// It is good and has this length.
    Of(CK_ULONG),
    /// The buffer that it leads to has no room.
    Short,
}

/// What is wrong about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    /// The pointer of this number, from 0 on.
    Pointer(usize, Form),
    Session(CK_SESSION_HANDLE),
    Slot(CK_SLOT_ID),
    Object(CK_OBJECT_HANDLE),
    Key(CK_OBJECT_HANDLE),
}

/// What a function takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Takes {
    pub(super) pointers: Vec<Pointer>,
    pub(super) session: bool,
    pub(super) slot: bool,
    pub(super) object: bool,
    pub(super) key: bool,
}

/// A call in the making: it gives a function its arguments, one of them wrong.
pub(super) struct Call {
    pub(super) stage: Stage,
    pub(super) memory: Guarded,
    objects: Objects,
    wrong: Wrong,
    pointers: Cell<usize>,
    takes: RefCell<Takes>,
}

/// The objects that calls are about.
#[derive(Clone, Copy, Default)]
pub(super) struct Objects {
    pub(super) ec: CK_OBJECT_HANDLE,
    pub(super) rsa: CK_OBJECT_HANDLE,
    pub(super) public: CK_OBJECT_HANDLE,
    pub(super) rsa_public: CK_OBJECT_HANDLE,
    pub(super) data: CK_OBJECT_HANDLE,
}

impl Call {
    pub(super) fn new(stage: Stage, objects: Objects, wrong: Wrong) -> Self {
        Self {
            stage,
            memory: Guarded::default(),
            objects,
            wrong,
            pointers: Cell::new(0),
            takes: RefCell::default(),
        }
    }

    /// What the function took, after it was called.
    pub(super) fn takes(&self) -> Takes {
        self.takes.borrow().clone()
    }

    pub(super) fn functions(&self) -> &'static CK_FUNCTION_LIST_3_0 {
        self.stage.functions()
    }

    pub(super) fn session(&self) -> CK_SESSION_HANDLE {
        self.takes.borrow_mut().session = true;
        match self.wrong {
            Wrong::Session(wrong) => wrong,
            _ => self.stage.session,
        }
    }

    pub(super) fn slot(&self) -> CK_SLOT_ID {
        self.takes.borrow_mut().slot = true;
        match self.wrong {
            Wrong::Slot(wrong) => wrong,
            _ => self.stage.slot,
        }
    }

    /// A data object of the session.
    pub(super) fn object(&self) -> CK_OBJECT_HANDLE {
        self.takes.borrow_mut().object = true;
        match self.wrong {
            Wrong::Object(wrong) => wrong,
            _ => self.objects.data,
        }
    }

    /// The private key on P-256.
    pub(super) fn ec(&self) -> CK_OBJECT_HANDLE {
        self.key(self.objects.ec)
    }

    /// The private RSA key.
    pub(super) fn rsa(&self) -> CK_OBJECT_HANDLE {
        self.key(self.objects.rsa)
    }

    /// The public RSA key.
    pub(super) fn rsa_public(&self) -> CK_OBJECT_HANDLE {
        self.key(self.objects.rsa_public)
    }

    /// The public key on P-256.
    pub(super) fn public(&self) -> CK_OBJECT_HANDLE {
        self.key(self.objects.public)
    }

    fn key(&self, key: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
        self.takes.borrow_mut().key = true;
        match self.wrong {
            Wrong::Key(wrong) => wrong,
            _ => key,
        }
    }

    /// What is wrong about the pointer that comes next.
    fn next(&self, pointer: Pointer) -> Option<Form> {
        self.takes.borrow_mut().pointers.push(pointer);
        let number = self.pointers.replace(self.pointers.get() + 1);
        match self.wrong {
            Wrong::Pointer(wrong, form) if wrong == number => Some(form),
            _ => None,
        }
    }

    fn single<T>(&self, pointer: Pointer, good: impl FnOnce() -> *mut T) -> *mut T {
        match self.next(pointer) {
            Some(Form::Null) => ptr::null_mut(),
            Some(form) => panic!("{form:?} makes no sense for a {pointer:?} pointer"),
            None => good(),
        }
    }

    /// Where one value is written.
    pub(super) fn out<T>(&self) -> *mut T {
        self.single(Pointer::Required, || self.memory.room(1))
    }

    /// One value that is read.
    pub(super) fn given<T: Copy>(&self, value: T) -> *mut T {
        self.single(Pointer::Required, || self.memory.copy(&[value]))
    }

    /// One value that is read, or nothing.
    pub(super) fn optional<T: Copy>(&self, value: T) -> *mut T {
        self.single(Pointer::Optional, || self.memory.copy(&[value]))
    }

    /// Something that means nothing here.
    pub(super) fn ignored(&self) -> *mut c_void {
        self.single(Pointer::Optional, || self.memory.room::<u8>(1).cast())
    }

    /// Values that are read, and their number.
    pub(super) fn input<T: Copy>(&self, values: &[T]) -> (*mut T, CK_ULONG) {
        let len = values.len() as CK_ULONG;
        match self.next(Pointer::Input) {
            None => (self.memory.copy(values), len),
            Some(Form::Null) => (ptr::null_mut(), len),
            Some(Form::NullOf(len)) => (ptr::null_mut(), len),
            Some(Form::Of(len)) => (self.memory.copy(values), len),
            Some(Form::Short) => panic!("input is never short"),
        }
    }

    /// Room for `count` values, under the two-call rule.
    pub(super) fn buffer<T>(&self, count: CK_ULONG) -> (*mut T, *mut CK_ULONG) {
        let (data, count) = match self.next(Pointer::Query) {
            None => (self.memory.room(count as usize), count),
            Some(Form::Null) => (ptr::null_mut(), count),
            Some(Form::Short) => (self.memory.room(0), 0),
            Some(form) => panic!("{form:?} makes no sense for a buffer"),
        };
        let len = self.single(Pointer::Required, || self.memory.copy(&[count]));
        (data, len)
    }
}
