//! Decides whether a resolved address of a remote server may be connected to, so that a definition or a name server
//! cannot lead the daemon to metadata services, private networks or itself (SSRF). Pure: nothing is resolved or
//! connected here; whoever connects asks about each address right before, and then connects to that very address.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// Addresses that a server may have, by where it was defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every address that is not forbidden anyway, as for servers of a file.
    Any,
    /// Addresses that are reachable from everywhere in the internet.
    Public,
    /// Addresses of these networks, and whatever these hosts resolve to.
    Listed(Vec<Allowed>),
}

/// Rules that the addresses of one server are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRules {
    /// Addresses that the server may have.
    pub scope: Scope,
    /// Permission for link-local addresses other than of metadata; for servers of a file, so only with [`Scope::Any`].
    pub allow_link_local: bool,
    /// Addresses that this daemon listens on, which are never connected to. An unspecified one stands for all of
    /// loopback; the machine's other addresses are not known here, so whoever wants them refused adds them.
    pub own: Arc<[SocketAddr]>,
}

impl AddressRules {
    /// Checks an address that `host` was resolved to; `host` is `None` if the definition has the address itself. An
    /// IPv4 address that is written inside an IPv6 address is judged as what it is.
    ///
    /// # Errors
    /// The rule that forbids the address.
    pub fn check(&self, host: Option<&str>, address: SocketAddr) -> Result<(), Forbidden> {
        let written = address.ip();
        meanings(written).into_iter().try_for_each(|meant| {
            let objection = self.objection(host, meant, address.port());
            objection.map_or(Ok(()), |reason| Err(Forbidden { written, meant, reason }))
        })
    }

    fn objection(&self, host: Option<&str>, address: IpAddr, port: u16) -> Option<ForbiddenReason> {
        let may_be_link_local = self.allow_link_local && self.scope == Scope::Any;
        let is_link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let is_metadata = METADATA.split(' ').any(|row| row.parse().map_or(true, |ip: IpAddr| ip == address));
        let is_own = self.own.iter().any(|own| {
            let ip = own.ip().to_canonical();
            own.port() == port && (ip == address || ip.is_unspecified() && address.is_loopback())
        });
        let is_listed = |list: &[Allowed]| list.iter().any(|entry| entry.covers(host, address));
        Some(match address {
            _ if is_metadata => ForbiddenReason::Metadata,
            _ if address.is_unspecified() => ForbiddenReason::Unspecified,
            _ if address.is_multicast() => ForbiddenReason::Multicast,
            IpAddr::V4(Ipv4Addr::BROADCAST) => ForbiddenReason::Broadcast,
            _ if is_link_local && !may_be_link_local => ForbiddenReason::LinkLocal,
            _ if is_own => ForbiddenReason::Own,
            _ => match &self.scope {
                Scope::Public if !is_public(address) => ForbiddenReason::NotPublic,
                Scope::Listed(list) if !is_listed(list) => ForbiddenReason::NotListed,
                _ => return None,
            },
        })
    }
}

/// Entry of a list of addresses that servers may have; parsed from `10.0.0.0/8`, `::1`, `example.org` or
/// `*.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Addresses of a network; IPv4 addresses inside IPv6 count as IPv4.
    Network {
        /// First address of the network; with another, nothing is covered.
        address: IpAddr,
        /// Number of bits that all of its addresses begin with.
        prefix: u8,
    },
    /// Host name in lower case without a dot at its end, or `*.` and one, which covers all names below it but not
    /// the name itself.
    Host(Box<str>),
}

impl Allowed {
    fn covers(&self, host: Option<&str>, address: IpAddr) -> bool {
        match self {
            Allowed::Network { address: first, prefix } => first_of(address, *prefix) == *first,
            Allowed::Host(pattern) => host.is_some_and(|host| {
                let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
                let is_below = |end: &str| host.len() > end.len() && host.ends_with(end);
                pattern.strip_prefix('*').map_or(host == **pattern, is_below)
            }),
        }
    }
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Allowed, AllowedError> {
        let wrong = |fault: &str| Err(AllowedError(format!("{text:?} {fault}")));
        let (start, bits) = text.split_once('/').map_or((text, None), |(start, bits)| (start, Some(bits)));
        let Ok(address) = start.parse::<IpAddr>() else {
            let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
            let is_known = is_host_name(name.strip_prefix("*.").unwrap_or(&name));
            return if is_known { Ok(Allowed::Host(name.into())) } else { wrong(NEITHER) };
        };
        let max = if address.is_ipv4() { 32 } else { 128 };
        let prefix = bits.map_or(Ok(max), str::parse).ok().filter(|prefix| *prefix <= max);
        let Some(prefix) = prefix else { return wrong(&format!("must end in a number from 0 to {max}")) };
        if meanings(address) != [address] {
            return wrong("is IPv4 inside IPv6; write the IPv4 network, such as \"10.0.0.0/8\"");
        }
        match first_of(address, prefix) {
            first if first == address => Ok(Allowed::Network { address, prefix }),
            first => wrong(&format!("is not the first address of its network; write \"{first}/{prefix}\"")),
        }
    }
}

const NEITHER: &str = "is neither a network such as \"10.0.0.0/8\", an address such as \"::1\", nor a host name such \
                       as \"example.org\" or \"*.example.org\", in ASCII and without scheme, port or path";

/// Error of a text that is no [`Allowed`]; says what is wrong with the text and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedError(String);

impl fmt::Display for AllowedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for AllowedError {}

/// Refusal of an address: which, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forbidden {
    /// Address as it was resolved or written.
    pub written: IpAddr,
    /// Address that it stands for: the IPv4 address inside an IPv6 address, else the same.
    pub meant: IpAddr,
    /// Rule that forbids it.
    pub reason: ForbiddenReason,
}

/// Rule that forbids an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForbiddenReason {
    /// `0.0.0.0` or `::`.
    Unspecified,
    /// An address of a group.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// An address of the local link only.
    LinkLocal,
    /// A cloud's metadata service, which gives away credentials.
    Metadata,
    /// A listener of this daemon.
    Own,
    /// Not reachable from everywhere, for a server that has to be.
    NotPublic,
    /// Neither the address nor the host is in the list.
    NotListed,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NEVER: &str = "which is never connected to";
        const ONLY: &str = "which only servers of a file may have, with remotes.allow_link_local";
        const API: &str = "this server was defined through the API (remotes.api_addresses)";
        let (what, why) = match self.reason {
            ForbiddenReason::Unspecified => ("the unspecified address, ", NEVER),
            ForbiddenReason::Multicast => ("a multicast address, ", NEVER),
            ForbiddenReason::Broadcast => ("the broadcast address, ", NEVER),
            ForbiddenReason::LinkLocal => ("a link-local address, ", ONLY),
            ForbiddenReason::Metadata => ("the address of a metadata service, ", NEVER),
            ForbiddenReason::Own => ("with this port an address of mcpvisor itself, ", NEVER),
            ForbiddenReason::NotPublic => ("not a public address, and ", API),
            ForbiddenReason::NotListed => ("not in the list of allowed addresses, and ", API),
        };
        let that_is = format!(" (that is {})", self.meant);
        let that_is = if self.meant == self.written { "" } else { &that_is };
        write!(f, "{}{that_is} is {what}{why}", self.written)
    }
}

impl Error for Forbidden {}

/// Addresses of clouds' metadata services, host agents and providers of credentials: Amazon, Google, Azure (a public
/// address), Oracle, Alibaba, Scaleway, Tencent, Akamai, `OpenStack`.
const METADATA: &str = "169.254.169.254 169.254.170.2 169.254.170.23 169.254.42.42 169.254.0.23 168.63.129.16 \
    100.100.100.200 192.0.0.192 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42 fd00:a9fe:a9fe::1 \
    fd00:c1::a9fe:a9fe fd00:100::100:200 fe80::a9fe:a9fe";

/// Networks that are not reachable from everywhere, by IANA's registries of special-purpose addresses (RFC 6890); with
/// all of the IETF's own, and of IPv6 all but `2000::/3`, as nothing else is given out (RFC 4291, section 2.4).
const NOT_PUBLIC: &str = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 \
    192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3 \
    ::/3 2001::/23 2001:db8::/32 3fff::/20 4000::/2 8000::/1";

// Connections are rare enough for the tables to be read each time; a row that cannot be read forbids everything.
fn is_public(address: IpAddr) -> bool {
    NOT_PUBLIC.split(' ').all(|row| row.parse::<Allowed>().is_ok_and(|it| !it.covers(None, address)))
}

/// Returns an address with zeros behind its first `prefix` bits.
fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
    let bits = prefix.into();
    match address {
        IpAddr::V4(v4) => (v4 & !Ipv4Addr::from_bits(u32::MAX.checked_shr(bits).unwrap_or(0))).into(),
        IpAddr::V6(v6) => (v6 & !Ipv6Addr::from_bits(u128::MAX.checked_shr(bits).unwrap_or(0))).into(),
    }
}

/// Returns what an address may stand for: the IPv4 address inside an IPv6 address that only carries one (RFC 4291,
/// 2765, 3056, 6052), else the address itself. It is several in the NAT64 network for local use (RFC 8215), as how
/// long its prefix is (RFC 6052, section 2.2) is known to the translator alone: all of them count.
fn meanings(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address else { return vec![address] };
    let inside = |places: [usize; 4]| IpAddr::from(places.map(|place| v6.octets()[place]));
    let last = inside([12, 13, 14, 15]);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => vec![address],
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => vec![last],
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => vec![last],
        [0x2002, ..] => vec![inside([2, 3, 4, 5])],
        [0x64, 0xff9b, 1, ..] => {
            let mut all = vec![inside([6, 7, 9, 10]), inside([7, 9, 10, 11]), inside([9, 10, 11, 12]), last];
            // What begins with a zero is a prefix or a suffix that was read as an address.
            all.retain(|meant| !first_of(*meant, 8).is_unspecified());
            if all.is_empty() { vec![last] } else { all }
        }
        _ => vec![address],
    }
}

/// Reports whether a text is a host name as defined by RFC 1123, underscores allowed.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_usable = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_usable && (1..=63).contains(&label.len()) && label.trim_matches('-') == label
    };
    // A last label of digits only would be a mistyped IPv4 address.
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && text.split('.').all(is_label) && !text.rsplit('.').next().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ForbiddenReason::*;
    use proptest::prelude::*;

    fn rules(scope: Scope, allow_link_local: bool, own: &str) -> AddressRules {
        let own = own.split_whitespace().map(|own| own.parse().expect("an address with port")).collect();
        AddressRules { scope, allow_link_local, own }
    }

    fn listed(entries: &str) -> Scope {
        Scope::Listed(entries.split(' ').map(|entry| entry.parse().expect("an entry")).collect())
    }

    fn verdict(rules: &AddressRules, host: Option<&str>, ip: IpAddr) -> Option<ForbiddenReason> {
        rules.check(host, SocketAddr::new(ip, 3000)).err().map(|forbidden| forbidden.reason)
    }

    fn all_have(reason: Option<ForbiddenReason>, by: &AddressRules, host: Option<&str>, addresses: &str) {
        for address in addresses.split_whitespace() {
            let ip = address.parse().expect(address);
            assert_eq!(verdict(by, host, ip), reason, "{host:?} {ip} {by:?}");
        }
    }

    #[test]
    fn each_kind_of_address_has_its_verdict_in_each_scope() {
        let near = "127.0.0.1 127.9.9.9 ::1 10.0.0.5 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fc00::1 fdff::1 \
            0.0.0.1 192.0.0.8 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 240.0.0.1 \
            255.255.255.254 fec0::1 100::1 2001::1 2001:1ff::1 2001:db8::1 3fff:fff::1 4000::1 5f00::1";
        let public = "8.8.8.8 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 192.0.1.1 198.20.0.1 223.255.255.255 \
            2001:200::1 2001:4860:4860::8888 2606:4700::1 3fff:1000::1 2a00::1 2003::1";
        for (addresses, any, public) in [
            (near, None, Some(NotPublic)),
            (public, None, None),
            (METADATA, Some(Metadata), Some(Metadata)),
            ("100.100.100.200 192.0.0.192 fd00:ec2::254", Some(Metadata), Some(Metadata)),
            ("0.0.0.0 ::", Some(Unspecified), Some(Unspecified)),
            ("255.255.255.255", Some(Broadcast), Some(Broadcast)),
            ("224.0.0.1 239.1.1.1 ff02::1 ff0e::1", Some(Multicast), Some(Multicast)),
            ("169.254.1.1 fe80::1 febf::1", Some(LinkLocal), Some(LinkLocal)),
        ] {
            let lifted = any.filter(|reason| *reason != LinkLocal);
            for allow in [false, true] {
                all_have(if allow { lifted } else { any }, &rules(Scope::Any, allow, ""), None, addresses);
                all_have(public, &rules(Scope::Public, allow, ""), None, addresses);
                all_have(any, &rules(listed("0.0.0.0/0 ::/0"), allow, ""), None, addresses);
                all_have(any, &rules(listed("host"), allow, ""), Some("host"), addresses);
            }
        }
    }

    #[test]
    fn the_own_listeners_are_refused_in_every_scope() {
        for (own, refused, others) in [
            ("127.0.0.1:3000 [::]:3001", "127.0.0.1 ::ffff:127.0.0.1 64:ff9b::7f00:1", "127.0.0.2 ::1"),
            ("[::ffff:10.0.0.5]:3000 [::1]:3000", "10.0.0.5 ::1", "10.0.0.6 127.0.0.1"),
            ("0.0.0.0:3000", "127.0.0.2 ::1 ::ffff:127.0.0.1", "10.0.0.5"),
            ("[::]:3000", "127.0.0.2 ::1", "10.0.0.5"),
        ] {
            for scope in [Scope::Any, listed("0.0.0.0/0 ::/0"), listed("host")] {
                all_have(Some(Own), &rules(scope.clone(), false, own), Some("host"), refused);
                all_have(None, &rules(scope, false, own), Some("host"), others);
            }
        }
    }

    #[test]
    fn a_list_covers_its_networks_and_what_its_hosts_resolve_to() {
        let rules = rules(listed("10.0.0.0/8 ::1 Example.ORG. *.below.test"), false, "");
        for host in ["other.test", "a.example.org", "below.test", ".below.test", "notbelow.test"] {
            all_have(None, &rules, Some(host), "10.0.0.0 10.255.0.1 ::1 ::ffff:10.1.1.1");
            all_have(Some(NotListed), &rules, Some(host), "11.0.0.1 9.255.255.255 ::2 8.8.8.8");
        }
        for host in ["EXAMPLE.org.", "example.org", "a.b.below.test"] {
            all_have(None, &rules, Some(host), "8.8.8.8 10.0.0.1 127.0.0.1 2a00::1");
        }
    }

    #[test]
    fn errors_and_refusals_say_what_was_wrong_and_what_would_be_right() {
        for (texts, told) in [
            ("10.0.0.5/8 10.128.0.0/8", "write \"10.0.0.0/8\""),
            ("10.0.0.0/33 10.0.0.0/x 10.0.0.0/", "from 0 to 32"),
            ("::1/129 ::1/x", "from 0 to 128"),
            ("::ffff:10.0.0.0/104 64:ff9b::/96", "write the IPv4 network"),
            (" * *. 10.0.0.256 a.*.org https://a.org a:1 bücher.test [::1] -a fe80::1%eth0", "is neither"),
        ] {
            for text in texts.split(' ') {
                let error = text.parse::<Allowed>().expect_err(text).to_string();
                assert!(error.starts_with(&format!("{text:?} ")) && error.contains(told), "{error}");
            }
        }
        for (address, told) in [
            ("10.0.0.5:80", "10.0.0.5 is not a public address, and this server was defined through"),
            ("[64:ff9b::a9fe:a9fe]:80", "64:ff9b::a9fe:a9fe (that is 169.254.169.254) is the address of"),
        ] {
            let refused = rules(Scope::Public, false, "").check(None, address.parse().expect(address));
            assert!(refused.is_err_and(|refused| refused.to_string().starts_with(told)), "{told}");
        }
    }

    /// IPv4 addresses, half of them such as have rules of their own, and rules of each scope.
    fn cases() -> impl Strategy<Value = (Ipv4Addr, AddressRules)> {
        let first = prop::sample::select(vec![0_u32, 10, 100, 127, 169, 172, 192, 198, 203, 224, 255]);
        let near = (first, any::<u32>()).prop_map(|(a, rest)| Ipv4Addr::from((a << 24) | (rest >> 8)));
        let known = [[169, 254, 169, 254], [169, 254, 1, 1], [100, 100, 100, 200], [0; 4], [8; 4], [255; 4]];
        let known = prop::sample::select(known.to_vec()).prop_map(Ipv4Addr::from);
        let scopes = [Scope::Any, Scope::Public, listed("10.0.0.0/8 ::/0 host"), listed("0.0.0.0/1")];
        let v4 = prop_oneof![2 => any::<u32>().prop_map(Ipv4Addr::from), 1 => near, 1 => known];
        (v4, prop::sample::select(scopes.to_vec()), any::<bool>())
            .prop_map(|(v4, scope, allow)| (v4, rules(scope, allow, "0.0.0.0:3000 8.8.8.8:3000")))
    }

    proptest! {
        #[test]
        fn ipv4_has_the_same_verdict_however_it_is_written((v4, rules) in cases(), tail: u128) {
            let plain = verdict(&rules, None, v4.into());
            let is_special = v4.is_private() || v4.is_loopback() || v4.is_documentation();
            prop_assert!(plain.is_some() || !is_special || rules.scope != Scope::Public);
            let low = u128::from(v4.to_bits());
            let ways = [0, 0xffff << 32, 0xffff << 48, 0x64_ff9b << 96, 0x64_ff9b_0001 << 80].map(|high| high | low);
            let six_to_four = (0x2002 << 112) | (low << 80) | (tail >> 48);
            // Past `::` and `::1`, which are what they are.
            for way in ways.into_iter().filter(|way| *way > 1).chain([six_to_four]) {
                prop_assert_eq!(verdict(&rules, None, Ipv6Addr::from(way).into()), plain, "{:x}", way);
            }
        }

        #[test]
        fn no_length_of_a_local_nat64_prefix_hides_what_is_forbidden((v4, rules) in cases(), noise: u128) {
            let plain = verdict(&rules, None, v4.into()).filter(|_| v4.octets()[0] != 0);
            for start in [6, 7, 9, 12] {
                let mut octets = ((0x64_ff9b_0001_u128 << 80) | (noise >> 48)).to_be_bytes();
                let places = (start..16).filter(|place| start == 12 || *place != 8);
                places.zip(v4.octets()).for_each(|(place, octet)| octets[place] = octet);
                prop_assert!(plain.is_none() || verdict(&rules, None, octets.into()).is_some(), "{:?}", octets);
            }
        }
    }
}
