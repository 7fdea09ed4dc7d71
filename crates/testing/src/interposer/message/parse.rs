//! Parsing messages.

use super::{DECRYPT, Message, SESSIONS};
use crate::interposer::{
    field::{Content, Field},
    layout::Layout,
    reader::{Part, Reader},
};

pub(super) fn header(bytes: &[u8]) -> (u16, u32, &[u8]) {
    let mut reader = Reader(bytes);
    let mut number = |length| reader.value(length).expect("a message has a header");
    let (tag, size, code) = (number(2), number(4), number(4));
    assert_eq!(size, bytes.len() as u64, "the length in the header");
    let narrow = "it was read from as many bytes";
    (
        u16::try_from(tag).expect(narrow),
        u32::try_from(code).expect(narrow),
        reader.0,
    )
}

pub(super) fn command(tag: u16, layout: &Layout, body: &[u8]) -> Option<Message> {
    let mut message = Message::empty(tag, layout.code, layout.code, false);
    let mut reader = Reader(body);
    for name in layout.handles {
        message.handles.push(reader.number(name, 4)?);
    }
    if tag == SESSIONS {
        let size = usize::try_from(reader.value(4)?).ok()?;
        let mut area = Reader(reader.take(size)?);
        while !area.0.is_empty() {
            let session = session(&mut area, true, message.sessions.len())?;
            message.sessions.push(session);
        }
    }
    let encrypted = message.uses(DECRYPT);
    message.parameters = parameters(&mut reader, layout.parameters, encrypted)?;
    reader.0.is_empty().then_some(message)
}

pub(super) fn reply(tag: u16, layout: &Layout, body: &[u8], encrypted: bool) -> Option<Message> {
    let mut message = Message::empty(tag, 0, layout.code, true);
    let mut reader = Reader(body);
    if let Some(name) = layout.reply_handle {
        message.handles.push(reader.number(name, 4)?);
    }
    if tag == SESSIONS {
        let size = usize::try_from(reader.value(4)?).ok()?;
        let mut area = Reader(reader.take(size)?);
        message.parameters = parameters(&mut area, layout.reply, encrypted)?;
        if !area.0.is_empty() {
            return None;
        }
        while !reader.0.is_empty() {
            let session = session(&mut reader, false, message.sessions.len())?;
            message.sessions.push(session);
        }
    } else {
        message.parameters = parameters(&mut reader, layout.reply, false)?;
    }
    reader.0.is_empty().then_some(message)
}

/// The parameters. If the first one is `encrypted`, it is one buffer.
fn parameters(reader: &mut Reader<'_>, parts: &[Part], encrypted: bool) -> Option<Vec<Field>> {
    match parts {
        [(name, _), rest @ ..] if encrypted => {
            let mut fields = vec![reader.buffer(name)?];
            fields.extend(reader.parts(rest)?);
            Some(fields)
        }
        parts => reader.parts(parts),
    }
}

fn session(reader: &mut Reader<'_>, is_command: bool, before: usize) -> Option<Field> {
    let mut parts = Vec::new();
    if is_command {
        parts.push(reader.number("handle", 4)?);
    }
    parts.push(reader.buffer("nonce")?);
    parts.push(reader.flags("attributes", 1)?);
    parts.push(reader.buffer("hmac")?);
    let name = format!("session{}", before + 1);
    Some(Field::new(name, Content::Structure(parts)))
}
