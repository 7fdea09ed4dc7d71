//! The arguments of a received message.

use crate::{Error, marshal::Reader};

/// The arguments of a message.
///
/// Each function reads the next argument if it has that type, and fails otherwise.
#[derive(Debug, Clone)]
pub struct Arguments<'a> {
    types: &'a str,
    reader: Reader<'a>,
}

impl<'a> Arguments<'a> {
    /// Arguments of the types that the signature `types` names, from their bytes.
    pub(super) fn new(types: &'a str, reader: Reader<'a>) -> Self {
        Self { types, reader }
    }

    fn expect(&mut self, code: char) -> Result<(), Error> {
        let rest = self.types.strip_prefix(code);
        self.types = rest.ok_or(Error::Malformed("argument"))?;
        Ok(())
    }

    /// The next argument, a STRING.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if there is none, or of another type.
    pub fn text(&mut self) -> Result<&'a str, Error> {
        self.expect('s')?;
        self.reader.string()
    }

    /// The next argument, a UINT32.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if there is none, or of another type.
    pub fn number(&mut self) -> Result<u32, Error> {
        self.expect('u')?;
        self.reader.u32()
    }

    /// The next argument, a UINT64.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if there is none, or of another type.
    pub fn long(&mut self) -> Result<u64, Error> {
        self.expect('t')?;
        self.reader.u64()
    }

    /// The next argument, a BOOLEAN.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if there is none, or of another type.
    pub fn boolean(&mut self) -> Result<bool, Error> {
        self.expect('b')?;
        match self.reader.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::Malformed("argument")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Message;

    #[test]
    fn an_argument_of_another_type_is_refused() {
        let message = Message::signal("/a", "b.c", "D").boolean(true).number(7);
        assert_eq!(message.signature(), "bu");
        assert!(message.arguments().text().is_err());
        let mut arguments = message.arguments();
        assert_eq!(arguments.boolean(), Ok(true));
        assert_eq!(arguments.number(), Ok(7));
    }
}
