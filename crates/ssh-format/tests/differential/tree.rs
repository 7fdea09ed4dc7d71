//! SSH structures as trees of fields, so that a change can depend on the kind of a field.

use ssh_format::wire::put_string;

use testing::differential::Random;

/// A part of a structure.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Bytes without a length in front: a number, a byte, a magic word.
    Raw(Vec<u8>),
    /// A `string` that holds other fields, or one `Raw`.
    String(Vec<Node>),
    /// A `string` with a wrong length in front.
    Lying(u32, Vec<u8>),
}

/// A `string` of bytes.
pub(crate) fn string(bytes: impl AsRef<[u8]>) -> Node {
    Node::String(vec![Node::Raw(bytes.as_ref().to_vec())])
}

/// Bytes without a length.
pub(crate) fn raw(bytes: impl AsRef<[u8]>) -> Node {
    Node::Raw(bytes.as_ref().to_vec())
}

pub(crate) fn encode(nodes: &[Node]) -> Vec<u8> {
    let mut out = Vec::new();
    for node in nodes {
        match node {
            Node::Raw(bytes) => out.extend(bytes),
            Node::String(inner) => put_string(&mut out, &encode(inner)),
            Node::Lying(len, bytes) => {
                out.extend(len.to_be_bytes());
                out.extend(bytes);
            }
        }
    }
    out
}

/// How many lists of fields there are, the outermost included.
fn count(nodes: &[Node]) -> usize {
    let inner = nodes.iter().map(|node| match node {
        Node::String(inner) => count(inner),
        _ => 0,
    });
    1 + inner.sum::<usize>()
}

/// Changes one field somewhere.
pub(crate) fn mutate(random: &mut Random, nodes: &mut Vec<Node>) {
    let at = random.below(count(nodes));
    mutate_list(random, nodes, at);
}

/// Changes the list with the number `at`, counted from the outside.
fn mutate_list(random: &mut Random, nodes: &mut Vec<Node>, mut at: usize) {
    if at == 0 {
        return change(random, nodes);
    }
    at -= 1;
    for node in nodes {
        if let Node::String(inner) = node {
            let lists = count(inner);
            if at < lists {
                return mutate_list(random, inner, at);
            }
            at -= lists;
        }
    }
}

fn change(random: &mut Random, nodes: &mut Vec<Node>) {
    let len = nodes.len();
    let at = random.below(len);
    match random.below(12) {
        0 if len > 0 => {
            nodes.remove(at);
        }
        1 if len > 0 => nodes.insert(at, nodes[at].clone()),
        2 if len > 1 => nodes.swap(at, (at + 1) % len),
        3 => nodes.push(
            random
                .pick(&[raw([0]), string(""), string("x"), raw([0; 8])])
                .clone(),
        ),
        4 => nodes.insert(
            at,
            random.pick(&[raw([0]), string(""), string("x")]).clone(),
        ),
        5 if len > 0 => {
            let inside = match &nodes[at] {
                Node::String(inner) => encode(inner),
                Node::Raw(bytes) | Node::Lying(_, bytes) => bytes.clone(),
            };
            let real = u32::try_from(inside.len()).unwrap();
            let lie = *random.pick(&[real + 1, real.saturating_sub(1), 0, u32::MAX, 1 << 27]);
            nodes[at] = Node::Lying(lie, inside);
        }
        _ if len > 0 => match &mut nodes[at] {
            Node::Raw(bytes) | Node::Lying(_, bytes) => change_bytes(random, bytes),
            Node::String(inner) => match &mut inner[..] {
                [Node::Raw(bytes)] => change_bytes(random, bytes),
                _ => change(random, inner),
            },
        },
        _ => nodes.push(raw(random.bytes(3))),
    }
}

/// Changes the bytes of a field.
pub(crate) fn change_bytes(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    match random.below(11) {
        0 => bytes.push(0),
        1 => bytes.push(random.byte()),
        2 => bytes.insert(0, 0),
        3 => bytes.insert(0, random.byte()),
        4 => {
            bytes.pop();
        }
        5 if !bytes.is_empty() => {
            bytes.remove(0);
        }
        6 => bytes.clear(),
        7 if !bytes.is_empty() => bytes[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
        8 => bytes.extend(bytes.clone()),
        9 if !bytes.is_empty() => bytes.truncate(at),
        _ if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        _ => bytes.extend(random.bytes(4)),
    }
}

/// Changes a text as people and their editors do.
pub(crate) fn change_text(random: &mut Random, text: &mut Vec<u8>) {
    let at = random.below(text.len() + 1);
    let blanks: [&[u8]; 9] = [
        b" ",
        b"\t",
        b"\r",
        b"\r\n",
        b"\n",
        b"\x0b",
        b"\x0c",
        b"\0",
        b"\xc2\xa0",
    ];
    match random.below(12) {
        0 => insert(
            text,
            0,
            random.text(&[&b" "[..], b"\t", b"\xef\xbb\xbf", b"#", b"\n"]),
        ),
        1 => text.extend_from_slice(random.text(&blanks)),
        2 | 3 => insert(text, at, random.text(&blanks)),
        4 => insert(
            text,
            at,
            random.text(&[&b"\""[..], b"=", b",", b"\\", b"-", b"\xe9"]),
        ),
        5 if !text.is_empty() => {
            text.remove(random.below(text.len()));
        }
        6 => text.truncate(at),
        7 => *text = replaced(text, b"\n", b"\r\n"),
        8 => *text = replaced(text, b" ", random.text(&[&b"  "[..], b"\t", b" \t", b""])),
        9 if at < text.len() => text[at] = text[at].to_ascii_uppercase(),
        10 if at < text.len() => text[at] = random.byte(),
        _ => text.extend_from_slice(b"more"),
    }
}

fn insert(text: &mut Vec<u8>, at: usize, what: &[u8]) {
    text.splice(at..at, what.iter().copied());
}

/// `text` with each `from` replaced.
pub(crate) fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some((first, more)) = rest.split_first() {
        match rest.strip_prefix(from) {
            Some(after) => {
                out.extend(to);
                rest = after;
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    out
}
