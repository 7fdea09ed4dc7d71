//! Networks, in the form of the critical option `source-address`.

use std::net::IpAddr;

use serde::Deserialize;

/// An address, or a network: an address with the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    /// The length of the prefix in bits.
    len: u32,
}

impl Network {
    /// Reads a network such as `10.0.0.0/8`, or an address such as `2001:db8::1`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, most) = bits(address);
        let Some(prefix) = prefix else {
            return Some(Self { address, len: most });
        };
        let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let len: u32 = prefix.parse().ok()?;
        // OpenSSH refuses a network with bits after its prefix.
        let is_network = is_number && len <= most && bits.checked_shl(len).unwrap_or(0) == 0;
        is_network.then_some(Self { address, len })
    }

    /// Whether the address is in the network. An IPv4-mapped IPv6 address counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let ((own, own_most), (other, most)) = (bits(self.address), bits(address.to_canonical()));
        let rest = 128 - self.len;
        own_most == most && (own ^ other).checked_shr(rest).unwrap_or(0) == 0
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
            .ok_or_else(|| format!("{text:?} is no network, such as 192.0.2.7 or 10.0.0.0/8"))
    }
}

/// The address in the highest bits of a 128-bit number, and how many bits the address has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_with_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "a00::1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network}");
        }
        for bad in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "x",
            "::/129",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
