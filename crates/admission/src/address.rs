//! Addresses as limits see them.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU64;

/// The counting unit of strangers: one IPv4 address, or one IPv6 network.
///
/// A household or a rented machine gets at least an IPv6 network of 64 bits, and may use any of its
/// addresses. Counting anything finer would let one stranger be 2^64 of them; so at most the first
/// 64 bits count.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address(NonZeroU64);

/// The beginning of what stands for an IPv4 address: IPv6's `0200::/7` has been returned to the
/// IANA (RFC 4048) and is no stranger's network.
const IPV4: u64 = 0x0200_0000_0000_0000;

const fn address(number: u64) -> Address {
    // The network of `::` itself, which no stranger has either.
    let number = if number == 0 { IPV4 | 2 << 32 } else { number };
    Address(NonZeroU64::new(number).expect("it was zero and is not"))
}

impl Address {
    /// The address that stands for all those that have no place of their own in a table.
    pub const OTHERS: Self = address(IPV4 | 1 << 32);

    /// The counting unit of an address. `ipv6_prefix` is the length of the IPv6 network that counts
    /// as one stranger, in bits; more than 64 count as 64. An IPv4 address written as an IPv6 one
    /// (`::ffff:192.0.2.1`) is the IPv4 address.
    pub fn of(ip: IpAddr, ipv6_prefix: u8) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => address(IPV4 | u64::from(ip.to_bits())),
            IpAddr::V6(ip) => {
                let network = (ip.to_bits() >> 64) as u64;
                let dropped = 64 - u32::from(ipv6_prefix.min(64));
                address(u64::MAX.checked_shl(dropped).map_or(0, |mask| network & mask))
            }
        }
    }

    /// A number that is different for each address.
    pub const fn as_u64(self) -> u64 {
        self.0.get()
    }
}

/// Whether an address belongs to a private network, as a proxy in front of a node mostly does, and as
/// nobody on the open internet can: private, loopback, link-local, or shared with a carrier (RFC 6598).
pub const fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && second & 0b1100_0000 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::OTHERS {
            return f.write_str("other addresses");
        }
        match u32::try_from(self.as_u64() ^ IPV4) {
            Ok(bits) => Ipv4Addr::from_bits(bits).fmt(f),
            Err(_) => Ipv6Addr::from_bits(u128::from(self.as_u64()) << 64).fmt(f),
        }
    }
}
