//! The names in a device's certificate: its common name (RFC 5280 section 4.1.2.6), and its DNS names among the
//! alternative names (section 4.2.1.6). The certificate was verified before.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The most names of one certificate. LIMITS.md, `certificate_names`.
const CERTIFICATE_NAMES: usize = 16;

/// The names; none of a certificate that cannot be read.
pub fn names(certificate: &CertificateDer<'_>) -> Box<[Box<str>]> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Box::default() };
    let common = common_names(certificate.subject()).map(Into::into);
    common.chain(certificate.valid_dns_names().map(Into::into)).take(CERTIFICATE_NAMES).collect()
}

/// X.520: the object identifier 2.5.4.3, in DER.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

// X.690 section 8: the tags of what stands in a name.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const STRINGS: [u8; 3] = [0x0c, 0x13, 0x16]; // UTF8String, PrintableString, IA5String.

/// The common names in a `RDNSequence`, with or without the tag of the sequence itself.
fn common_names(subject: &[u8]) -> impl Iterator<Item = &str> {
    let inner = match element(subject) {
        Some((SEQUENCE, inner, [])) => inner,
        _ => subject,
    };
    let sets = Elements(inner).filter(|(tag, _)| *tag == SET);
    let pairs = sets.flat_map(|(_, set)| Elements(set)).filter(|(tag, _)| *tag == SEQUENCE);
    pairs.filter_map(|(_, pair)| {
        let mut parts = Elements(pair);
        let (kind, value) = (parts.next()?, parts.next()?);
        let is_common = kind == (OBJECT_IDENTIFIER, COMMON_NAME) && STRINGS.contains(&value.0);
        std::str::from_utf8(value.1).ok().filter(|_| is_common)
    })
}

/// The elements that stand in a row, up to one that cannot be read.
struct Elements<'d>(&'d [u8]);

impl<'d> Iterator for Elements<'d> {
    type Item = (u8, &'d [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, value, rest) = element(self.0)?;
        self.0 = rest;
        Some((tag, value))
    }
}

/// The first element: its tag, its value, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    // X.690 section 8.1.3: below 0x80 the length itself, above it how many bytes it has.
    let (length, rest) = match first {
        length if length < 0x80 => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), &rest[2..]),
        _ => return None, // Longer than any name.
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(common: Option<&str>, alternative: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = alternative.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "o".repeat(200));
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_common_name_and_the_dns_names_are_read() {
        let both = names(&certificate(Some("tracker 7"), &["tracker-7.example", "t7"]));
        assert_eq!(*both, ["tracker 7".into(), "tracker-7.example".into(), "t7".into()]);
        assert_eq!(*names(&certificate(None, &["t7"])), ["t7".into()]);
        assert!(names(&certificate(None, &[])).is_empty());
    }

    #[test]
    fn no_cut_of_a_name_is_taken_for_another_or_breaks_anything() {
        let certificate = certificate(Some("tracker-7"), &[]);
        let parsed = EndEntityCert::try_from(&certificate).unwrap();
        let subject = parsed.subject();
        assert_eq!(common_names(subject).collect::<Vec<_>>(), ["tracker-7"]);
        for end in 0..subject.len() {
            assert_eq!(common_names(&subject[..end]).count(), 0, "{end}");
        }
        assert!(names(&CertificateDer::from(vec![0x30, 0x84, 0xff])).is_empty());
    }
}
