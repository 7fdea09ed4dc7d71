//! Parsing and encoding commands and responses.

use super::constants::handles;

/// The command cannot be parsed, so it is passed on.
#[derive(Debug)]
pub(super) struct Short;

/// Reads big-endian numbers and buffers off the front.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Short> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Short)?;
        self.0 = rest;
        Ok(head)
    }

    fn number(&mut self, bytes: usize) -> Result<u32, Short> {
        let bytes = self.take(bytes)?;
        Ok(bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Short> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Short> {
        self.number(2).map(|n| u16::try_from(n).expect("two bytes"))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Short> {
        self.number(4)
    }

    /// A 16-bit length and that many bytes.
    pub(super) fn sized(&mut self) -> Result<&'a [u8], Short> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }
}

/// A command, split into handles, authorizations and parameters.
#[derive(Debug)]
pub(super) struct Command<'a> {
    pub(super) raw: &'a [u8],
    pub(super) code: u32,
    pub(super) handles: Vec<u32>,
    pub(super) params: &'a [u8],
}

impl<'a> Command<'a> {
    pub(super) fn parse(raw: &'a [u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(raw);
        let tag = reader.u16()?;
        reader.u32()?;
        let code = reader.u32()?;
        let handles = (0..handles(code))
            .map(|_| reader.u32())
            .collect::<Result<_, _>>()?;
        if tag == 0x8002 {
            let size = reader.u32()?;
            reader.take(size as usize)?;
        }
        Ok(Self {
            raw,
            code,
            handles,
            params: reader.0,
        })
    }
}

/// A buffer with its 16-bit length.
pub(super) fn sized(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("a TPM's buffers are short");
    [&len.to_be_bytes()[..], bytes].concat()
}

/// A command or response with this tag and code before its body.
pub(super) fn frame(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(10 + body.len()).expect("a TPM's messages are short");
    [
        &tag.to_be_bytes()[..],
        &size.to_be_bytes(),
        &code.to_be_bytes(),
        body,
    ]
    .concat()
}

/// A response without contents.
pub(super) fn refusal(rc: u32) -> Vec<u8> {
    frame(0x8001, rc, &[])
}

/// A response without sessions.
pub(super) fn answer(body: &[u8]) -> Vec<u8> {
    frame(0x8001, 0, body)
}

/// A command without sessions.
pub(super) fn ask(code: u32, body: &[u8]) -> Vec<u8> {
    frame(0x8001, code, body)
}

/// A command whose handles are authorized by these values, in the clear.
pub(super) fn authorized(code: u32, handles: &[u32], auths: &[&[u8]], params: &[u8]) -> Vec<u8> {
    let mut area = Vec::new();
    for auth in auths {
        area.extend_from_slice(&0x4000_0009_u32.to_be_bytes());
        area.extend_from_slice(&[0, 0, 1]);
        area.extend_from_slice(&sized(auth));
    }
    let size = u32::try_from(area.len()).expect("a few authorizations");
    let mut body: Vec<u8> = handles.iter().flat_map(|h| h.to_be_bytes()).collect();
    body.extend_from_slice(&size.to_be_bytes());
    body.extend_from_slice(&area);
    body.extend_from_slice(params);
    frame(0x8002, code, &body)
}

/// The response code of a response.
pub(super) fn response_code(response: &[u8]) -> u32 {
    let mut reader = Reader::new(response);
    let code = reader.take(6).and_then(|_| reader.u32());
    code.unwrap_or(u32::MAX)
}
