//! Networks, as the critical option `source-address` has them.

/// An address, or one with the length of a prefix.
pub(super) fn is_network(text: &str) -> bool {
    use std::net::IpAddr;
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let Some(prefix) = prefix else {
        return true;
    };
    // In the highest bits of 128, as an IPv6 address has them.
    let (bits, most) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
    match prefix.parse::<u32>() {
        // OpenSSH refuses a network with bits after its prefix.
        Ok(len) if is_number && len <= most => bits.checked_shl(len).unwrap_or(0) == 0,
        _ => false,
    }
}
