//! The numbers of the specification that a personality needs.
//!
//! Part 2: sections 6.3 (algorithms), 6.5.2 (commands), 6.6 (response codes), 6.13 (properties).

pub(super) const RSA: u16 = 0x0001;
pub(super) const SHA1: u16 = 0x0004;
pub(super) const AES: u16 = 0x0006;
pub(super) const KEYEDHASH: u16 = 0x0008;
pub(super) const XOR: u16 = 0x000a;
pub(super) const SHA256: u16 = 0x000b;
pub(super) const SHA384: u16 = 0x000c;
pub(super) const SHA512: u16 = 0x000d;
pub(super) const NULL: u16 = 0x0010;
pub(super) const RSAES: u16 = 0x0015;
pub(super) const RSAPSS: u16 = 0x0016;
pub(super) const ECC: u16 = 0x0023;
pub(super) const SYMCIPHER: u16 = 0x0025;
pub(super) const CFB: u16 = 0x0043;

/// The length of a hash's digests in bytes.
pub(super) fn digest_size(hash: u16) -> Option<usize> {
    match hash {
        SHA1 => Some(20),
        SHA256 => Some(32),
        SHA384 => Some(48),
        SHA512 => Some(64),
        _ => None,
    }
}

pub(super) const CC_EVICT_CONTROL: u32 = 0x120;
pub(super) const CC_HIERARCHY_CONTROL: u32 = 0x121;
pub(super) const CC_HIERARCHY_CHANGE_AUTH: u32 = 0x129;
pub(super) const CC_NV_DEFINE_SPACE: u32 = 0x12a;
pub(super) const CC_CREATE_PRIMARY: u32 = 0x131;
pub(super) const CC_DA_PARAMETERS: u32 = 0x13a;
pub(super) const CC_CREATE: u32 = 0x153;
pub(super) const CC_ECDH_ZGEN: u32 = 0x154;
pub(super) const CC_LOAD: u32 = 0x157;
pub(super) const CC_RSA_DECRYPT: u32 = 0x159;
pub(super) const CC_SIGN: u32 = 0x15d;
pub(super) const CC_UNSEAL: u32 = 0x15e;
pub(super) const CC_CONTEXT_LOAD: u32 = 0x161;
pub(super) const CC_CONTEXT_SAVE: u32 = 0x162;
pub(super) const CC_FLUSH_CONTEXT: u32 = 0x165;
pub(super) const CC_LOAD_EXTERNAL: u32 = 0x167;
pub(super) const CC_READ_PUBLIC: u32 = 0x173;
pub(super) const CC_START_AUTH_SESSION: u32 = 0x176;
pub(super) const CC_GET_CAPABILITY: u32 = 0x17a;
pub(super) const CC_TEST_PARMS: u32 = 0x18a;
pub(super) const CC_OBJECT_CHANGE_AUTH: u32 = 0x150;
pub(super) const CC_CREATE_LOADED: u32 = 0x191;

/// Commands by name, as a [`Mood`](super::Mood) names them.
pub(super) const NAMES: [(&str, u32); 24] = [
    ("EvictControl", CC_EVICT_CONTROL),
    ("NV_UndefineSpace", 0x122),
    ("NV_DefineSpace", CC_NV_DEFINE_SPACE),
    ("CreatePrimary", CC_CREATE_PRIMARY),
    ("NV_Write", 0x137),
    ("NV_ChangeAuth", 0x13b),
    ("SelfTest", 0x143),
    ("NV_Read", 0x14e),
    ("ObjectChangeAuth", CC_OBJECT_CHANGE_AUTH),
    ("PolicySecret", 0x151),
    ("Create", CC_CREATE),
    ("ECDH_ZGen", CC_ECDH_ZGEN),
    ("Load", CC_LOAD),
    ("RSA_Decrypt", CC_RSA_DECRYPT),
    ("Sign", CC_SIGN),
    ("Unseal", CC_UNSEAL),
    ("ContextLoad", CC_CONTEXT_LOAD),
    ("ContextSave", CC_CONTEXT_SAVE),
    ("FlushContext", CC_FLUSH_CONTEXT),
    ("NV_ReadPublic", 0x169),
    ("ReadPublic", CC_READ_PUBLIC),
    ("StartAuthSession", CC_START_AUTH_SESSION),
    ("GetCapability", CC_GET_CAPABILITY),
    ("GetRandom", 0x17b),
];

/// How many handles stand before the authorizations of a command.
pub(super) fn handles(code: u32) -> usize {
    match code {
        // Two handles: NV commands (authorization and index), and others that take a pair.
        0x11f | 0x120 | 0x122 | 0x134 | 0x136 | 0x137 | 0x138 | 0x147 | 0x148 | 0x149 | 0x14e
        | 0x14f | 0x150 | 0x151 | 0x176 => 2,
        0x121 | 0x126 | 0x127 | 0x129 | 0x12a | 0x131 | 0x139 | 0x13a | 0x13b | 0x153 | 0x154
        | 0x155 | 0x156 | 0x157 | 0x158 | 0x159 | 0x15d | 0x15e | 0x162 | 0x169 | 0x16b | 0x16c
        | 0x16d | 0x16e | 0x170 | 0x171 | 0x173 | 0x174 | 0x177 | 0x189 | 0x191 | 0x193 => 1,
        _ => 0,
    }
}

pub(super) const PT_NV_INDEX_MAX: u32 = 0x117;
pub(super) const PT_MAX_COMMAND_SIZE: u32 = 0x11e;
pub(super) const PT_MAX_DIGEST: u32 = 0x120;
pub(super) const PT_HR_PERSISTENT: u32 = 0x208;
pub(super) const PT_HR_PERSISTENT_AVAIL: u32 = 0x209;

pub(super) const RC_COMMAND_SIZE: u32 = 0x142;
pub(super) const RC_COMMAND_CODE: u32 = 0x143;
pub(super) const RC_NV_SPACE: u32 = 0x14b;
pub(super) const RC_HASH: u32 = 0x083;
pub(super) const RC_VALUE: u32 = 0x084;
pub(super) const RC_MODE: u32 = 0x089;
pub(super) const RC_TYPE: u32 = 0x08a;
pub(super) const RC_SCHEME: u32 = 0x092;
pub(super) const RC_SIZE: u32 = 0x095;
pub(super) const RC_SYMMETRIC: u32 = 0x096;
pub(super) const RC_RESERVED_BITS: u32 = 0x0a1;
pub(super) const RC_CURVE: u32 = 0x0a6;

/// A format-one response code about a parameter (Part 2, section 6.6.2).
pub(super) const fn about(code: u32, parameter: u32) -> u32 {
    code | 0x40 | parameter << 8
}
