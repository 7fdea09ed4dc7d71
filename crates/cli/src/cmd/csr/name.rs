//! The subject of a certificate: parsed from text, and encoded by X.520.

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, ObjectIdentifier, SetOfVec};
use x509_cert::der::{self, Tag};
use x509_cert::name::{Name, RelativeDistinguishedName};

/// The hint for a name in another form.
const FORM: &str = "it is a name such as CN=alice,O=Example or /O=Example/CN=alice";

/// An attribute that a name may have.
struct Attribute {
    /// How people write it, in lower case; the usual one first.
    names: &'static [&'static str],
    oid: ObjectIdentifier,
    /// In which ASN.1 type its value is written.
    tag: Tag,
    /// The most characters of its value.
    max: usize,
}

const fn attribute(names: &'static [&'static str], oid: &str, tag: Tag, max: usize) -> Attribute {
    Attribute {
        names,
        oid: ObjectIdentifier::new_unwrap(oid),
        tag,
        max,
    }
}

/// RFC 5280, appendix A.1, with the upper bounds of X.520; `UID` and `DC` by RFC 4519.
const ATTRIBUTES: [Attribute; 18] = [
    attribute(&["cn", "commonname"], "2.5.4.3", Tag::Utf8String, 64),
    attribute(&["sn", "surname"], "2.5.4.4", Tag::Utf8String, 40),
    attribute(&["serialnumber"], "2.5.4.5", Tag::PrintableString, 64),
    attribute(
        &["c", "country", "countryname"],
        "2.5.4.6",
        Tag::PrintableString,
        2,
    ),
    attribute(
        &["l", "locality", "localityname"],
        "2.5.4.7",
        Tag::Utf8String,
        128,
    ),
    attribute(
        &["st", "s", "stateorprovincename"],
        "2.5.4.8",
        Tag::Utf8String,
        128,
    ),
    attribute(
        &["street", "streetaddress"],
        "2.5.4.9",
        Tag::Utf8String,
        128,
    ),
    attribute(
        &["o", "organization", "organizationname"],
        "2.5.4.10",
        Tag::Utf8String,
        64,
    ),
    attribute(
        &["ou", "organizationalunitname"],
        "2.5.4.11",
        Tag::Utf8String,
        64,
    ),
    attribute(&["title", "t"], "2.5.4.12", Tag::Utf8String, 64),
    attribute(&["postalcode"], "2.5.4.17", Tag::Utf8String, 40),
    attribute(&["gn", "givenname"], "2.5.4.42", Tag::Utf8String, 64),
    attribute(&["initials"], "2.5.4.43", Tag::Utf8String, 64),
    attribute(&["dnqualifier"], "2.5.4.46", Tag::PrintableString, 64),
    attribute(&["pseudonym"], "2.5.4.65", Tag::Utf8String, 128),
    attribute(
        &["uid", "userid"],
        "0.9.2342.19200300.100.1.1",
        Tag::Utf8String,
        256,
    ),
    attribute(
        &["dc", "domaincomponent"],
        "0.9.2342.19200300.100.1.25",
        Tag::Ia5String,
        63,
    ),
    attribute(
        &["emailaddress", "email", "e"],
        "1.2.840.113549.1.9.1",
        Tag::Ia5String,
        255,
    ),
];

/// A name in the form of RFC 4514, the most specific part first (`CN=alice, O=Example`), or in
/// that of `openssl req -subj`, the most general part first (`/O=Example/CN=alice`). Blanks
/// around parts and around `=` mean nothing; `\` takes the meaning from the character after it.
///
/// # Errors
///
/// A sentence for the command line, for whatever X.520 does not allow.
pub(super) fn parse(text: &str) -> Result<Name, String> {
    let (slashes, text) = match text.trim_start().strip_prefix('/') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let between = if slashes { '/' } else { ',' };
    let mut parts = split(text, between)?
        .into_iter()
        .map(part)
        .collect::<Result<Vec<_>, _>>()?;
    if !slashes {
        parts.reverse();
    }
    let count = |oid: ObjectIdentifier| {
        let all = parts.iter().flat_map(|part| part.0.iter());
        all.filter(|it| it.oid == oid).count()
    };
    if count(ATTRIBUTES[3].oid) > 1 {
        return Err("it has more than one country".into());
    }
    Ok(x509_cert::name::RdnSequence(parts))
}

/// The pieces of `text` between separators that no backslash stands before.
fn split(text: &str, between: char) -> Result<Vec<&str>, String> {
    let mut pieces = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        if !escaped && c == between {
            pieces.push(&text[start..at]);
            start = at + c.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    if escaped {
        return Err(format!("it ends with a backslash; {FORM}"));
    }
    pieces.push(&text[start..]);
    Ok(pieces)
}

/// One part of a name: an attribute, or several with `+` between them.
fn part(text: &str) -> Result<RelativeDistinguishedName, String> {
    let attributes = split(text, '+')?
        .into_iter()
        .map(attribute_and_value)
        .collect::<Result<Vec<_>, _>>()?;
    SetOfVec::try_from(attributes)
        .map(RelativeDistinguishedName)
        .map_err(|_| format!("\"{}\" says something twice", text.trim()))
}

fn attribute_and_value(text: &str) -> Result<AttributeTypeAndValue, String> {
    let (name, value) = text.split_once('=').ok_or(FORM)?;
    let name = name.trim();
    let value = unescape(value)?;
    let made = |oid, tag, value: &str| {
        let value = Any::new(tag, value.as_bytes()).map_err(|err: der::Error| err.to_string())?;
        Ok(AttributeTypeAndValue { oid, value })
    };
    let lower = name.to_ascii_lowercase();
    let known = |it: &&Attribute| it.names.contains(&&*lower) || it.oid.to_string() == name;
    let Some(known) = ATTRIBUTES.iter().find(known) else {
        let oid = ObjectIdentifier::new(name).map_err(|_| {
            format!("\"{name}\" is not an attribute of names that is known here; {FORM}")
        })?;
        check_text(name, &value)?;
        return made(oid, Tag::Utf8String, &value);
    };
    let value = known.check(name, value)?;
    made(known.oid, known.tag, &value)
}

impl Attribute {
    /// The value in its usual form, or why it cannot be this attribute.
    fn check(&self, name: &str, value: String) -> Result<String, String> {
        check_text(name, &value)?;
        let value = match self.names[0] {
            "c" if value.len() != 2 || !value.bytes().all(|b| b.is_ascii_alphabetic()) => {
                return Err(format!(
                    "{name} is a country's code of two letters, such as DE"
                ));
            }
            "c" => value.to_ascii_uppercase(),
            "emailaddress" => {
                super::parse_email(&value)?;
                value
            }
            "dc" => {
                super::parse_host(&value)?;
                value
            }
            _ => value,
        };
        let len = value.chars().count();
        if len > self.max {
            return Err(format!(
                "{name} has {len} characters, and may have {} at most",
                self.max
            ));
        }
        if self.tag == Tag::PrintableString && !value.chars().all(is_printable) {
            return Err(format!(
                "{name} may have letters and digits of ASCII, blanks and '()+,-./:=? alone"
            ));
        }
        Ok(value)
    }
}

fn check_text(name: &str, value: &str) -> Result<(), String> {
    if value.trim().is_empty() {
        return Err(format!("{name} is empty"));
    }
    match value.chars().any(char::is_control) {
        true => Err(format!("{name} has control characters")),
        false => Ok(()),
    }
}

/// X.680, clause 41.4.
fn is_printable(c: char) -> bool {
    c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c)
}

/// The value without backslashes and without blanks around it that no backslash stands before.
///
/// # Source
///
/// RFC 4514, section 2.4: after a backslash comes a special character, or two hexadecimal digits of UTF-8.
fn unescape(text: &str) -> Result<String, String> {
    let text = text.trim_start_matches(' ');
    if text.starts_with('#') {
        return Err("a value is written as text; \\# stands for a value that begins with #".into());
    }
    let mut bytes = Vec::new();
    // How much stays if blanks at the end are taken away.
    let mut kept = 0;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let mut put = |text: &str| bytes.extend(text.as_bytes());
        match c {
            '\\' => {
                let pair = rest.as_str().get(..2);
                let byte = pair.filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
                if let Some(Ok(byte)) = byte.map(|pair| u8::from_str_radix(pair, 16)) {
                    bytes.push(byte);
                    rest.nth(1);
                } else {
                    put(rest.next().ok_or(FORM)?.encode_utf8(&mut [0; 4]));
                }
                kept = bytes.len();
            }
            '"' | ';' | '<' | '>' => {
                return Err(format!("a backslash has to stand before {c} in a value"));
            }
            c => {
                put(c.encode_utf8(&mut [0; 4]));
                if c != ' ' {
                    kept = bytes.len();
                }
            }
        }
    }
    bytes.truncate(kept);
    String::from_utf8(bytes).map_err(|_| "a value is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        parse(text).map(|name| name.to_string())
    }

    #[test]
    fn both_forms_are_the_same_name() {
        let name = parse("CN=a\\,b,O=Example,C=DE").unwrap();
        assert_eq!(name.to_string(), "CN=a\\,b,O=Example,C=DE");
        assert!(name.0[0].to_string().starts_with("C="), "{name}");
        for same in [
            "CN=a\\,b, O=Example, C=DE",
            " cn = a\\2Cb ,o=Example ,c=de",
            "/C=DE/O=Example/CN=a,b",
            "2.5.4.3=a\\,b,O=Example,C=DE",
        ] {
            assert_eq!(parse(same).as_ref(), Ok(&name), "{same}");
        }
        assert_eq!(shown("/O=a\\/b").unwrap(), "O=a/b");
        assert_eq!(shown("CN=\\ a\\ ").unwrap(), "CN=\\ a\\ ");
        assert_eq!(parse("CN=a+UID=b").unwrap().0.len(), 1);
    }

    #[test]
    fn each_attribute_has_the_type_that_x520_gives_it() {
        for (text, tag) in [
            ("emailAddress=a@example.org", Tag::Ia5String),
            ("E=a@example.org", Tag::Ia5String),
            ("DC=example", Tag::Ia5String),
            ("C=DE", Tag::PrintableString),
            ("serialNumber=12", Tag::PrintableString),
            ("CN=alïce", Tag::Utf8String),
            ("1.2.3.4=x", Tag::Utf8String),
        ] {
            let name = parse(text).unwrap();
            let value = &name.0[0].0.get(0).unwrap().value;
            assert_eq!(der::Tagged::tag(value), tag, "{text}");
        }
    }

    #[test]
    fn what_x520_does_not_allow_is_refused_with_the_reason() {
        let long = |name: &str, len: usize| format!("{name}={}", "ä".repeat(len));
        for (name, max) in [("CN", 64), ("O", 64), ("OU", 64), ("L", 128), ("UID", 256)] {
            parse(&long(name, max)).unwrap();
            assert_eq!(
                parse(&long(name, max + 1)).unwrap_err(),
                format!(
                    "{name} has {} characters, and may have {max} at most",
                    max + 1
                )
            );
        }
        for (wrong, why) in [
            ("CN=", "CN is empty"),
            ("CN= ,O=x", "CN is empty"),
            (
                "C=Germany",
                "C is a country's code of two letters, such as DE",
            ),
            ("C=D", "C is a country's code of two letters, such as DE"),
            ("C=1A", "C is a country's code of two letters, such as DE"),
            ("C=DE,C=FR", "it has more than one country"),
            ("E=alice", "it is a mail address such as alice@example.org"),
            (
                "E=älice@x.org",
                "it is a mail address such as alice@example.org",
            ),
            (
                "serialNumber=a_b",
                "serialNumber may have letters and digits of ASCII, blanks and '()+,-./:=? alone",
            ),
            ("CN=a\\0ab", "CN has control characters"),
            ("CN=a\\ff", "a value is not UTF-8"),
            ("CN=a\"b", "a backslash has to stand before \" in a value"),
            ("CN=a+CN=a", "\"CN=a+CN=a\" says something twice"),
            (
                "CN=#zz",
                "a value is written as text; \\# stands for a value that begins with #",
            ),
            ("CN=a\\", &format!("it ends with a backslash; {FORM}")),
            (
                "XYZ=1",
                &format!("\"XYZ\" is not an attribute of names that is known here; {FORM}"),
            ),
        ] {
            assert_eq!(parse(wrong).unwrap_err(), why, "{wrong}");
        }
        for wrong in ["", "alice", "CN", "CN=a,,", "/", "//CN=a", "/CN=a/"] {
            assert_eq!(parse(wrong).unwrap_err(), FORM, "{wrong}");
        }
    }
}
