//! Messages: calls, their replies, and signals.

mod arguments;
mod bytes;

use crate::marshal::{Reader, Writer};

pub use self::arguments::Arguments;
pub(crate) use self::bytes::length;

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A call of a method.
    Call,
    /// The result of a method.
    Return,
    /// The error of a method.
    Error,
    /// A signal.
    Signal,
    /// An unknown kind, which a client must ignore.
    Unknown,
}

/// A message to send, or a received one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What sort of message it is.
    pub kind: Kind,
    /// Its serial number, given by its sender. [`Message::encode`] writes its argument in place of
    /// this.
    pub serial: u32,
    /// The serial number of the call that this answers.
    pub reply_to: Option<u32>,
    /// The object that is called, or that sends the signal.
    pub path: Option<String>,
    /// The interface of the member.
    pub interface: Option<String>,
    /// The method or signal.
    pub member: Option<String>,
    /// The name of an error, such as `org.freedesktop.DBus.Error.ServiceUnknown`.
    pub error: Option<String>,
    /// The name of the recipient.
    pub destination: Option<String>,
    /// The name of the sender, as the bus states it.
    pub sender: Option<String>,
    /// The number of file descriptors in it.
    pub descriptors: u32,
    signature: String,
    body: Writer,
    little: bool,
}

impl Message {
    fn new(kind: Kind, path: &str, interface: &str, member: &str) -> Self {
        Self {
            kind,
            serial: 0,
            reply_to: None,
            path: Some(path.to_owned()),
            interface: Some(interface.to_owned()),
            member: Some(member.to_owned()),
            error: None,
            destination: None,
            sender: None,
            descriptors: 0,
            signature: String::new(),
            body: Writer::default(),
            little: true,
        }
    }

    /// A call of `interface.member` of the object at `path`.
    #[must_use]
    pub fn call(path: &str, interface: &str, member: &str) -> Self {
        Self::new(Kind::Call, path, interface, member)
    }

    /// A signal of the object at `path`.
    #[must_use]
    pub fn signal(path: &str, interface: &str, member: &str) -> Self {
        Self::new(Kind::Signal, path, interface, member)
    }

    /// A call of a method of the bus itself.
    #[must_use]
    pub fn to_bus(member: &str) -> Self {
        let name = "org.freedesktop.DBus";
        Self::call("/org/freedesktop/DBus", name, member).to(name)
    }

    /// The same, to the program with this name.
    #[must_use]
    pub fn to(mut self, destination: &str) -> Self {
        self.destination = Some(destination.to_owned());
        self
    }

    /// The same with a STRING as its next argument.
    #[must_use]
    pub fn text(mut self, value: &str) -> Self {
        self.signature.push('s');
        self.body.string(value);
        self
    }

    /// The same with a UINT32 as its next argument.
    #[must_use]
    pub fn number(mut self, value: u32) -> Self {
        self.signature.push('u');
        self.body.u32(value);
        self
    }

    /// The same with a UINT64 as its next argument.
    #[must_use]
    pub fn long(mut self, value: u64) -> Self {
        self.signature.push('t');
        self.body.u64(value);
        self
    }

    /// The same with a BOOLEAN as its next argument.
    #[must_use]
    pub fn boolean(mut self, value: bool) -> Self {
        self.signature.push('b');
        self.body.u32(value.into());
        self
    }

    /// The types of its arguments.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// A reader of its arguments, at the first one.
    #[must_use]
    pub fn arguments(&self) -> Arguments<'_> {
        Arguments::new(&self.signature, Reader::new(&self.body.0, self.little))
    }
}
